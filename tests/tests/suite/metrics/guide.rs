//! The guide lists exactly the metrics that there are, with their kinds, units and labels.

use rr_core::config::Secret;
use rr_core::discovery::{Discovering, Discovery, Found};
use rr_core::{Request, Requirement, Session};

use super::*;

const GUIDE: &str = include_str!("../../../../docs/guide/metrics.md");

#[derive(Debug, PartialEq, Eq)]
struct Row {
    kind: String,
    unit: String,
    labels: BTreeSet<String>,
}

/// The rows `| `name` | kind, `unit` | labels | meaning |`.
fn rows() -> BTreeMap<String, Row> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let row = |line: &'static str| {
        let cells = cells(line);
        let plain = |text: &str| text.replace('`', "");
        let (kind, unit) = cells.get(1)?.split_once(", ")?;
        let labels = plain(cells.get(2)?);
        let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned);
        let row = Row { kind: kind.to_owned(), unit: plain(unit), labels: labels.collect() };
        Some((plain(cells.first()?), row))
    };
    GUIDE.lines().filter(|line| line.starts_with("| `rr.")).filter_map(row).collect()
}

/// It knows for certain that there is nobody else.
struct Nobody;

impl Discovery for Nobody {
    fn name(&self) -> &str {
        "nobody"
    }

    fn discover(&self) -> Discovering<'_> {
        Box::pin(async { Ok(Found::none()) })
    }
}

/// What was collected, in the form of the guide.
fn found(all: &Collected) -> BTreeMap<String, Row> {
    let row = |metric: &Metric| Row {
        kind: metric.kind.to_owned(),
        unit: metric.unit.clone(),
        labels: metric.series.keys().flat_map(|labels| labels.keys().cloned()).collect(),
    };
    all.iter().map(|(name, metric)| (name.clone(), row(metric))).collect()
}

#[tokio::test]
async fn every_metric_of_the_guide_exists_and_the_other_way_round() -> Result {
    install();
    let rows = rows();
    assert!(rows.len() > 30, "the guide's tables are read: {rows:?}");
    let cluster = Cluster::builder().replicas(2).start().await?;
    crate::router::prepare(&cluster).await?;
    let mut config = named(&cluster, "guide");
    config.session.keys = vec![Secret::new("a key of the test of the guide, long enough")];
    config.discovery.interval = Duration::from_millis(100);
    let builder = Router::builder(Plain).config(config).discovery(Arc::new(Nobody));
    let router = builder.on_notice(|_| {}).start().await?;
    serving(&router).await?;
    // Among so many there is one whose time is taken.
    for _ in 0..1100 {
        drop(router.route(&Request::read(Requirement::NONE))?);
    }
    drop(router.token(&Session::new())?);
    // A read that waits.
    cluster.replicas()[0].pause_replay().await?;
    cluster.replicas()[1].pause_replay().await?;
    let at = crate::router::write(&router, "not replayed").await?;
    drop(router.route_within(&Request::read(Requirement::covering(at)), Duration::from_millis(20)).await?);
    cluster.replicas()[0].resume_replay().await?;
    cluster.replicas()[1].resume_replay().await?;
    // An outage, and another primary.
    cluster.primary().kill9().await?;
    let primary = || router.topology().primary().ok().map(|node| node.name.to_string());
    let silent = || value_of_health(&router, "guide-primary") == "unhealthy";
    until("the primary to be missed", async || Ok(silent())).await?;
    cluster.replica(1)?.promote().await?;
    until("the new primary", async || Ok(primary().as_deref() == Some("guide-replica-1"))).await?;
    let missing = async || -> Result<Vec<String>> {
        let found = found(&collect().await?);
        Ok(rows.keys().filter(|name| !found.contains_key(*name)).cloned().collect())
    };
    until("everything to be told", async || {
        let missing = missing().await?;
        if missing.is_empty() { Ok(true) } else { Err(format!("missing: {missing:?}").into()) }
    })
    .await?;
    for (name, found) in found(&collect().await?) {
        let row = rows.get(&name).ok_or_else(|| format!("{name} is not in docs/guide/metrics.md"))?;
        assert_eq!(&found, row, "{name}");
    }
    Ok(())
}

fn value_of_health(router: &Router<Plain>, name: &str) -> String {
    let topology = router.topology();
    let node = topology.nodes().iter().find(|node| &*node.name == name);
    node.map(|node| node.health.to_string()).unwrap_or_default()
}
