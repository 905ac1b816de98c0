//! Nodes that join, drain and leave, that are ejected and readmitted, and what the configuration makes of them.

use super::*;

#[test]
fn nodes_join_once_and_events_about_strangers_are_nothing() {
    let mut scene = Scene::settled();
    let (before, d) = (format!("{:?}", scene.topology()), NodeId::new(3));
    scene.tell(Event::Joined(NodeId::new(9), NodeSpec::new("b", Role::Replica)));
    scene.primary(NodeId::new(8), 9, 1).silent(NodeId::new(8), 5).faults(NodeId::new(8), 9);
    scene.tell(Event::Draining(NodeId::new(8))).tell(Event::Left(NodeId::new(8)));
    assert_eq!(format!("{:?}", scene.topology()), before);
    scene.effects.clear();
    scene.tell(Event::Joined(d, NodeSpec::new("d", Role::Replica)));
    assert_eq!(scene.news(), ["`d` joined"]);
    assert_eq!(scene.standing(d), Err(Rejection::NotSeenYet));
    scene.replica(d, 1, 100);
    assert_eq!((scene.standing(d), scene.node(d).weight), (Ok(()), 10), "it starts slowly");
}

#[test]
fn a_draining_node_gets_nothing_and_a_node_that_left_is_gone() {
    let mut scene = Scene::settled();
    scene.tell(Event::Draining(B)).tell(Event::Draining(B));
    assert_eq!(scene.news(), ["`b` is draining"]);
    assert_eq!(scene.standing(B), Err(Rejection::Draining));
    scene.tell(Event::Left(B));
    assert_eq!(scene.news(), ["`b` left"]);
    assert!(scene.topology().node(B).is_none());
    scene.tell(Event::Left(A));
    assert_eq!(scene.head(), Err(NoPrimary::NotFound));
    assert_eq!(scene.news()[1], "epoch 1: the primary is nobody (was `a`)");
}

#[test]
fn only_a_share_of_the_replicas_is_ejected_and_the_primary_never() {
    let mut scene = Scene::settled();
    scene.faults(A, 99).faults(B, 3).faults(C, 99);
    assert_eq!([A, B, C].map(|node| scene.node(node).ejected), [false, true, false]);
    assert_eq!(scene.standing(B), Err(Rejection::Ejected));
    scene.wait(5_000).tell(Event::Tick);
    assert_eq!(scene.standing(B), Ok(()));
    assert!(scene.news().contains(&"`b` is back in the rotation".to_owned()));
}

#[test]
fn when_too_many_are_ejected_all_of_them_serve() {
    let mut config = Config::default();
    config.health.max_ejected = Percent::new(100).unwrap();
    let mut scene = Scene::settled_with(config);
    scene.faults(B, 3);
    assert_eq!(scene.standing(B), Err(Rejection::Ejected), "half of them is not too many");
    scene.faults(C, 3);
    assert_eq!((scene.standing(B), scene.standing(C)), (Ok(()), Ok(())));
    assert!(scene.news().contains(&"too many replicas are ejected: they serve again".to_owned()));
    scene.wait(5_000).tell(Event::Tick);
    assert!(scene.news().contains(&"ejection is in force again".to_owned()));
}

#[test]
fn a_fault_asks_for_a_look_only_when_roles_may_have_changed() {
    let mut scene = Scene::settled();
    for (fault, asks) in [
        (Fault::ReadOnly, true),
        (Fault::Refused, true),
        (Fault::ShuttingDown, true),
        (Fault::Lost, true),
        (Fault::Conflict, false),
        (Fault::Overloaded, false),
    ] {
        scene.tell(Event::Faulted { node: A, fault, run: 1 });
        assert_eq!(scene.asks_everybody(), asks, "{fault}");
    }
}

#[test]
fn groups_and_regions_come_from_the_configuration() {
    let node =
        |name: &str| NodeConfig::new(format!("postgres://{name}/app").as_str()).unwrap().with_name(name);
    let mut config =
        Config { region: Some("here".into()), regions: vec!["there".into()], ..Config::default() };
    config.primary = node("a").with_region("here");
    config.replicas = vec![
        node("b").with_region("there").with_group("reports"),
        node("c").with_group("analytics").with_group("reports"),
    ];
    config.groups.insert("analytics".into(), GroupConfig::new(GroupFallback::Error, true));
    let mut world = World::new(config.clone());
    for (node, id) in config.nodes().zip([A, B, C]) {
        let expected = if id == A { Role::Primary } else { Role::Replica };
        let spec = NodeSpec::from_config(node, expected, &config);
        drop(world.apply(Event::Joined(id, spec), Moment::ORIGIN));
    }
    let topology = world.topology(Moment::ORIGIN);
    let groups: Vec<_> = topology.groups().iter().map(|g| (&*g.name, g.fallback, g.exclusive)).collect();
    assert_eq!(groups, [("analytics", GroupFallback::Error, true), ("reports", GroupFallback::Any, false)]);
    let of = |id| topology.node(id).map(|node| (node.tier, node.groups, node.endpoint.to_string()));
    assert_eq!(of(A), Some((0, 0b00, "a:5432".into())));
    assert_eq!(of(B), Some((1, 0b10, "b:5432".into())));
    assert_eq!(of(C), Some((0, 0b11, "c:5432".into())), "without a region it is taken to be near");
}

#[test]
fn the_primary_under_another_name_is_a_replica_that_has_everything() {
    let mut scene = Scene::settled();
    let (d, mut spec) = (NodeId::new(3), NodeSpec::new("d", Role::Replica));
    spec.mirror = true;
    scene.tell(Event::Joined(d, spec)).wait(10).primary(A, 1, 200).primary(d, 1, 200);
    assert_eq!((scene.head(), scene.standing(d), scene.staleness(d)), (Ok(A), Ok(()), Some(0)));
}

#[test]
fn two_worlds_that_are_told_the_same_know_the_same() {
    let tell = || {
        let mut scene = Scene::failed_over();
        scene.wait(10).primary(A, 1, 500).replica(C, 2, 210).faults(C, 5).wait(10).tell(Event::Tick);
        (format!("{:?}", scene.topology()), format!("{:?}", scene.effects))
    };
    assert_eq!(tell(), tell());
}
