//! Clients that go from process to process, while replicas stand still or lag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use http::{Method, StatusCode};
use rr_core::time::Clock;
use serde_json::{Value, json};

use super::{Browser, Example, Result, ensure};
use crate::Client;

const CLIENTS: u64 = 16;

/// Each client writes on one instance and looks on the other, with its cookies; a stranger looks as well, without.
///
/// # Errors
/// When the program cannot be started, a request fails, or a client misses its own write.
pub async fn own_writes(program: &str) -> Result {
    let example = Example::start(program, 2).await?;
    let client = Client::new();
    let mut browser = example.browser(&client);
    let replicas = ["replica-1", "replica-2"];
    let mut requests = 0;
    for name in replicas {
        browser.experiment(&format!("nodes/{name}/pause"), Value::Null).await?;
    }
    let paused = crowd(&example, &client, "paused", 50).await?;
    let before = replica_reads(&mut browser).await?;
    for (name, ms) in [("replica-1", 40), ("replica-2", 200)] {
        browser.experiment(&format!("nodes/{name}/delay"), json!({ "ms": ms })).await?;
        browser.experiment(&format!("nodes/{name}/resume"), Value::Null).await?;
    }
    let lagging = crowd(&example, &client, "lagging", 50).await?;
    browser.experiment("heal", Value::Null).await?;
    let between = replica_reads(&mut browser).await?;
    let caught_up = crowd(&example, &client, "caught-up", 50).await?;
    let after = replica_reads(&mut browser).await?;
    for (phase, seen) in [("paused", &paused), ("lagging", &lagging), ("caught up", &caught_up)] {
        requests += seen.requests;
        report(&format!(
            "{phase}: {} requests in {:?}, {} of {} strangers saw an older state",
            seen.requests, seen.time, seen.stale, seen.strangers
        ));
    }
    ensure(requests >= 10_000, || format!("only {requests} requests"))?;
    for (phase, stale) in [("paused", paused.stale), ("lagging", lagging.stale)] {
        ensure(stale > 0, || {
            format!("{phase}: no stranger saw an older state: the replicas were not asked")
        })?;
    }
    let served = (between - before, after - between);
    report(&format!(
        "replicas served {} reads while they lagged, and {} when they did not",
        served.0, served.1
    ));
    ensure(served.0 > lagging.strangers && served.1 > caught_up.strangers, || {
        format!("replicas served {} reads while they lagged and {} when they did not", served.0, served.1)
    })
}

