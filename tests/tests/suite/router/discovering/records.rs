//! Records of a name in the DNS.

use super::dns::Dns;
use super::*;
use hickory_server::proto::rr::RecordType;
use tokio::net::{TcpListener, TcpStream};

const NAME: &str = "replicas.db.internal.";

fn by_dns(cluster: &Cluster, dns: &Dns, record: DnsRecord) -> Config {
    let mut config = primary_alone(cluster);
    config.discovery.kind = DiscoveryKind::Dns;
    config.discovery.name = Some(NAME.to_owned());
    config.discovery.record = record;
    config.discovery.resolver = vec![dns.address()];
    config.discovery.max_ttl = Duration::from_millis(200);
    config
}

/// The service at a standby's link.
fn service(cluster: &Cluster, number: usize) -> Result<(u16, u16, u16, &'static str)> {
    Ok((0, 0, cluster.replica(number)?.link().port(), "localhost."))
}

fn name_of(cluster: &Cluster, number: usize) -> Result<String> {
    Ok(format!("localhost:{}", cluster.replica(number)?.link().port()))
}

#[tokio::test]
async fn services_come_and_go_under_load_without_one_failed_read() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    let (first, second) = (service(&cluster, 1)?, service(&cluster, 2)?);
    let (one, two) = (name_of(&cluster, 1)?, name_of(&cluster, 2)?);
    dns.services(NAME, 0, &[first])?;
    let router = start(by_dns(&cluster, &dns, DnsRecord::Srv)).await?;
    assert_eq!(names(&router), ["primary".to_owned(), one.clone()], "the start waits for the first answer");
    let readers = Readers::start(&router);
    until_serving(&router, &one).await?;
    for _ in 0..3 {
        dns.services(NAME, 0, &[first, second])?;
        until_serving(&router, &two).await?;
        dns.services(NAME, 0, &[second])?;
        until_gone(&router, &one).await?;
        dns.services(NAME, 0, &[second, first])?;
        until_serving(&router, &one).await?;
        dns.services(NAME, 0, &[first])?;
        until_gone(&router, &two).await?;
    }
    readers.finish().await?;
    router.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn weights_and_priorities_are_those_of_the_records_and_change_in_place() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    let ports = [cluster.replica(1)?.link().port(), cluster.replica(2)?.link().port()];
    dns.services(NAME, 0, &[(0, 30, ports[0], "localhost."), (700, 0, ports[1], "localhost.")])?;
    let mut config = by_dns(&cluster, &dns, DnsRecord::Srv);
    config.health.slow_start = Duration::ZERO;
    let router = start(config).await?;
    let labels = |r: &Router<Plain>| {
        let topology = r.topology();
        let labels = topology.nodes().iter().skip(1).map(|node| (node.weight, node.priority));
        labels.collect::<Vec<_>>()
    };
    until(&router, "the records' labels", |r| labels(r) == [(30, 0), (1, 255)]).await?;
    let joined = names(&router);
    dns.services(NAME, 0, &[(1, 0, ports[0], "localhost."), (1, 0, ports[1], "localhost.")])?;
    until(&router, "nobody to be weighted", |r| labels(r) == [(100, 1), (100, 1)]).await?;
    assert_eq!(names(&router), joined);
    let left = router.recent_notices(0).iter().filter(|told| told.notice.kind() == "left").count();
    assert_eq!(left, 0, "labels are no reason to leave");
    Ok(())
}

#[tokio::test]
async fn addresses_are_nodes_and_errors_and_empty_answers_keep_them() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    dns.addresses(NAME, 0, &["127.0.0.1"])?;
    let mut config = by_dns(&cluster, &dns, DnsRecord::A);
    let port = cluster.replica(1)?.link().port();
    config.discovery.port = Some(port);
    let node = format!("127.0.0.1:{port}");
    let router = start(config).await?;
    until(&router, "the address to serve", |r| serves(r, &node)).await?;
    assert_eq!(run(router.route(&read())?, PORT).await?, cluster.replica(1)?.port().to_string());

    for trouble in ["an error", "one of two errors", "the other one", "no record", "no name"] {
        let before = failures(&router).len();
        match trouble {
            "an error" => dns.fail(&[RecordType::A, RecordType::AAAA]),
            "one of two errors" => dns.fail(&[RecordType::AAAA]),
            "the other one" => dns.fail(&[RecordType::A]),
            "no record" => dns.addresses(NAME, 0, &[])?,
            _ => dns.forget(),
        }
        until(&router, trouble, |r| failures(r).len() == before + 1).await?;
        let asked = dns.asked();
        until(&router, "more questions", |_| dns.asked() > asked + 4).await?;
        assert!(serves(&router, &node), "{trouble}");
        assert_eq!(failures(&router).len(), before + 1, "{trouble} is told once");
        dns.fail(&[]);
        dns.addresses(NAME, 0, &["127.0.0.1"])?;
        let recovered = |r: &Router<Plain>| findings(r).last() == Some(&Finding::Recovered);
        until(&router, "it to be told that all is well", recovered).await?;
    }
    Ok(())
}

