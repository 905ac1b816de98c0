use super::super::decide::Block;
use super::*;
use crate::position::{Lsn, PgPosition, Timeline};

const OLD: NodeId = NodeId::new(0);
const A: NodeId = NodeId::new(1);
const B: NodeId = NodeId::new(2);

fn at(lsn: u64) -> Position {
    Position::Postgres(PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn)))
}

/// `a` has most.
fn looked(primary_answers: bool) -> Told {
    let replicas = vec![ReplicaView::new(A, Some(at(100))), ReplicaView::new(B, Some(at(90)))];
    Told::Looked { replicas, last_known: Some(at(100)), primary_answers }
}

fn failed() -> Told {
    Told::Failed("why".to_owned())
}

fn unknown() -> Told {
    Told::Unknown("why".to_owned())
}

fn failover() -> Task {
    Task { from: Some(OLD), failing_since: Some(Moment::from_millis(900)), ..Task::default() }
}

fn switchover() -> Task {
    Task { planned: true, ..failover() }
}

fn fenced() -> Task {
    Task { fence: true, ..failover() }
}

/// Both have the same.
fn equals() -> Told {
    let replicas = vec![ReplicaView::new(A, Some(at(100))), ReplicaView::new(B, Some(at(100)))];
    Told::Looked { replicas, last_known: Some(at(100)), primary_answers: false }
}

/// `a`, which has most, does not answer any more.
fn without_a() -> Told {
    let dead =
        ReplicaView { health: crate::topology::HealthState::Unhealthy, ..ReplicaView::new(A, Some(at(100))) };
    let replicas = vec![dead, ReplicaView::new(B, Some(at(90)))];
    Told::Looked { replicas, last_known: Some(at(100)), primary_answers: false }
}

/// A promotion that goes through these answers, one each 10 ms.
fn after(task: Task, told: impl IntoIterator<Item = Told>) -> Promotion {
    let mut now = Moment::from_millis(1_000);
    let mut promotion = Promotion::new(task, FailoverPolicy::default(), now);
    for told in told {
        now = now + Duration::from_millis(10);
        promotion.advance(told, now);
    }
    promotion
}

fn stopped(promotion: &Promotion) -> &Stop {
    assert_eq!(promotion.step(), Step::End);
    match promotion.ending() {
        Some(Ending::Stopped(why)) => why,
        other => panic!("{other:?}"),
    }
}

use Told::Done;

#[test]
fn a_failover_goes_from_the_lease_to_the_last_replica() {
    let mut promotion = after(failover(), []);
    let way = [
        (Step::Lease, Done),
        (Step::Look, looked(false)),
        (Step::CatchUp(A), Done),
        (Step::ConfirmLease, Done),
        (Step::Promote(A), Done),
        (Step::Verify(A), Done),
        (Step::Repoint(A), Told::Repointed(vec![(B, Ok(()))])),
    ];
    for (number, (step, told)) in (1..).zip(way) {
        assert_eq!(promotion.step(), step);
        promotion.advance(told, Moment::from_millis(1_000 + 10 * number));
    }
    assert_eq!((promotion.step(), promotion.ending()), (Step::End, Some(&Ending::Promoted(A))));
    let durations = promotion.durations();
    let millis = Phase::ALL.map(|phase| durations.of(phase).as_millis());
    assert_eq!(millis, [100, 0, 20, 0, 10, 30, 10]);
    assert!(promotion.to_do().is_empty());
}

#[test]
fn a_switchover_stops_the_old_primary_first_and_undoes_that_when_it_cannot_go_on() {
    let to_freeze = || vec![Done, looked(true), Done, Done];
    assert_eq!(after(switchover(), to_freeze()).step(), Step::Freeze);
    let mut caught_up = to_freeze();
    caught_up.extend([Done, Done]);
    assert_eq!(after(switchover(), caught_up.clone()).step(), Step::ConfirmLease);
    for more in
        [vec![failed()], vec![Done, failed()], vec![Done, Done, failed()], vec![Done, Done, Done, failed()]]
    {
        let told: Vec<Told> = to_freeze().into_iter().chain(more).collect();
        let thawing = after(switchover(), told.clone());
        assert_eq!(thawing.step(), Step::Thaw);
        let thawed = after(switchover(), told.clone().into_iter().chain([Done]));
        assert!(!thawed.was_sent() && thawed.to_do().is_empty(), "{:?}", stopped(&thawed));
        // A person must know when it refuses writes for ever.
        let frozen = after(switchover(), told.into_iter().chain([failed()]));
        assert!(frozen.to_do()[0].contains("default_transaction_read_only"));
        stopped(&frozen);
    }
    caught_up.extend([Done, Done, unknown()]);
    let doubtful = after(switchover(), caught_up);
    assert!(matches!(doubtful.ending(), Some(Ending::InDoubt(node, _)) if *node == A), "and it stays frozen");
}