/// Reads that replicas have served so far, of both instances.
async fn replica_reads(browser: &mut Browser) -> Result<u64> {
    let mut reads = 0;
    for instance in 0..2 {
        let text = browser.get(instance, "/metrics").await?;
        let routes = text
            .as_str()
            .ok_or("text")?
            .lines()
            .filter(|line| line.starts_with("rr_routes_total") && line.contains("rr_role=\"replica\""));
        reads += routes.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(reads)
}

/// What a crowd of clients did. That none of them missed a write of its own goes without saying.
#[derive(Default)]
struct Seen {
    requests: u64,
    strangers: u64,
    stale: u64,
    time: Duration,
}

async fn crowd(example: &Example, client: &Client, phase: &str, rounds: u64) -> Result<Seen> {
    let clock = Clock::start();
    let begun = clock.now();
    let clients = (0..CLIENTS).map(|number| {
        let browser = example.browser(client);
        let name = format!("{phase}-{number}");
        async move { tokio::spawn(writer(browser, name, rounds)).await? }
    });
    let mut all = Seen::default();
    for seen in try_join_all(clients).await? {
        all.requests += seen.requests;
        all.strangers += seen.strangers;
        all.stale += seen.stale;
    }
    all.time = clock.now().since(begun);
    Ok(all)
}

/// Makes a note and edits it, here and there, and each time looks on the other instance.
async fn writer(mut browser: Browser, name: String, rounds: u64) -> Result<Seen> {
    let mut seen = Seen { requests: 1, ..Seen::default() };
    browser.log_in(0, &name).await?;
    for round in 0..rounds {
        let (here, there) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        let title = format!("{name}, {round}");
        let input = json!({ "title": title, "body": "new", "tags": [name] });
        let note = browser.post(here, "/notes", input).await?;
        let path = format!("/notes/{}", note["id"]);
        let shown = browser.get(there, &path).await?;
        ensure(shown == note, || format!("{title}: it was not there"))?;
        let listed = browser.get(there, &format!("/notes?tag={name}")).await?;
        ensure(listed[0] == note, || format!("{title}: the list did not have it"))?;

        let input = json!({ "title": title, "body": "edited", "tags": [] });
        let (status, edited) = browser.send(here, Method::PUT, &path, Some(input)).await?;
        ensure(status.is_success() && edited["revision"] == 2, || format!("{title}: {status} {edited}"))?;
        // A stranger first: whatever it does must not help the writer.
        let (status, foreign) = browser.stranger().send(there, Method::GET, &path, None).await?;
        ensure(status.is_success() || status == StatusCode::NOT_FOUND, || {
            format!("{title}: {status} {foreign}")
        })?;
        seen.strangers += 1;
        seen.stale += u64::from(foreign != edited);
        for _ in 0..2 {
            let shown = browser.get(there, &path).await?;
            ensure(shown == edited, || format!("{title}: after the edit it showed {shown}"))?;
        }
        seen.requests += 7;
    }
    Ok(seen)
}

/// Reads of all clients together.
const READS: u64 = 100_000;
/// Many at once, who learn from the same probes.
const READERS: u64 = 64;

/// Clients that alternate between two instances, whose replicas lag by different times, never see less than before.
///
/// # Errors
/// When the program cannot be started, a request fails, or a client goes back in time.
pub async fn monotonic(program: &str) -> Result {
    let example = Example::start(program, 2).await?;
    let client = Client::new();
    let mut browser = example.browser(&client);
    browser.experiment("nodes/replica-2/delay", json!({ "ms": 150 })).await?;
    browser.log_in(0, "writer").await?;
    let reading = Arc::new(AtomicBool::new(true));
    let writing = tokio::spawn(write_on(browser, Arc::clone(&reading)));
    let left = Arc::new(AtomicU64::new(READS));
    let clock = Clock::start();
    let begun = clock.now();
    let readers = (0..READERS).map(|number| {
        let reader =
            Reader { browser: example.browser(&client), keeps_cookies: number > 0, left: Arc::clone(&left) };
        async move { tokio::spawn(reader.read_on()).await? }
    });
    let seen = try_join_all(readers).await;
    reading.store(false, Ordering::Relaxed);
    let written = writing.await??;
    let (mut reads, mut moved, mut without) = (0, 0, 0);
    for history in seen? {
        reads += history.reads;
        moved += history.forward;
        without += history.back;
    }
    report(&format!(
        "{reads} reads in {:?} while {written} notes were written: what was seen moved on {moved} times, and back \
         {without} times for the client without cookies",
        clock.now().since(begun)
    ));
    ensure(reads >= READS, || format!("only {reads} reads"))?;
    ensure(moved > 100, || format!("what was seen moved on only {moved} times"))?;
    ensure(without > 0, || "without cookies nobody went back: the test proves nothing".to_owned())
}

/// Writes now and then until nobody reads any more.
async fn write_on(mut browser: Browser, reading: Arc<AtomicBool>) -> Result<u64> {
    let mut written = 0;
    while reading.load(Ordering::Relaxed) {
        browser.post(0, "/notes", json!({ "title": "t", "body": "b" })).await?;
        written += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(written)
}

struct Reader {
    browser: Browser,
    keeps_cookies: bool,
    /// Reads that are still to be done by anybody.
    left: Arc<AtomicU64>,
}

/// What one reader saw.
#[derive(Default)]
struct History {
    reads: u64,
    forward: u64,
    back: u64,
}

impl Reader {
    async fn read_on(mut self) -> Result<History> {
        let (mut history, mut newest) = (History::default(), 0);
        let mut instance = 0;
        loop {
            // What a client without cookies reads is not counted: it only shows that there is something to go back to.
            let done = if self.keeps_cookies {
                self.left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_err()
            } else {
                self.left.load(Ordering::Relaxed) == 0
            };
            if done {
                return Ok(history);
            }
            instance += 1;
            let answer = match self.keeps_cookies {
                true => self.browser.get(instance, "/notes/count").await?,
                false => self.browser.stranger().get(instance, "/notes/count").await?,
            };
            let count = answer["notes"].as_u64().ok_or_else(|| format!("no number: {answer}"))?;
            ensure(count >= newest || !self.keeps_cookies, || format!("{count} notes after {newest}"))?;
            history.reads += u64::from(self.keeps_cookies);
            history.forward += u64::from(count > newest && self.keeps_cookies);
            history.back += u64::from(count < newest);
            newest = count;
        }
    }
}

/// Says what was measured, for whoever runs a test by hand.
#[expect(clippy::print_stdout, reason = "a test's output")]
fn report(line: &str) {
    println!("{line}");
}
