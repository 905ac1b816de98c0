//! Each rule of `reconcile`, and that it comes to rest.

use super::*;

const LIMITS: Limits = Limits { grace: Duration::from_secs(30), drain: Duration::from_secs(10) };

fn node(name: &str, host: &str) -> NodeConfig {
    NodeConfig::new(format!("postgres://app@{host}/shop")).unwrap().with_name(name)
}

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

fn known(node: &NodeConfig) -> Known<'_> {
    Known { node, primary: false, missing_since: None, leaving_since: None, in_flight: 0 }
}

fn all(nodes: &[NodeConfig]) -> Answer<'_> {
    Answer { nodes, complete: true }
}

fn plan(known: &[Known<'_>], answer: Answer<'_>, seconds: u64) -> Vec<Step> {
    let primary = Other { name: "primary", endpoint: "db-1:5432" };
    reconcile(known, &[primary], answer, LIMITS, at(seconds))
}

fn add(node: &NodeConfig) -> Step {
    Step::Add(Box::new(node.clone()))
}

#[test]
fn what_is_new_joins_and_what_is_known_stays() {
    let (a, b) = (node("a", "db-2"), node("b", "db-3"));
    assert_eq!(plan(&[known(&a)], all(&[a.clone(), b.clone()]), 1), [add(&b)]);
    assert_eq!(plan(&[known(&a), known(&b)], all(&[b.clone(), a.clone()]), 1), []);
}

#[test]
fn what_is_missing_leaves_after_the_grace_by_an_answer_that_lacks_it() {
    let a = node("a", "db-2");
    let missing = |since| Known { missing_since: Some(at(since)), ..known(&a) };
    assert_eq!(plan(&[known(&a)], all(&[]), 5), [Step::Miss("a".into())]);
    assert_eq!(plan(&[missing(5)], all(&[]), 34), []);
    assert_eq!(
        plan(&[missing(5)], Answer { nodes: &[], complete: false }, 99),
        [],
        "an old answer is no news"
    );
    assert_eq!(plan(&[missing(5)], all(&[]), 35), [Step::Drain("a".into(), Leaving::Vanished)]);
    assert_eq!(plan(&[missing(5)], all(std::slice::from_ref(&a)), 99), [Step::Return("a".into())]);
    let at_once = Limits { grace: Duration::ZERO, ..LIMITS };
    let steps = reconcile(&[known(&a)], &[], all(&[]), at_once, at(5));
    assert_eq!(steps, [Step::Miss("a".into()), Step::Drain("a".into(), Leaving::Vanished)]);
}

#[test]
fn what_leaves_is_taken_out_when_it_is_idle_or_its_time_is_over() {
    let a = node("a", "db-2");
    let leaving = |in_flight| Known { leaving_since: Some(at(5)), in_flight, ..known(&a) };
    assert_eq!(plan(&[leaving(0)], all(&[]), 5), [Step::Remove("a".into())]);
    assert_eq!(plan(&[leaving(1)], all(&[]), 14), []);
    assert_eq!(plan(&[leaving(1)], all(&[]), 15), [Step::Remove("a".into())]);
    // It came back meanwhile: out, and in again.
    assert_eq!(plan(&[leaving(1)], all(std::slice::from_ref(&a)), 6), []);
    assert_eq!(plan(&[leaving(0)], all(std::slice::from_ref(&a)), 6), [Step::Remove("a".into()), add(&a)]);
}

#[test]
fn a_name_with_another_address_is_another_server() {
    let (old, new) = (node("a", "db-2"), node("a", "db-9"));
    let moved = |to: &str| Leaving::Moved(to.to_owned());
    assert_eq!(
        plan(&[known(&old)], all(std::slice::from_ref(&new)), 1),
        [Step::Drain("a".into(), moved("db-9:5432"))]
    );
    let leaving = |in_flight| Known { leaving_since: Some(at(1)), in_flight, ..known(&old) };
    assert_eq!(plan(&[leaving(2)], all(std::slice::from_ref(&new)), 2), []);
    assert_eq!(
        plan(&[leaving(0)], all(std::slice::from_ref(&new)), 2),
        [Step::Remove("a".into()), add(&new)]
    );
    // One after the other.
    let (b, other) = (node("b", "db-3"), node("b", "db-8"));
    let both = [new, other];
    assert_eq!(plan(&[known(&old), known(&b)], all(&both), 1), [Step::Drain("a".into(), moved("db-9:5432"))]);
    assert_eq!(plan(&[leaving(1), known(&b)], all(&both), 2), []);
}

#[test]
fn the_primary_stays_whatever_is_found() {
    let (a, moved) = (node("a", "db-2"), node("a", "db-9"));
    let primary = Known { primary: true, missing_since: Some(at(0)), ..known(&a) };
    assert_eq!(plan(&[primary], all(&[]), 99), [Step::MissPrimary("a".into())]);
    assert_eq!(plan(&[primary], all(&[moved]), 99), [Step::MissPrimary("a".into())]);
    // It was promoted while it was leaving.
    let leaving = Known { leaving_since: Some(at(0)), ..primary };
    assert_eq!(plan(&[leaving], all(&[]), 99), [Step::MissPrimary("a".into())]);
}

#[test]
fn labels_change_in_place() {
    let (a, heavy) = (node("a", "db-2"), node("a", "db-2").with_weight(7));
    assert_eq!(plan(&[known(&a)], all(std::slice::from_ref(&heavy)), 1), [Step::Change(Box::new(heavy))]);
}

#[test]
fn a_known_server_is_no_finding_and_a_taken_name_is_refused() {
    assert_eq!(plan(&[], all(&[node("else", "DB-1")]), 1), []);
    let refused = |why| [Step::Refuse("primary".into(), why)];
    assert_eq!(plan(&[], all(&[node("primary", "db-5")]), 1), refused(Refusal::NameTaken));
    let twice = [node("a", "db-2"), node("a", "db-3"), node("b", "db-2")];
    assert_eq!(plan(&[], all(&twice), 1), [add(&twice[0]), Step::Refuse("a".into(), Refusal::Twice)]);
}

#[test]
fn there_are_64_nodes_at_most() {
    let many: Vec<NodeConfig> = (2..70).map(|n| node(&format!("n{n}"), &format!("db-{n}"))).collect();
    let steps = plan(&[], all(&many), 1);
    let adds = steps.iter().filter(|step| matches!(step, Step::Add(_))).count();
    let refused = steps.iter().filter(|step| matches!(step, Step::Refuse(_, Refusal::TooMany))).count();
    assert_eq!((adds, refused), (63, 5));
}
