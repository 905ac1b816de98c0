//! The rules and the dashboard in `deploy/`: that they are right in themselves, and about metrics that exist.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rr_core::config::Secret;
use rr_core::{Consistency, Requirement, Session};
use serde_json::Value;

use super::*;

async fn rules() -> Result<String> {
    Ok(tokio::fs::read_to_string(deploy("prometheus/rules.yml")).await?)
}

#[tokio::test]
async fn every_alert_fires_and_clears_in_its_scenario() -> Result {
    let folder = deploy("prometheus");
    promtool(&folder, &["check", "rules", "--lint=all", "--lint-fatal", "rules.yml"], "").await?;
    promtool(&folder, &["test", "rules", "tests.yml"], "").await?;
    let scenarios = tokio::fs::read_to_string(folder.join("tests.yml")).await?;
    let rules = rules().await?;
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 13, "{alerts:?}");
    let guide = tokio::fs::read_to_string(deploy("../docs/guide/monitoring.md")).await?;
    for alert in alerts {
        assert!(scenarios.contains(&format!("- alertname: {alert}\n")), "{alert} fires in a scenario");
        assert!(scenarios.contains(&format!("- {{ alertname: {alert}, ")), "{alert} clears in a scenario");
        assert!(guide.contains(&format!("### {alert}\n")), "{alert} is in the guide");
    }
    Ok(())
}

#[tokio::test]
async fn every_alert_says_how_bad_it_is_and_where_to_read_on() -> Result {
    let rules = rules().await?;
    for alert in rules.split("- alert: ").skip(1) {
        let field = |name: &str| {
            alert.lines().find_map(|line| line.trim().strip_prefix(name)).ok_or_else(|| name.to_owned())
        };
        let name = alert.lines().next().ok_or("a name")?;
        assert!(["warning", "critical"].contains(&field("severity: ")?), "{name}");
        assert!(!field("summary: ")?.is_empty() && !field("description: ")?.is_empty(), "{name}");
        let (page, place) = field("runbook_url: ")?.split_once('#').ok_or("a place on a page")?;
        let text = tokio::fs::read_to_string(deploy("..").join(page)).await?;
        let headings = text.lines().filter(|line| line.starts_with("## ") || line.starts_with("### "));
        let mut places = headings.map(|heading| {
            let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            heading
                .trim_start_matches(['#', ' '])
                .to_lowercase()
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        });
        assert!(places.any(|one| one == place), "{name}: {page} has no {place}");
    }
    Ok(())
}

/// What a router says that has seen nearly everything: reads, a token, a wait in vain, and a promotion.
async fn experienced() -> Result<String> {
    let cluster = Cluster::builder().replicas(2).start().await?;
    prepare(&cluster).await?;
    let told = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&told);
    let hear = move |_: &rr_core::notify::Notification| heard.store(true, Ordering::Relaxed);
    let mut config = config(&cluster);
    config.session.keys = vec![Secret::new("a key that is long enough for this")];
    let router = Router::builder(Plain).config(config).on_notice(hear).start().await?;
    all_serving(&router).await?;
    for node in cluster.replicas() {
        node.pause_replay().await?;
    }
    let session = Session::new();
    session.wrote(&crate::router::write(&router, "unseen").await?);
    drop(router.token(&session)?);
    let request = Request::read(router.requirement(Some(&session), Some(Consistency::Session)));
    drop(router.route_within(&request, Duration::from_millis(20)).await?);
    for node in cluster.replicas() {
        node.resume_replay().await?;
    }
    for _ in 0..4096 {
        drop(router.route(&Request::read(Requirement::NONE))?);
    }
    cluster.primary().kill9().await?;
    // An outage that nobody has seen has no duration.
    let silent = |r: &Router<Plain>| r.topology().primary().map_or(true, |primary| primary.failures > 0);
    crate::router::until(&router, "the outage", silent).await?;
    cluster.replica(1)?.promote().await?;
    crate::router::until(&router, "the new primary", |r| r.topology().epoch().number() == 2).await?;
    for last in
        ["rr_failover_duration_seconds_count", "rr_decision_duration_seconds_count", "rr_notifications_total"]
    {
        wait::until(last, async || Ok(series_names(&scrape(&router).await?).contains(last))).await?;
    }
    assert!(told.load(Ordering::Relaxed));
    scrape(&router).await
}

/// The words in a text that begin as our metrics and labels do.
fn words(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("rr_")).collect()
}

/// Every PromQL expression of the dashboard, its variables included.
fn expressions(of: &Value, into: &mut Vec<String>) {
    match of {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value.as_str()) {
                    ("expr" | "query" | "definition", Some(text)) => into.push(text.to_owned()),
                    _ => expressions(value, into),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| expressions(one, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn rules_and_dashboard_are_about_metrics_that_exist() -> Result {
    let scraped = experienced().await?;
    let said = promtool(&deploy("prometheus"), &["check", "metrics"], &scraped).await?;
    assert_eq!(said, "", "promtool has nothing to say of any of them");
    let samples: Vec<_> = scraped.lines().filter(|line| !line.starts_with('#')).collect();
    let mut known = series_names(&scraped);
    for sample in samples {
        let labels = sample.split_once('{').map_or("", |(_, rest)| rest);
        known.extend(labels.split(['{', ',']).filter_map(|pair| Some(pair.split_once('=')?.0)));
    }
    let rules = rules().await?;
    let unknown: Vec<_> = words(&rules).into_iter().filter(|word| !known.contains(word)).collect();
    assert!(unknown.is_empty(), "the rules know {unknown:?}, and a scrape has {known:?}");

    let text = tokio::fs::read_to_string(deploy("grafana/dashboard.json")).await?;
    let board: Value = serde_json::from_str(&text)?;
    let mut all = Vec::new();
    expressions(&board, &mut all);
    assert!(all.len() > 20, "{all:?}");
    for expression in &all {
        let unknown: Vec<_> = words(expression).into_iter().filter(|word| !known.contains(word)).collect();
        assert!(
            unknown.is_empty(),
            "the dashboard knows {unknown:?} ({expression}), and a scrape has {known:?}"
        );
    }
    let rows = board["panels"].as_array().ok_or("panels")?.iter();
    let rows: Vec<_> =
        rows.filter(|one| one["type"] == "row").filter_map(|one| one["title"].as_str()).collect();
    assert_eq!(rows, ["Overview", "Routing", "Lag", "Consistency", "Failover", "Pools"]);
    Ok(())
}
