//! The laboratory: a control of the cluster's servers over HTTP, on the loopback of the launcher.
//!
//! | request | does |
//! |---|---|
//! | `GET /nodes` | nothing |
//! | `POST /nodes/{name}/pause` | stops the replay on a replica |
//! | `POST /nodes/{name}/resume` | lets it go on |
//! | `POST /nodes/{name}/delay` `{"ms": 500}` | holds back each commit on a replica until it is that old; 0 ends it |
//! | `POST /nodes/{name}/network` `{"ms": 20}` | lets each way between applications and a server take that long; 0 ends it |
//! | `POST /nodes/{name}/kill` | `kill -9` |
//! | `POST /nodes/{name}/start` | brings it back |
//! | `POST /nodes/{name}/heal` | undoes all that is done to a server |
//! | `POST /heal` | undoes all that is done to any |
//! | `GET /instances` | nothing; says where the instances are: `{ "instances": [ { "number": 1, "url": "…" }, … ] }` |
//!
//! Each of the others answers with what is done to the servers now:
//!
//! ```json
//! { "nodes": [ { "name": "replica-1", "role": "replica", "running": true, "paused": false,
//!                "apply_delay_ms": 0, "network_delay_ms": 0 }, … ] }
//! ```
//!
//! An error is `{ "error": "…" }`: 404 for what does not exist, 409 for what cannot be done to this server now, 400 for
//! numbers out of range (delays go up to ten minutes and ten seconds). Operations run one after the other.
//!
//! Whoever asks must know the key, which only instances are told: a web page can reach this port, but not know that.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderName, StatusCode};
use rr_tests::cluster::{Cluster, ClusterError, Node};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::BoxError;

/// The header with the key.
pub(crate) const KEY_HEADER: HeaderName = HeaderName::from_static("example-laboratory-key");

const LONGEST_APPLY_DELAY: u64 = 600_000;
const LONGEST_NETWORK_DELAY: u64 = 10_000;

/// Where the laboratory is, and its key.
pub(crate) struct Laboratory {
    url: String,
    key: String,
    instances: Arc<OnceLock<Vec<Place>>>,
}

/// Where an instance is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) number: u16,
    pub(crate) url: String,
}

/// Where the instances are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) instances: Vec<Place>,
}

/// What is done to a server.
#[derive(Clone, Debug, Default, Serialize)]
struct Done {
    paused: bool,
    apply_delay_ms: u64,
    network_delay_ms: u64,
}

