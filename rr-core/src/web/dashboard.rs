//! A page that shows live what the router knows and does.
//!
//! Plain HTML, CSS and scripts that are part of the library: nothing is built and nothing is loaded from elsewhere. The
//! browser gets [frames](Frame) as server-sent events.

use std::fmt;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use tokio::sync::Semaphore;

use crate::connector::Connector;
use crate::router::Router;

mod explain;
mod frame;
mod stream;

pub use frame::{Cluster, EventEntry, Frame, NodeFrame, RouteEntry, SCHEMA};
use stream::Viewer;

/// Viewers at a time, unless the builder says otherwise.
const VIEWERS: usize = 32;

/// Nothing but what comes from here, no inline script or style, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JSON: &str = "application/json";

/// The files of the page beside itself.
const FILES: [(&str, &str, &str); 10] = [
    ("base.css", CSS, include_str!("dashboard/base.css")),
    ("dashboard.css", CSS, include_str!("dashboard/dashboard.css")),
    ("theme.js", SCRIPT, include_str!("dashboard/theme.js")),
    ("dashboard.js", SCRIPT, include_str!("dashboard/dashboard.js")),
    ("chart.js", SCRIPT, include_str!("dashboard/chart.js")),
    ("format.js", SCRIPT, include_str!("dashboard/format.js")),
    ("explain.js", SCRIPT, include_str!("dashboard/explain.js")),
    ("topology.js", SCRIPT, include_str!("dashboard/topology.js")),
    ("traffic.js", SCRIPT, include_str!("dashboard/traffic.js")),
    ("icon.svg", SVG, include_str!("dashboard/icon.svg")),
];

const PAGE: &str = include_str!("dashboard/page.html");

/// The page at `/dashboard`, with all settings at their defaults: see [`Dashboard`].
pub fn dashboard<C: Connector, S>(router: &Router<C>) -> axum::Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Dashboard::new(router).routes()
}

/// A live page for people who operate: the nodes with their roles and states, how far replicas are behind, reads and
/// writes of each node, where the last statements went and why, pools, and what happened.
///
/// It shows names and numbers: no address, no secret, and no SQL but what somebody types there to ask where it would go. Keep
/// it from the public all the same, with a layer of your own. While nobody looks it costs nothing.
///
/// ```
/// use rr_core::web::Dashboard;
/// use rr_core::{Connector, Router};
///
/// fn application<C: Connector>(router: &Router<C>) -> axum::Router {
///     axum::Router::new().merge(Dashboard::new(router).at("/ops/database").title("shop").routes())
/// }
/// ```
///
/// # Routes
///
/// The page is at the place that [`Dashboard::at`] says, its files and the stream of events are below that. All are
/// named relative to the page, so that it works behind a proxy that takes away a prefix, and in
/// [`axum::Router::nest`]. (At `/` they are below `/dashboard`, and it cannot be nested.)
///
/// | route | answers |
/// |---|---|
/// | `/dashboard` | the page |
/// | `/dashboard/events` | server-sent events: one `state`, then about four `tick`s a second, each a [`Frame`] as JSON; 503 when as many look as [may](Dashboard::most_viewers) |
/// | `POST /dashboard/explain` | where a statement would go and why, as [`explain_route`](Router::explain_route) says, as JSON; nothing is run. The question: `{"sql": "…", "level": "bounded(2s)"}`, the level may be left out |
pub struct Dashboard<C: Connector> {
    router: Router<C>,
    path: String,
    title: String,
    most_viewers: usize,
    panel: Panel,
    stopped: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Something of your own on the page, between the nodes and the charts.
///
/// Its script is loaded as a module, and is told of every [`Frame`] by an event of the document:
/// `document.addEventListener("rr:frame", event => use(event.detail))`. It may only fetch from where the page comes from.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    html: String,
    script: String,
    style: String,
}

impl Panel {
    /// A panel of this HTML. It becomes part of the page as it is.
    #[must_use]
    pub fn new(html: impl Into<String>) -> Self {
        Self { html: html.into(), ..Self::default() }
    }

    /// Its script.
    #[must_use]
    pub fn script(self, script: impl Into<String>) -> Self {
        Self { script: script.into(), ..self }
    }

    /// Its style sheet.
    #[must_use]
    pub fn style(self, style: impl Into<String>) -> Self {
        Self { style: style.into(), ..self }
    }
}

impl<C: Connector> Dashboard<C> {
    /// A page about this router.
    #[must_use]
    pub fn new(router: &Router<C>) -> Self {
        Self {
            router: router.clone(),
            path: "/dashboard".to_owned(),
            title: String::new(),
            most_viewers: VIEWERS,
            panel: Panel::default(),
            stopped: Arc::new(|| false),
        }
    }

