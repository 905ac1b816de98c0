//! A discovery of the application's own, which may do anything.

use super::*;

/// What it does when it is asked.
#[derive(Clone, Debug)]
enum Mood {
    Answer(Vec<FoundNode>),
    Fail,
    Hang,
    Panic,
    /// Until the test lets go of the thread.
    Block(Arc<Mutex<()>>),
}

/// Does what the test says, and knows how often it is being asked.
#[derive(Debug)]
struct Moody {
    mood: Mutex<Mood>,
    under_way: AtomicU64,
    most: AtomicU64,
    asked: AtomicU64,
}

/// Counts a call until it ends, in whatever way.
struct Call<'a>(&'a Moody);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Moody {
    fn new(mood: Mood) -> Arc<Self> {
        let (under_way, most, asked) = Default::default();
        Arc::new(Self { mood: Mutex::new(mood), under_way, most, asked })
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().expect("nobody panics with it") = mood;
    }
}

impl Discovery for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn discover(&self) -> Discovering<'_> {
        Box::pin(async {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(self.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _call = Call(self);
            let mood = self.mood.lock().expect("nobody panics with it").clone();
            match mood {
                Mood::Answer(nodes) => Ok(Found::new(nodes)),
                Mood::Fail => Err("the inventory is closed".into()),
                Mood::Hang => std::future::pending().await,
                Mood::Panic => panic!("the inventory is on fire"),
                Mood::Block(gate) => {
                    drop(gate.lock());
                    Err("let go".into())
                }
            }
        })
    }
}

fn found(cluster: &Cluster, number: usize, name: &str) -> Result<FoundNode> {
    Ok(FoundNode::at_host(name, "127.0.0.1", Some(cluster.replica(number)?.link().port())))
}

async fn start_with(config: Config, discovery: &Arc<Moody>) -> Result<Router<Plain>> {
    let discovery: Arc<dyn Discovery> = Arc::<Moody>::clone(discovery);
    Ok(Router::builder(Plain).config(config).discovery(discovery).start().await?)
}