/// Carries what comes to this address and port to the same port of 127.0.0.1, where the harness listens.
async fn relayed(address: &str, port: u16) -> Result<JoinHandle<()>> {
    let listener = TcpListener::bind((address, port)).await?;
    Ok(tokio::spawn(async move {
        let mut links = tokio::task::JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            links.spawn(async move {
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    }))
}

#[tokio::test]
async fn addresses_of_both_families_are_nodes() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    dns.addresses(NAME, 0, &["::1"])?;
    let mut config = by_dns(&cluster, &dns, DnsRecord::A);
    let port = cluster.replica(1)?.link().port();
    config.discovery.port = Some(port);
    let relay = relayed("::1", port).await?;
    let (old, new) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    let router = start(config).await?;
    let readers = Readers::start(&router);
    until_serving(&router, &new).await?;
    assert_eq!(run(router.route(&read())?, PORT).await?, cluster.replica(1)?.port().to_string());
    // Both lead to one server, which serves by either.
    dns.addresses(NAME, 0, &["127.0.0.1", "::1"])?;
    until(&router, "the other address", |r| is_there(r, &old) && is_there(r, &new)).await?;
    dns.addresses(NAME, 0, &["127.0.0.1"])?;
    until_gone(&router, &new).await?;
    until_serving(&router, &old).await?;
    readers.finish().await?;
    router.shutdown().await;
    relay.abort();
    Ok(())
}

#[tokio::test]
async fn what_comes_back_before_the_grace_is_over_was_never_away() -> Result {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    let (first, second) = (service(&cluster, 1)?, service(&cluster, 2)?);
    dns.services(NAME, 0, &[first, second])?;
    let mut config = by_dns(&cluster, &dns, DnsRecord::Srv);
    config.discovery.grace = Duration::from_secs(3600);
    let router = start(config).await?;
    let node = name_of(&cluster, 2)?;
    until(&router, "the node to serve", |r| serves(r, &node)).await?;
    for services in [&[first][..], &[first, second], &[first], &[first, second]] {
        dns.services(NAME, 0, services)?;
        let asked = dns.asked();
        until(&router, "several answers", |_| dns.asked() > asked + 3).await?;
        assert!(serves(&router, &node));
    }
    assert_eq!(findings(&router).len(), 2, "both were found, and nothing else happened");
    Ok(())
}

#[tokio::test]
async fn an_empty_answer_is_believed_where_that_is_configured() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    dns.services(NAME, 0, &[service(&cluster, 1)?])?;
    let mut config = by_dns(&cluster, &dns, DnsRecord::Srv);
    config.discovery.allow_empty = true;
    let router = start(config).await?;
    let node = name_of(&cluster, 1)?;
    until(&router, "the node to serve", |r| serves(r, &node)).await?;
    dns.services(NAME, 0, &[])?;
    until_gone(&router, &node).await?;
    assert_eq!(failures(&router), [] as [&str; 0]);
    Ok(())
}

#[tokio::test]
async fn the_time_to_live_is_kept_within_its_bounds() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    // Good for an hour: it is not asked again before the router ends.
    dns.services(NAME, 3600, &[service(&cluster, 1)?])?;
    let mut config = by_dns(&cluster, &dns, DnsRecord::Srv);
    config.discovery.max_ttl = Duration::from_secs(3600);
    let router = start(config.clone()).await?;
    let asked = dns.asked();
    let node = name_of(&cluster, 1)?;
    until(&router, "the node to get reads", |r| serves(r, &node)).await?;
    assert_eq!(dns.asked(), asked);
    router.shutdown().await;
    // The ceiling is lower.
    config.discovery.max_ttl = Duration::from_millis(100);
    let router = start(config).await?;
    until(&router, "more questions", |_| dns.asked() > asked + 5).await
}

#[tokio::test]
async fn a_server_that_is_found_under_a_second_name_splits_no_brain() -> Result {
    let cluster = Cluster::builder().replicas(1).start().await?;
    prepare(&cluster).await?;
    let dns = Dns::start().await?;
    // The record has the primary as well, and the replica is listed besides.
    let primary = format!("localhost:{}", cluster.primary().link().port());
    let ports = [cluster.primary().link().port(), cluster.replica(1)?.link().port()];
    dns.services(NAME, 0, &ports.map(|port| (0, 0, port, "localhost.")))?;
    let mut config = config(&cluster);
    config.discovery = by_dns(&cluster, &dns, DnsRecord::Srv).discovery;
    let router = start(config).await?;
    let twins = |r: &Router<Plain>| {
        let topology = r.topology();
        let twins = topology.nodes().iter().filter(|n| n.quarantine == Some(Quarantine::SameServer));
        twins.map(|node| node.name.to_string()).collect::<Vec<_>>()
    };
    let second = [primary, name_of(&cluster, 1)?];
    until(&router, "both to be known again", |r| twins(r) == second).await?;
    write(&router, "before").await?;
    cluster.primary().restart().await?;
    until(&router, "the primary to be back", |r| {
        r.topology().primary().is_ok_and(|primary| primary.health == HealthState::Healthy)
    })
    .await?;
    // Connections of before are broken, and the pool does not know.
    rr_tests::wait::until("a write to succeed", async || Ok(write(&router, "between").await.is_ok())).await?;
    cluster.primary().kill9().await?;
    cluster.replica(1)?.promote().await?;
    until(&router, "the promotion to be followed", |r| {
        r.topology()
            .primary()
            .is_ok_and(|primary| primary.name.contains(&*second[1]) || &*primary.name == "replica-1")
    })
    .await?;
    write(&router, "after").await?;
    let split = |told: &rr_core::journal::Told| matches!(told.notice, Notice::SplitBrain { .. });
    assert!(!router.recent_notices(0).iter().any(split));
    Ok(())
}