#[derive(Clone)]
struct Bench {
    cluster: Arc<Cluster>,
    /// In the order of the cluster's servers. Held while something is done.
    done: Arc<Mutex<Vec<Done>>>,
    instances: Arc<OnceLock<Vec<Place>>>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    role: &'static str,
    running: bool,
    #[serde(flatten)]
    done: Done,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Delay {
    ms: u64,
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is no such server")]
    Unknown,
    #[error("the primary does not replay")]
    Primary,
    #[error("{0} ms is too long; {1} is the most")]
    TooLong(u64, u64),
    #[error(transparent)]
    Failed(#[from] ClusterError),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::TooLong(..) => StatusCode::BAD_REQUEST,
            Self::Primary | Self::Failed(_) => StatusCode::CONFLICT,
        };
        (status, Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

type Answer = Result<Json<serde_json::Value>, Refused>;

impl Laboratory {
    /// Serves it on a free port of the loopback, until the process ends.
    pub(crate) async fn start(cluster: Arc<Cluster>, key: String) -> Result<Self, BoxError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let done = Arc::new(Mutex::new(vec![Done::default(); cluster.nodes().len()]));
        let instances = Arc::new(OnceLock::new());
        let application = routes(Bench { cluster, done, instances: Arc::clone(&instances) }, key.clone());
        tokio::spawn(async move { axum::serve(listener, application).await });
        Ok(Self { url, key, instances })
    }

    /// Tells where the instances are, once they are somewhere.
    pub(crate) fn has(&self, instances: impl Iterator<Item = Place>) {
        self.instances.get_or_init(|| instances.collect());
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

fn routes(bench: Bench, key: String) -> axum::Router {
    let knows_the_key = move |request: Request, next: Next| {
        let knows = request.headers().get(KEY_HEADER).is_some_and(|given| given == key.as_str());
        async move { if knows { next.run(request).await } else { StatusCode::FORBIDDEN.into_response() } }
    };
    axum::Router::new()
        .route("/nodes", get(list))
        .route("/nodes/{name}/delay", post(delay))
        .route("/nodes/{name}/network", post(network))
        .route("/nodes/{name}/{action}", post(act))
        .route("/heal", post(heal_all))
        .route("/instances", get(instances))
        .fallback(async || Refused::Unknown)
        .with_state(bench)
        .layer(middleware::from_fn(knows_the_key))
}

async fn list(State(bench): State<Bench>) -> Answer {
    Ok(bench.list(&bench.done.lock().await))
}

async fn instances(State(bench): State<Bench>) -> Json<Places> {
    Json(Places { instances: bench.instances.get().cloned().unwrap_or_default() })
}

async fn delay(
    State(bench): State<Bench>,
    Path(name): Path<String>,
    Json(Delay { ms }): Json<Delay>,
) -> Answer {
    if ms > LONGEST_APPLY_DELAY {
        return Err(Refused::TooLong(ms, LONGEST_APPLY_DELAY));
    }
    let mut all = bench.done.lock().await;
    let (node, done) = bench.find(&name, &mut all)?;
    bench.replays(node)?;
    node.apply_delay(Duration::from_millis(ms)).await?;
    done.apply_delay_ms = ms;
    Ok(bench.list(&all))
}

async fn network(
    State(bench): State<Bench>,
    Path(name): Path<String>,
    Json(Delay { ms }): Json<Delay>,
) -> Answer {
    if ms > LONGEST_NETWORK_DELAY {
        return Err(Refused::TooLong(ms, LONGEST_NETWORK_DELAY));
    }
    let mut all = bench.done.lock().await;
    let (node, done) = bench.find(&name, &mut all)?;
    node.link().delay(Duration::from_millis(ms)).await.map_err(ClusterError::from)?;
    done.network_delay_ms = ms;
    Ok(bench.list(&all))
}

async fn act(State(bench): State<Bench>, Path((name, action)): Path<(String, String)>) -> Answer {
    let mut all = bench.done.lock().await;
    let (node, done) = bench.find(&name, &mut all)?;
    match &*action {
        "pause" => {
            bench.replays(node)?;
            node.pause_replay().await?;
            done.paused = true;
        }
        "resume" => {
            bench.replays(node)?;
            node.resume_replay().await?;
            done.paused = false;
        }
        "kill" => {
            node.kill9().await?;
            // A server that starts replays.
            done.paused = false;
        }
        "start" => node.start().await?,
        "heal" => heal(node, done).await?,
        _ => return Err(Refused::Unknown),
    }
    Ok(bench.list(&all))
}

async fn heal_all(State(bench): State<Bench>) -> Answer {
    let mut all = bench.done.lock().await;
    for (node, done) in bench.cluster.nodes().iter().zip(all.iter_mut()) {
        heal(node, done).await?;
    }
    Ok(bench.list(&all))
}

async fn heal(node: &Node, done: &mut Done) -> Result<(), ClusterError> {
    if !node.is_running() {
        node.start().await?;
    }
    if done.network_delay_ms > 0 {
        node.link().heal().await?;
        done.network_delay_ms = 0;
    }
    if done.apply_delay_ms > 0 {
        node.apply_delay(Duration::ZERO).await?;
        done.apply_delay_ms = 0;
    }
    if done.paused {
        node.resume_replay().await?;
        done.paused = false;
    }
    Ok(())
}

impl Bench {
    fn find<'a>(&'a self, name: &str, done: &'a mut [Done]) -> Result<(&'a Node, &'a mut Done), Refused> {
        let mut pairs = self.cluster.nodes().iter().zip(done);
        pairs.find(|(node, _)| node.name() == name).ok_or(Refused::Unknown)
    }

    fn is_primary(&self, node: &Node) -> bool {
        node.name() == self.cluster.primary().name()
    }

    fn replays(&self, node: &Node) -> Result<(), Refused> {
        if self.is_primary(node) { Err(Refused::Primary) } else { Ok(()) }
    }

    fn list(&self, done: &[Done]) -> Json<serde_json::Value> {
        let listed = self.cluster.nodes().iter().zip(done).map(|(node, done)| Listed {
            name: node.name().to_owned(),
            role: if self.is_primary(node) { "primary" } else { "replica" },
            running: node.is_running(),
            done: done.clone(),
        });
        Json(serde_json::json!({ "nodes": listed.collect::<Vec<_>>() }))
    }
}