#[tokio::test]
async fn whatever_it_does_the_last_good_answer_stays() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let good = Mood::Answer(vec![found(&cluster, 1, "replica-1")?]);
    let moody = Moody::new(good.clone());
    let mut config = primary_alone(&cluster);
    // A panic that is told with its backtrace takes a while.
    config.discovery.timeout = Duration::from_secs(1);
    let router = start_with(config, &moody).await?;
    let readers = Readers::start(&router);
    until_serving(&router, "replica-1").await?;
    let moods = [
        (Mood::Fail, "the inventory is closed"),
        (Mood::Hang, "no answer within 1s"),
        (Mood::Panic, "it panicked"),
        (Mood::Answer(Vec::new()), "the answer is empty"),
    ];
    for (number, (mood, told)) in moods.into_iter().enumerate() {
        moody.set(mood);
        until(&router, told, |r| failures(r).len() == number + 1).await?;
        let asked = moody.asked.load(Ordering::SeqCst);
        until(&router, "more questions", |_| moody.asked.load(Ordering::SeqCst) > asked + 1).await?;
        let failures = failures(&router);
        assert!(failures.len() == number + 1 && failures[number].contains(told), "{failures:?}");
        assert!(serves(&router, "replica-1"), "{told}");
        moody.set(good.clone());
        let recovered = |r: &Router<Plain>| findings(r).last() == Some(&Finding::Recovered);
        until(&router, "it to be told that all is well", recovered).await?;
    }
    readers.finish().await?;
    assert_eq!(moody.most.load(Ordering::SeqCst), 1, "it is never asked twice at once");
    router.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_it_when_the_router_ends() -> Result {
    let cluster = Cluster::builder().start().await?;
    for shut_down in [true, false] {
        let moody = Moody::new(Mood::Hang);
        let mut config = primary_alone(&cluster);
        config.startup_wait = Duration::from_millis(100);
        let router = start_with(config, &moody).await?;
        until(&router, "a call", |_| moody.under_way.load(Ordering::SeqCst) == 1).await?;
        if shut_down {
            router.shutdown().await;
            assert_eq!((moody.under_way.load(Ordering::SeqCst), Arc::strong_count(&moody)), (0, 1));
        }
        drop(router);
        let gone = || std::future::ready(Ok::<_, std::convert::Infallible>(Arc::strong_count(&moody) == 1));
        wait_until(PATIENCE, "the last task to end", gone).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_name_at_another_address_is_another_server() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let at = |number| found(&cluster, number, "the-replica");
    let moody = Moody::new(Mood::Answer(vec![at(1)?]));
    let router = start_with(primary_alone(&cluster), &moody).await?;
    until(&router, "the first to serve", |r| serves(r, "the-replica")).await?;
    let id =
        |r: &Router<Plain>| r.topology().nodes().iter().find(|n| &*n.name == "the-replica").map(|n| n.id);
    let first = id(&router);
    // A statement is still on the first server: no other takes its place before it has ended.
    let route = router.route(&read())?;
    assert_eq!(&**route.name(), "the-replica");
    moody.set(Mood::Answer(vec![at(2)?]));
    until(&router, "the first to be drained", |r| !serves(r, "the-replica")).await?;
    assert_eq!(id(&router), first);
    assert_eq!(run(route, PORT).await?, cluster.replica(1)?.port().to_string());
    until(&router, "the second to serve", |r| serves(r, "the-replica") && id(r) != first).await?;
    assert_eq!(run(router.route(&read())?, PORT).await?, cluster.replica(2)?.port().to_string());
    Ok(())
}

#[tokio::test]
async fn what_is_listed_stays_and_what_cannot_join_is_told_once() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let elsewhere = FoundNode::at_host("replica-1", "db-9.internal", None);
    let same = found(&cluster, 1, "again")?;
    let zero = FoundNode::at_host("zero", "db-8.internal", None).with_weight(0);
    let evil = FoundNode::at_host("evil", "evil.test/?host=", None);
    let moody = Moody::new(Mood::Answer(vec![elsewhere, same, zero, evil]));
    let mut config = config(&cluster);
    config.discovery = primary_alone(&cluster).discovery;
    let router = start_with(config, &moody).await?;
    until(&router, "several answers", |_| moody.asked.load(Ordering::SeqCst) > 3).await?;
    assert_eq!(names(&router), ["primary", "replica-1"]);
    let refused = |finding: Finding| match finding {
        Finding::Refused { node, why } => Some((node.to_string(), why == Refusal::NameTaken)),
        _ => None,
    };
    let refused: Vec<_> = findings(&router).into_iter().filter_map(refused).collect();
    let told = [("zero", false), ("evil", false), ("replica-1", true)];
    assert_eq!(refused, told.map(|(name, taken)| (name.to_owned(), taken)));
    Ok(())
}

#[tokio::test]
async fn what_is_found_is_probed_before_it_gets_reads() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    cluster.replica(1)?.link().cut().await?;
    let moody = Moody::new(Mood::Answer(vec![found(&cluster, 1, "replica-1")?]));
    let router = start_with(primary_alone(&cluster), &moody).await?;
    until(&router, "it to be found", |r| is_there(r, "replica-1")).await?;
    let health = |r: &Router<Plain>| r.topology().nodes().get(1).map(|node| node.health);
    assert_ne!(health(&router), Some(HealthState::Healthy));
    for _ in 0..50 {
        assert_eq!(&**router.route(&read())?.name(), "primary");
    }
    cluster.replica(1)?.link().heal().await?;
    until(&router, "it to serve", |r| serves(r, "replica-1")).await
}

