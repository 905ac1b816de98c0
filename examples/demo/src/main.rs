//! `make demo`: boots a primary and two streaming replicas in a temporary folder, routes reads and writes over them, and
//! lets you break things while it goes on. Ctrl-C removes everything.
#![expect(clippy::print_stdout, reason = "a program that shows something")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use rr_core::position::{Lsn, PgPosition, Timeline};
use rr_core::world::Notice;
use rr_core::{Outcome, Position, Request, Route, Router};
use rr_tests::cluster::Cluster;
use rr_tests::plain::{Plain, Pool, config};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::ERROR).init();
    println!("booting a primary and two replicas ...");
    let cluster = Cluster::builder().replicas(2).start().await?;
    cluster.primary().sql("CREATE TABLE note (id bigserial PRIMARY KEY, text text NOT NULL)").await?;
    cluster.wait_caught_up(Duration::from_secs(10)).await?;
    let router = Router::builder(Plain).config(config(&cluster)).start().await?;
    tokio::select! {
        shown = show(&cluster, &router) => shown?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    router.shutdown().await;
    println!("\nstopping the servers and removing {}", cluster.folder().display());
    Ok(())
}

async fn show(cluster: &Cluster, router: &Router<Plain>) -> Result {
    println!("up in {:?}: {}\n", cluster.boot_time(), cluster.programs().version());
    println!("1. A thousand reads, and what the servers say about who answered:");
    println!("   {}", tally(reads(router, 1_000).await?));
    println!("2. A hundred times: write, then at once read it back, wherever that may be:");
    let (seen, nodes) = write_and_read_back(router, 100).await?;
    println!("   {seen} of 100 reads saw the write; answered by {}", tally(nodes));
    println!("3. Replay on both replicas paused, then the same again:");
    for replica in cluster.replicas() {
        replica.pause_replay().await?;
    }
    let (seen, nodes) = write_and_read_back(router, 20).await?;
    println!("   {seen} of 20 reads saw the write; answered by {}", tally(nodes));
    let needs = router.requirement(None, None);
    print!("{}", indent(&router.explain_route(&Request::read(needs)).to_string()));
    for replica in cluster.replicas() {
        replica.resume_replay().await?;
    }
    println!("4. `replica-2` is killed while reads go on:");
    let mut notices = router.notices();
    cluster.replica(2)?.kill9().await?;
    println!("   {}", tally(reads(router, 1_000).await?));
    while !matches!(notices.recv().await?, Notice::Health { .. }) {}
    cluster.replica(2)?.start().await?;
    println!("\nNow break things yourself. The servers:");
    for node in cluster.nodes() {
        println!("   {:<10} psql '{}'", node.name(), node.url());
    }
    println!("Try on a replica, as superuser, `SELECT pg_wal_replay_pause()`, or kill a postmaster.");
    println!("A line a second follows; what changes is told at once. Ctrl-C stops and removes everything.\n");
    watch(router).await
}

/// Goes on reading and writing, and tells what it sees.
async fn watch(router: &Router<Plain>) -> Result {
    let mut notices = router.notices();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            notice = notices.recv() => println!("   * {}", notice?),
            _ = ticks.tick() => {
                let line = match (write(router, "tick").await, reads(router, 200).await) {
                    (Ok(_), Ok(nodes)) => format!("1 write; 200 reads by {}", tally(nodes)),
                    (Err(error), Ok(nodes)) => format!("no write ({error}); 200 reads by {}", tally(nodes)),
                    (_, Err(error)) => format!("no reads: {error}"),
                };
                println!("   {line}");
            }
        }
    }
}

async fn reads(router: &Router<Plain>, count: u32) -> Result<BTreeMap<String, u32>> {
    let mut nodes = BTreeMap::new();
    for _ in 0..count {
        let request = Request::read(router.requirement(None, None));
        *nodes
            .entry(read(router, &request, "SELECT current_setting('application_name')").await?)
            .or_default() += 1;
    }
    Ok(nodes)
}

async fn write_and_read_back(router: &Router<Plain>, count: u32) -> Result<(u32, BTreeMap<String, u32>)> {
    let (mut seen, mut nodes) = (0, BTreeMap::new());
    for n in 0..count {
        let text = format!("note {n}");
        router.process_session().wrote(&write(router, &text).await?);
        let sql = format!(
            "SELECT count(*)::text || ' ' || current_setting('application_name') FROM note WHERE text = '{text}'"
        );
        let request = Request::read(router.requirement(None, None));
        let answer = read(router, &request, &sql).await?;
        let (count, node) = answer.split_once(' ').ok_or("two words")?;
        seen += u32::from(count != "0");
        *nodes.entry(node.to_owned()).or_default() += 1;
    }
    Ok((seen, nodes))
}

/// A read goes to another node when its own fails: it has changed nothing.
async fn read(router: &Router<Plain>, request: &Request<'_>, sql: &str) -> Result<String> {
    let mut tried = Vec::new();
    loop {
        let request = request.clone().avoiding(&tried);
        let route = router.route_within(&request, router.config().causal_wait).await?;
        let node = route.node();
        match run(route, sql).await {
            Ok(answer) => return Ok(answer),
            Err(_) => tried.push(node),
        }
    }
}

/// Writes, and says where in the log that ended.
async fn write(router: &Router<Plain>, text: &str) -> Result<Position> {
    let insert = format!("INSERT INTO note (text) VALUES ('{text}') RETURNING text");
    run(router.route(&Request::write())?, &insert).await?;
    let sql =
        "SELECT pg_current_wal_insert_lsn()::text || ' ' || pg_walfile_name(pg_current_wal_insert_lsn())";
    let end = run(router.route(&Request::write())?, sql).await?;
    let (lsn, file) = end.split_once(' ').ok_or("two words")?;
    let lsn = lsn.parse::<Lsn>()?.normalised(16 << 20);
    Ok(PgPosition::new(Timeline::from_wal_file_name(file)?, lsn).into())
}

async fn run(mut route: Route<Pool>, sql: &str) -> Result<String> {
    let pool = route.pool().clone();
    let connection = match pool.get().await {
        Ok(connection) => connection,
        Err(error) => {
            route.finish(Outcome::Failed(rr_core::engine::Fault::Refused));
            return Err(error.into());
        }
    };
    route.begin();
    let answer = connection.query_one(sql, &[]).await;
    let role = route.role();
    let fault = answer.as_ref().err().and_then(|error| rr_core::Connector::fault(&Plain, error, role));
    route.finish(fault.map_or(Outcome::Answered, Outcome::Failed));
    Ok(answer?.get(0))
}

fn tally(nodes: BTreeMap<String, u32>) -> String {
    let each: Vec<String> = nodes.into_iter().map(|(node, count)| format!("{node}: {count}")).collect();
    each.join(", ")
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}
