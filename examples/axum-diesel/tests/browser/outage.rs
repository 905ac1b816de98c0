//! A real Prometheus beside the example, while a server of its laboratory is down.

use rr_tests::prometheus::{Prometheus, PrometheusError};

use super::*;

/// Waits until Prometheus has the counts of reads and writes of each node that the page was told last.
async fn both_count_alike(page: &Page, prometheus: &Prometheus) -> Result {
    let differing = async || -> Result<Vec<String>> {
        let nodes = page.browser.run("return window.told?.nodes ?? []").await?;
        let nodes = nodes.as_array().ok_or("nodes")?;
        let mut differing = Vec::new();
        for node in nodes {
            for (what, those) in [("reads", "!~"), ("writes", "=~")] {
                let name = node["name"].as_str().ok_or("a name")?;
                let series =
                    format!("rr_routes_total{{rr_node=\"{name}\",rr_reason{those}\"write|session_state\"}}");
                let told = prometheus.query(&format!("sum({series}) or vector(0)")).await?;
                if told.is_none() || told != node[what].as_f64() {
                    differing.push(format!("{what} of {name}: {told:?} and {}", node[what]));
                }
            }
        }
        Ok(if nodes.len() == 3 { differing } else { vec!["no frame".to_owned()] })
    };
    let alike = async || match differing().await? {
        none if none.is_empty() => Ok(true),
        some => Err::<_, Box<dyn Error + Send + Sync>>(some.join("; ").into()),
    };
    Ok(wait_until(PATIENCE, "the page and Prometheus to show the same counts", alike).await?)
}

#[tokio::test]
async fn an_outage_in_the_laboratory_raises_an_alert_and_its_end_clears_it() -> Result {
    if web_driver::is_absent() {
        return Ok(());
    }
    let example = Example::start(1).await?;
    let address = example.urls[0].trim_start_matches("http://");
    let prometheus = Prometheus::start(address).await?;
    let page = Page::of(&example.urls[0]).await?;
    page.healthy().await?;
    page.browser
        .run("document.addEventListener('rr:frame', (event) => { window.told = event.detail; })")
        .await?;
    // Counts that stand still can be compared.
    page.browser.press("#traffic").await?;
    page.burst().await?;
    both_count_alike(&page, &prometheus).await?;
    let firing = async || prometheus.firing("rr_node").await;
    assert_eq!(firing().await?, [], "all is well");

    let down = ("RRReplicaDown".to_owned(), "replica-2".to_owned());
    page.server("replica-2", "kill").await?;
    let raised = async || Ok::<_, PrometheusError>(firing().await?.contains(&down));
    wait_until(PATIENCE, "the alert", raised).await?;
    page.node("replica-2", "bad", "Out: does not answer").await?;
    assert!(!page.burst().await?.contains(&"replica-2".to_owned()));
    both_count_alike(&page, &prometheus).await?;

    page.server("replica-2", "kill").await?;
    let cleared = async || Ok::<_, PrometheusError>(firing().await?.is_empty());
    wait_until(PATIENCE, "its end", cleared).await?;
    page.healthy().await?;
    page.burst().await?;
    both_count_alike(&page, &prometheus).await?;
    page.browser.quit().await?;
    example.stop().await
}
