//! For each reason one scenario that produces it, and nothing else: in the span, in the metric, and in the explanation.

use rr_core::config::{CausalElse, ReadPreference};
use rr_core::{Position, Request, Requirement, Route, RouteReason};
use rr_tests::plain::Pool;

use tracing_subscriber::filter::LevelFilter;

use super::*;
use crate::router::{healthy, write};

/// What a router has counted, by reason.
async fn counted(prefix: &str) -> Result<BTreeMap<(String, String), f64>> {
    let all = collect().await?;
    let Some(routes) = all.get("rr.routes") else { return Ok(BTreeMap::new()) };
    let of = |labels: &Labels, key: &str| labels.get(key).cloned().unwrap_or_default();
    let own = routes.series.iter().filter(|(labels, _)| of(labels, "rr.node").starts_with(prefix));
    Ok(own.map(|(labels, value)| ((of(labels, "rr.node"), of(labels, "rr.reason")), *value)).collect())
}

struct Golden {
    log: Log,
    seen: BTreeSet<&'static str>,
}

impl Golden {
    /// Routes once, and holds what was told of it against the reason.
    async fn check(
        &mut self,
        prefix: &str,
        router: &Router<Plain>,
        request: &Request<'_>,
        reason: RouteReason,
        route: impl AsyncFnOnce() -> Result<Route<Pool>>,
    ) -> Result {
        let explained = router.explain_route(request);
        let before = counted(prefix).await?;
        drop(self.log.take());
        let route = route().await?;
        let node = route.name().to_string();
        assert_eq!(route.reason(), reason);
        route.runs("SELECT 'a value' FROM golden");
        drop(route);

        let spans = self.log.take();
        let mut spans = spans.lines().filter(|line| line.contains("rr.statement{"));
        let span = spans.next().ok_or("a span")?;
        assert_eq!(spans.next(), None, "one statement, one span");
        for field in [
            format!("rr.reason=\"{reason}\""),
            format!("rr.node=\"{node}\""),
            format!("rr.class=\"{}\"", request.access),
            "db.system.name=\"postgresql\"".to_owned(),
            "db.operation.name=\"SELECT\"".to_owned(),
            "server.address=\"127.0.0.1\"".to_owned(),
            "server.port=".to_owned(),
            "rr.epoch=1".to_owned(),
        ] {
            assert!(span.contains(&field), "{field}: {span}");
        }
        assert!(!span.contains("a value"), "{span}");

        let mut expected = before;
        *expected.entry((node.clone(), reason.to_string())).or_default() += 1.0;
        assert_eq!(counted(prefix).await?, expected, "{reason} counts once, and nothing else does");

        let told = explained.to_string();
        if reason == RouteReason::CaughtUp {
            assert!(explained.waits.is_some() && told.contains("for a replica to catch up"), "{told}");
            assert_eq!(explained.outcome.ok(), Some(RouteReason::ReplicasBehind), "unless one does: {told}");
        } else {
            assert_eq!(explained.outcome.as_ref().ok(), Some(&reason), "{told}");
            assert!(explained.candidates.iter().any(|name| **name == *node), "{told}");
            let json = serde_json::to_value(&explained)?;
            assert_eq!(json["reason"], reason.as_str());
            assert_eq!(json["class"], request.access.as_str());
            assert_eq!(json["nodes"].as_array().map(Vec::len), Some(router.topology().nodes().len()));
        }
        self.seen.insert(reason.as_str());
        Ok(())
    }

    async fn at_once(
        &mut self,
        prefix: &str,
        router: &Router<Plain>,
        request: Request<'_>,
        reason: RouteReason,
    ) -> Result {
        self.check(prefix, router, &request, reason, async || Ok(router.route(&request)?)).await
    }
}

fn read() -> Request<'static> {
    Request::read(Requirement::NONE)
}

fn must_see(at: &Position) -> Request<'static> {
    Request::read(Requirement::covering(at.clone()))
}

#[tokio::test]
async fn each_reason_is_told_alike_by_span_metric_and_explanation() -> Result {
    install();
    let log = Log::default();
    let _listening = log.listen(LevelFilter::DEBUG);
    let mut golden = Golden { log, seen: BTreeSet::new() };
    let cluster = Cluster::builder().replicas(2).start().await?;
    crate::router::prepare(&cluster).await?;

    let mut config = named(&cluster, "golden-all");
    config.replicas[1] = config.replicas[1].clone().with_group("analytics");
    let all = start(config).await?;
    for (request, reason) in [
        (Request::write(), RouteReason::Write),
        (Request::session(), RouteReason::SessionState),
        (Request::read(Requirement::PRIMARY), RouteReason::PrimaryRequired),
        (read().prefer(ReadPreference::Primary), RouteReason::PrimaryPreferred),
        (read(), RouteReason::Replica),
        (read().in_group("analytics"), RouteReason::Group),
        (read().prefer(ReadPreference::Nearest), RouteReason::Nearest),
    ] {
        golden.at_once("golden-all", &all, request, reason).await?;
    }

    let mut config = named(&cluster, "golden-alone");
    config.replicas.clear();
    let alone = start(config).await?;
    golden.at_once("golden-alone", &alone, read(), RouteReason::NoReplicas).await?;

    let mut config = named(&cluster, "golden-stale");
    config.causal_else = CausalElse::Stale;
    config.causal_wait = Duration::ZERO;
    let stale = start(config).await?;
    for replica in cluster.replicas() {
        replica.pause_replay().await?;
    }
    let at = write(&all, "not replayed").await?;
    golden.at_once("golden-stale", &stale, must_see(&at), RouteReason::Stale).await?;
    golden.at_once("golden-all", &all, must_see(&at), RouteReason::ReplicasBehind).await?;

    let request = must_see(&at);
    let waiting = async || -> Result<Route<Pool>> {
        let resumed = async {
            for replica in cluster.replicas() {
                replica.resume_replay().await?;
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let (resumed, route) = tokio::join!(resumed, all.route_within(&request, PATIENCE));
        resumed?;
        Ok(route?)
    };
    golden.check("golden-all", &all, &request, RouteReason::CaughtUp, waiting).await?;

    for replica in cluster.replicas() {
        replica.kill9().await?;
    }
    let down = || !healthy(&all, "golden-all-replica-1") && !healthy(&all, "golden-all-replica-2");
    until("both replicas to be down", async || Ok(down())).await?;
    golden.at_once("golden-all", &all, read(), RouteReason::ReplicasDown).await?;

    let every: BTreeSet<&str> = RouteReason::ALL.into_iter().map(RouteReason::as_str).collect();
    assert_eq!(golden.seen, every, "a scenario for each reason");
    Ok(())
}
