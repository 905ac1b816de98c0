//! The text that is scraped.

use std::path::Path;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use rr_core::Requirement;

use super::*;

const READS: &str = "rr_routes_total{rr_node=\"replica-1\",rr_reason=\"replica\",rr_role=\"replica\"}";

#[tokio::test]
async fn a_scrape_is_what_prometheus_wants_without_any_provider_of_the_application() -> Result {
    let (_cluster, router) = routed(1).await?;
    for _ in 0..3 {
        run(router.route(&Request::read(Requirement::NONE))?, "SELECT 'text'").await?;
    }
    run(router.route(&Request::write())?, "SELECT 'text'").await?;
    let app: axum::Router = metrics(&router);
    let answer = app.oneshot(HttpRequest::get("/metrics").body(Body::empty())?).await?;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");

    let text = scrape(&router).await?;
    let said = promtool(Path::new("/"), &["check", "metrics"], &text).await?;
    assert_eq!(said, "", "promtool has nothing to say");
    assert_eq!(value(&text, READS), Some(3.0), "{text}");
    for name in series_names(&text) {
        assert!(name.starts_with("rr_"), "{name}");
    }
    let address = router.config().primary.url.expose();
    let port = address.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()).ok_or("a port")?;
    assert!(!text.contains("postgres:") && !text.contains(port), "no address, no secret: {text}");
    Ok(())
}

#[tokio::test]
async fn two_routers_of_one_process_have_a_text_each() -> Result {
    let (cluster, one) = routed(1).await?;
    let other = start(config(&cluster)).await?;
    all_serving(&other).await?;
    drop(one.route(&Request::read(Requirement::NONE))?);
    assert_eq!(value(&scrape(&one).await?, READS), Some(1.0));
    assert_eq!(value(&scrape(&other).await?, READS), None, "nothing was read through it");
    Ok(())
}

#[tokio::test]
async fn a_node_that_has_left_is_in_the_text_no_more() -> Result {
    let (_cluster, router) = routed(2).await?;
    let told = async || {
        let text = scrape(&router).await?;
        Ok::<_, Box<dyn std::error::Error>>(text.lines().filter(|line| line.contains("replica-2")).count())
    };
    wait::until("it to be read from", async || {
        let route = router.route(&Request::read(Requirement::NONE))?;
        let there = &**route.name() == "replica-2";
        run(route, "SELECT 'text'").await?;
        Ok(there)
    })
    .await?;
    assert!(told().await? > 10);
    router.remove_node("replica-2").await?;
    wait::until("nothing to name it", async || match told().await? {
        0 => Ok(true),
        _ => Err(scrape(&router).await?.into()),
    })
    .await
}