#[test]
fn what_does_not_drain_ends_a_switchover_unless_it_is_forced() {
    let told = || vec![Done, looked(true), Done, failed()];
    assert_eq!(stopped(&after(switchover(), told())), &Stop::NotDrained("why".to_owned()));
    let forced = Task { force: true, ..switchover() };
    assert_eq!(after(forced, told()).step(), Step::Freeze);
    assert_eq!(stopped(&after(switchover(), [Done, looked(false)])), &Stop::PrimaryIsGone);
}

#[test]
fn without_the_lease_nobody_is_promoted() {
    assert_eq!(stopped(&after(failover(), [failed()])), &Stop::NoLease("why".to_owned()));
    let lost = after(failover(), [Done, looked(false), Done, failed()]);
    assert_eq!(stopped(&lost), &Stop::NoLease("why".to_owned()));
}

#[test]
fn a_primary_that_is_back_stays() {
    assert_eq!(stopped(&after(failover(), [Done, looked(true)])), &Stop::PrimaryIsBack);
    let forced = Task { force: true, ..failover() };
    assert_eq!(stopped(&after(forced, [Done, looked(true)])), &Stop::PrimaryIsBack);
}

#[test]
fn a_candidate_that_certainly_did_not_take_over_is_followed_by_the_next() {
    for told in [vec![failed()], vec![Done, Done, failed()], vec![Done, Done, Done, failed()]] {
        let told: Vec<Told> = [Done, looked(false)].into_iter().chain(told).collect();
        assert_eq!(after(failover(), told.clone()).step(), Step::Look, "everybody is looked at again");
        for look in [equals(), without_a()] {
            let next = after(failover(), told.clone().into_iter().chain([look]));
            assert_eq!((next.step(), next.was_sent()), (Step::CatchUp(B), false));
        }
    }
    let both = [Done, equals(), failed(), equals(), failed(), equals(), failed(), equals()];
    let nobody = after(
        failover(),
        both.into_iter().chain([failed(), equals(), failed(), equals(), failed(), equals()]),
    );
    let Stop::NoCandidate(nobody) = stopped(&nobody) else { panic!("{nobody:?}") };
    assert!(nobody.refused.iter().all(|(_, why)| *why == CandidateRefusal::Tried));
}

#[test]
fn nobody_takes_over_in_place_of_one_that_answers_and_has_more() {
    let mut told = vec![Done, looked(false)];
    for _ in 1..TRIES {
        told.extend([failed(), looked(false)]);
        assert_eq!(after(failover(), told.clone()).step(), Step::CatchUp(A), "it is tried again");
    }
    told.extend([failed(), looked(false)]);
    let Stop::NoCandidate(nobody) = stopped(&after(failover(), told.clone())).clone() else { panic!() };
    assert_eq!(nobody.refused, [(B, CandidateRefusal::Outdone { by: A })]);
    let forced = Task { force: true, ..failover() };
    assert_eq!(after(forced, [Done, looked(false), failed(), looked(false)]).step(), Step::CatchUp(B));
}

#[test]
fn a_candidate_that_may_have_taken_over_is_followed_by_nobody() {
    for told in [Done, unknown()] {
        let doubtful = after(failover(), [Done, looked(false), Done, Done, told, unknown()]);
        assert_eq!(doubtful.step(), Step::End);
        assert!(matches!(doubtful.ending(), Some(Ending::InDoubt(node, _)) if *node == A));
        assert!(doubtful.was_sent());
    }
}

#[test]
fn a_fenced_candidate_is_followed_by_the_next() {
    let told = [Done, Done, looked(false), Done, Done, unknown(), unknown()];
    let fencing = after(fenced(), told.clone());
    assert_eq!(fencing.step(), Step::FenceCandidate(A));
    let next = after(fenced(), told.clone().into_iter().chain([Done, without_a()]));
    assert_eq!(next.step(), Step::CatchUp(B));
    let doubtful = after(fenced(), told.into_iter().chain([failed()]));
    assert!(matches!(doubtful.ending(), Some(Ending::InDoubt(..))));
}