    /// Where the page is; by default at `/dashboard`. A path as in [`axum::Router::route`], without parameters.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self { path: format!("/{}", path.trim_matches('/')), ..self }
    }

    /// What the page is called: the application, or the process where there are several.
    #[must_use]
    pub fn title(self, title: impl Into<String>) -> Self {
        Self { title: title.into(), ..self }
    }

    /// So many may look at a time (32 by default); the next one is told to wait.
    #[must_use]
    pub fn most_viewers(self, most_viewers: usize) -> Self {
        Self { most_viewers, ..self }
    }

    /// With a panel of your own.
    #[must_use]
    pub fn with_panel(self, panel: Panel) -> Self {
        Self { panel, ..self }
    }

    /// Ends all streams of events within a quarter of a second once `stopped` says so: a server that waits for its
    /// connections before it stops would wait for them forever.
    #[must_use]
    pub fn until(self, stopped: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { stopped: Arc::new(stopped), ..self }
    }

    /// The routes of the page.
    ///
    /// # Panics
    /// As [`axum::Router::route`], where the path is none that axum knows.
    pub fn routes<S>(self) -> axum::Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let Self { router, path, title, most_viewers, panel, stopped } = self;
        let folder = if path == "/" { "/dashboard".to_owned() } else { path.clone() };
        let leaf = folder.rsplit('/').next().unwrap_or_default();
        let page = Bytes::from(page(&router, &title, leaf, &panel.html));
        let mut routes = axum::Router::new().route(&path, file(HTML, page));
        for (name, kind, text) in FILES {
            routes =
                routes.route(&format!("{folder}/{name}"), file(kind, Bytes::from_static(text.as_bytes())));
        }
        for (name, kind, text) in [("panel.js", SCRIPT, panel.script), ("panel.css", CSS, panel.style)] {
            routes = routes.route(&format!("{folder}/{name}"), file(kind, Bytes::from(text)));
        }
        let asked = router.clone();
        let explain = async move |question: Bytes| match explain::explain(&asked, &question) {
            Ok(json) => answer(StatusCode::OK, JSON, Body::from(json)),
            Err((status, why)) => answer(status, "text/plain; charset=utf-8", Body::from(why)),
        };
        let explain = post(explain).layer(DefaultBodyLimit::max(explain::LONGEST));
        routes = routes.route(&format!("{folder}/explain"), explain);
        let seats = Arc::new(Semaphore::new(most_viewers.min(Semaphore::MAX_PERMITS)));
        let events = async move || match Arc::clone(&seats).try_acquire_owned() {
            Ok(seat) => {
                let viewer = Viewer::new(router.clone(), seat, Arc::clone(&stopped));
                answer(StatusCode::OK, "text/event-stream", Body::new(viewer))
            }
            Err(_) => {
                let mut refusal =
                    answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", Body::from("too many viewers"));
                refusal.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("10"));
                refusal
            }
        };
        routes.route(&format!("{folder}/events"), get(events))
    }
}

fn file<S: Clone + Send + Sync + 'static>(kind: &'static str, text: Bytes) -> axum::routing::MethodRouter<S> {
    get(async move || answer(StatusCode::OK, kind, Body::from(text.clone())))
}

fn answer(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        // A new version of the library is a new page. The proxy of an old habit buffers what it is not told to pass on.
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (http::header::CONTENT_SECURITY_POLICY, POLICY),
        (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (http::header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The page, with its few blanks filled in. Each is replaced once, and what is put in is not looked at again.
fn page<C: Connector>(router: &Router<C>, title: &str, leaf: &str, panel: &str) -> String {
    let interval = router.config().monitor.interval.as_millis().to_string();
    let (title, leaf) = (escaped(title), escaped(leaf));
    let mut page = String::with_capacity(PAGE.len() + panel.len() + 512);
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((blank, after)) = after.split_once("}}") else { break };
        page.push_str(before);
        page.push_str(match blank {
            "title" if title.is_empty() => "Read replicas",
            "title" => &title,
            "files" => &leaf,
            "panel" => panel,
            "interval" => &interval,
            "version" => env!("CARGO_PKG_VERSION"),
            _ => "",
        });
        rest = after;
    }
    page.push_str(rest);
    page
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, next| {
        match next {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}

impl<C: Connector> fmt::Debug for Dashboard<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard")
            .field("path", &self.path)
            .field("title", &self.title)
            .field("most_viewers", &self.most_viewers)
            .finish_non_exhaustive()
    }
}
