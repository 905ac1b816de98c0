//! A real Prometheus scrapes an application while its servers die and come back.

use rr_core::Requirement;
use rr_core::web::dashboard;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// An application that serves nothing but its metrics.
struct Application {
    address: String,
    serving: JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Application {
    async fn over(router: &Router<Plain>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let routes: axum::Router = metrics(router);
        let serving =
            async move { axum::serve(listener, routes).await.expect("it serves until it is dropped") };
        Ok(Self { address, serving: tokio::spawn(serving) })
    }
}

#[tokio::test]
async fn alerts_fire_when_servers_die_and_clear_when_they_are_back() -> Result {
    let (cluster, router) = routed(2).await?;
    let application = Application::over(&router).await?;
    let prometheus = Prometheus::start(&application.address).await?;
    let serving = "sum(rr_nodes{rr_state=\"healthy\"})";
    wait::until("three nodes in Prometheus", async || Ok(prometheus.query(serving).await? == Some(3.0)))
        .await?;
    assert_eq!(prometheus.firing("rr_node").await?, [], "all is well");

    let down = || ("RRReplicaDown".to_owned(), "replica-1".to_owned());
    cluster.replica(1)?.kill9().await?;
    wait::until("the alert", async || Ok(prometheus.firing("rr_node").await?.contains(&down()))).await?;
    let critical = |alerts: Vec<(String, String)>| alerts.iter().any(|(_, severity)| severity == "critical");
    assert!(!critical(prometheus.firing("severity").await?), "nobody is woken for that");
    cluster.replica(1)?.start().await?;
    wait::until("its end", async || Ok(prometheus.firing("rr_node").await?.is_empty())).await?;

    let gone = || ("RRPrimaryUnreachable".to_owned(), "critical".to_owned());
    cluster.primary().kill9().await?;
    wait::until("the alert", async || Ok(prometheus.firing("severity").await?.contains(&gone()))).await?;
    cluster.primary().start().await?;
    wait::until("its end", async || Ok(!prometheus.firing("severity").await?.contains(&gone()))).await
}

/// What the live page is told first.
async fn shown(router: &Router<Plain>) -> Result<Value> {
    let page: axum::Router = dashboard(router);
    let answer = page.oneshot(HttpRequest::get("/dashboard/events").body(Body::empty())?).await?;
    let event = answer.into_body().frame().await.ok_or("an event")??;
    let event = event.into_data().map_err(|_| "data")?;
    let data = std::str::from_utf8(&event)?.lines().find_map(|line| line.strip_prefix("data: "));
    Ok(serde_json::from_str(data.ok_or("a frame")?)?)
}

#[tokio::test]
async fn the_live_page_shows_the_figures_that_prometheus_shows() -> Result {
    let (_cluster, router) = routed(1).await?;
    let application = Application::over(&router).await?;
    let prometheus = Prometheus::start(&application.address).await?;
    for _ in 0..7 {
        run(router.route(&Request::read(Requirement::NONE))?, "SELECT 'read'").await?;
    }
    for _ in 0..3 {
        run(router.route(&Request::write())?, "SELECT 'write'").await?;
    }
    let frame = shown(&router).await?;
    for node in frame["nodes"].as_array().ok_or("nodes")? {
        let name = node["name"].as_str().ok_or("a name")?;
        for (shown, reasons) in [("reads", "rr_reason!=\"write\""), ("writes", "rr_reason=\"write\"")] {
            let wanted = node[shown].as_f64();
            let expression = format!("sum(rr_routes_total{{rr_node=\"{name}\",{reasons}}}) or vector(0)");
            let what = format!("{shown} of {name} to be {wanted:?} in Prometheus");
            wait::until(&what, async || Ok(prometheus.query(&expression).await? == wanted)).await?;
        }
        let states = ["unknown", "healthy", "degraded", "unhealthy"];
        let state = format!("rr_node_health{{rr_node=\"{name}\"}}");
        let agree = async || {
            let (frame, told) = (shown(&router).await?, prometheus.query(&state).await?);
            let nodes = frame["nodes"].as_array().ok_or("nodes")?;
            let shown = nodes.iter().find(|node| node["name"] == name).ok_or("the node")?;
            let told = (0_u8..).zip(states).find(|(number, _)| told == Some(f64::from(*number)));
            Ok(told.is_some_and(|(_, word)| shown["state"] == word))
        };
        wait::until("both to show one state", agree).await?;
    }
    assert_eq!(prometheus.query("rr_epoch").await?, frame["cluster"]["epoch"].as_f64(), "{frame:#}");
    assert_eq!(prometheus.query("rr_in_flight{rr_node=\"primary\"}").await?, Some(0.0));
    Ok(())
}