#[test]
fn an_old_primary_that_cannot_be_fenced_stops_a_failover_unless_that_is_allowed() {
    assert_eq!(stopped(&after(fenced(), [Done, failed()])), &Stop::NotFenced("why".to_owned()));
    let policy = FailoverPolicy { fence_required: false, ..FailoverPolicy::default() };
    let mut promotion = Promotion::new(fenced(), policy, Moment::ORIGIN);
    promotion.advance(Done, Moment::ORIGIN);
    promotion.advance(failed(), Moment::ORIGIN);
    assert_eq!(promotion.step(), Step::Look);
    assert!(promotion.to_do()[0].contains("fencing it failed"));
}

#[test]
fn whoever_still_receives_holds_it_back_at_the_closer_look_too() {
    let mut views = vec![ReplicaView::new(A, Some(at(100))), ReplicaView::new(B, Some(at(90)))];
    views[1].receiving = Some(true);
    let told = |primary_answers| Told::Looked { replicas: views.clone(), last_known: None, primary_answers };
    let blocked = after(failover(), [Done, told(false)]);
    assert_eq!(stopped(&blocked), &Stop::Blocked(Block::WitnessesDisagree { dissenting: 1 }));
    assert_eq!(after(switchover(), [Done, told(true)]).step(), Step::Hold);
}

#[test]
fn a_target_is_not_taken_when_another_one_has_more() {
    let target = Task { target: Some(B), ..failover() };
    let Stop::NoCandidate(nobody) = stopped(&after(target, [Done, looked(false)])).clone() else { panic!() };
    assert!(nobody.refused.contains(&(B, CandidateRefusal::Outdone { by: A })));
    let forced = Task { force: true, ..target };
    assert_eq!(after(forced, [Done, looked(false)]).step(), Step::CatchUp(B));
    let planned = Task { planned: true, ..target };
    assert_eq!(after(planned, [Done, looked(true)]).step(), Step::Hold, "it will have everything");
}

#[test]
fn somebody_else_may_do_it() {
    let delegated = Task { delegated: true, fence: true, ..failover() };
    let told = [Done, looked(false), Done, Done, Done];
    assert_eq!(after(delegated, told.clone().into_iter().take(3)).step(), Step::Delegate(A));
    assert_eq!(after(delegated, told).ending(), Some(&Ending::Promoted(A)));
    let planned = Task { planned: true, ..delegated };
    assert_eq!(after(planned, [Done, looked(true), Done, Done, Done]).step(), Step::Delegate(A));
}

#[test]
fn replicas_that_do_not_follow_are_left_to_a_person() {
    let way = [Done, looked(false), Done, Done, Done, Done, Told::Repointed(vec![(B, Err("no".to_owned()))])];
    let promotion = after(failover(), way);
    assert_eq!(promotion.ending(), Some(&Ending::Promoted(A)));
    assert_eq!(promotion.to_do(), ["let #2 follow #1: no"]);
}

#[test]
fn whoever_is_overtaken_stops_and_lets_the_old_primary_write_no_more() {
    let overtaken = || Told::Objected(Stop::Overtaken("why".to_owned()));
    for told in [vec![Done, overtaken()], vec![Done, looked(false), Done, Done, overtaken()]] {
        let promotion = after(failover(), told);
        assert!(matches!(stopped(&promotion), Stop::Overtaken(_)));
        assert!(promotion.to_do().is_empty());
    }
    let promotion = after(switchover(), [Done, looked(true), Done, Done, Done, Done, Done, overtaken()]);
    assert!(matches!(stopped(&promotion), Stop::Overtaken(_)), "and nothing is undone");
    assert!(promotion.to_do()[0].contains("default_transaction_read_only"));
}

#[test]
fn a_primary_that_is_back_ends_it_at_the_last_moment() {
    let back = Told::Objected(Stop::PrimaryIsBack);
    let promotion = after(failover(), [Done, looked(false), Done, Done, back]);
    assert_eq!(stopped(&promotion), &Stop::PrimaryIsBack);
}

#[test]
fn whoever_is_shut_down_does_not_fence_who_may_be_taking_over() {
    let promotion = after(fenced(), [Done, Done, looked(false), Done, Done, Done, Told::Abandoned]);
    assert_eq!(promotion.step(), Step::End);
    assert!(matches!(promotion.ending(), Some(Ending::InDoubt(node, _)) if *node == A));
}