/// There is one thread for everything else.
#[tokio::test]
async fn one_that_blocks_its_thread_is_not_asked_again_before_it_lets_go() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let good = Mood::Answer(vec![found(&cluster, 1, "replica-1")?]);
    let moody = Moody::new(good.clone());
    let mut config = primary_alone(&cluster);
    config.discovery.timeout = Duration::from_millis(100);
    let router = start_with(config, &moody).await?;
    until(&router, "the found node to serve", |r| serves(r, "replica-1")).await?;
    let gate = Arc::new(Mutex::new(()));
    let closed = Arc::clone(&gate);
    // A lock that is held over an await must not be held by a task.
    let (open, opened) = std::sync::mpsc::channel::<()>();
    let (shut, shutting) = std::sync::mpsc::channel::<()>();
    let keeper = std::thread::spawn(move || {
        let _held = closed.lock();
        let _told = shut.send(());
        let _let_go = opened.recv();
    });
    shutting.recv()?;
    moody.set(Mood::Block(gate));
    until(&router, "the failure to be told", |r| failures(r).len() == 1).await?;
    let asked = moody.asked.load(Ordering::SeqCst);
    // Statements and probes go on; it would have been asked several times by now.
    let position = write(&router, "meanwhile").await?;
    let route = router.route_within(&Request::read(Requirement::covering(position)), PATIENCE).await?;
    assert_eq!(run(route, IN_RECOVERY).await?, "true");
    for _ in 0..10 {
        let mut notices = router.notices();
        router.probe_now();
        drop(tokio::time::timeout(Duration::from_millis(50), notices.recv()).await);
    }
    assert_eq!(moody.asked.load(Ordering::SeqCst), asked);
    moody.set(good);
    drop(open);
    let recovered = |r: &Router<Plain>| findings(r).last() == Some(&Finding::Recovered);
    until(&router, "it to be told that all is well", recovered).await?;
    assert_eq!(moody.most.load(Ordering::SeqCst), 1);
    router.shutdown().await;
    keeper.join().map_err(|_| "the keeper panicked")?;
    Ok(())
}

#[tokio::test]
async fn the_primary_stays_when_it_is_no_longer_found() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let both = vec![found(&cluster, 1, "replica-1")?, found(&cluster, 2, "replica-2")?];
    let moody = Moody::new(Mood::Answer(both.clone()));
    let router = start_with(primary_alone(&cluster), &moody).await?;
    until(&router, "both to serve", |r| serves(r, "replica-1") && serves(r, "replica-2")).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| {
        r.topology().primary().is_ok_and(|primary| &*primary.name == "replica-1")
    })
    .await?;
    moody.set(Mood::Answer(both[1..].to_vec()));
    let not_found = |finding: &Finding| matches!(finding, Finding::PrimaryNotFound { .. });
    until(&router, "it to be told", |r| findings(r).iter().any(not_found)).await?;
    let asked = moody.asked.load(Ordering::SeqCst);
    until(&router, "more answers", |_| moody.asked.load(Ordering::SeqCst) > asked + 3).await?;
    assert_eq!(findings(&router).iter().filter(|finding| not_found(finding)).count(), 1);
    write(&router, "after").await?;
    Ok(())
}

#[tokio::test]
async fn a_found_node_that_is_removed_comes_back_and_one_that_is_drained_by_hand_stays_drained() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let moody = Moody::new(Mood::Answer(vec![found(&cluster, 1, "replica-1")?]));
    let router = start_with(primary_alone(&cluster), &moody).await?;
    until(&router, "it to serve", |r| serves(r, "replica-1")).await?;
    let id = |r: &Router<Plain>| r.topology().nodes().iter().find(|n| &*n.name == "replica-1").map(|n| n.id);
    let first = id(&router);
    router.remove_node("replica-1").await?;
    until(&router, "it to be back", |r| serves(r, "replica-1") && id(r) != first).await?;
    let second = id(&router);
    router.drain_node("replica-1").await?;
    let asked = moody.asked.load(Ordering::SeqCst);
    until(&router, "several answers", |r| {
        assert!(id(r) == second && !serves(r, "replica-1"));
        moody.asked.load(Ordering::SeqCst) > asked + 3
    })
    .await?;
    for _ in 0..50 {
        assert_eq!(&**router.route(&read())?.name(), "primary");
    }
    Ok(())
}
