//! A session for each request, taken from the client and given back to it.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Streamed, scoped};
use super::{CookieSettings, HEADER};
use crate::config::LostWrites;
use crate::connector::Connector;
use crate::position::Position;
use crate::router::Router;
use crate::scope::Scope;
use crate::session::Session;
use crate::time::Moment;
use crate::token::{LostWrite, TokenError};

/// Tokens of one request that are looked at. Whoever brings more reads from the primary first.
const MOST: usize = 32;

/// Opens a [session](Session) for each request: what its client has written and seen, on whatever process.
///
/// The session is the join of all tokens that the request brings. It is the current one for the handler and for the body
/// that it streams. When it has advanced, the answer carries a new token.
///
/// A token that is refused counts as none; [metrics](crate::tally) say why. A token whose write a failover has lost is
/// answered with `409 Conflict` and a token for what was kept, so that the next request goes on; with
/// `lost_writes = "warn"` the handler finds a [`LostWrite`] among the request's extensions instead.
///
/// Without `session.keys` there are no tokens, and sessions end with their requests.
pub struct SessionLayer<C: Connector> {
    router: Router<C>,
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    cookie: Option<CookieSettings>,
    header: bool,
    writes_only: bool,
}

impl<C: Connector> SessionLayer<C> {
    /// Sessions in cookies.
    #[must_use]
    pub fn new(router: &Router<C>) -> Self {
        let settings =
            Settings { cookie: Some(CookieSettings::default()), header: false, writes_only: false };
        Self { router: router.clone(), settings: Arc::new(settings) }
    }

    /// Sessions in such cookies.
    #[must_use]
    pub fn with_cookie(self, cookie: CookieSettings) -> Self {
        let settings = Settings { cookie: Some(cookie), ..(*self.settings).clone() };
        Self { settings: Arc::new(settings), ..self }
    }

    /// Sessions in the header [`HEADER`] as well, for clients that are no browsers. Such a client sends all tokens that it
    /// got and that no later answer has replaced, in several headers or one with commas.
    #[must_use]
    pub fn with_header(self) -> Self {
        let settings = Settings { header: true, ..(*self.settings).clone() };
        Self { settings: Arc::new(settings), ..self }
    }

    /// Clients get a new token only for what they wrote. Then a client that only reads gets none, and its answers may be
    /// cached; but on another process its reads may go back in time.
    #[must_use]
    pub fn writes_only(self) -> Self {
        let settings = Settings { writes_only: true, ..(*self.settings).clone() };
        Self { settings: Arc::new(settings), ..self }
    }

    /// No cookies.
    #[must_use]
    pub fn without_cookie(self) -> Self {
        let settings = Settings { cookie: None, ..(*self.settings).clone() };
        Self { settings: Arc::new(settings), ..self }
    }
}

impl<C: Connector> Clone for SessionLayer<C> {
    fn clone(&self) -> Self {
        Self { router: self.router.clone(), settings: Arc::clone(&self.settings) }
    }
}

impl<C: Connector> fmt::Debug for SessionLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<S, C: Connector> Layer<S> for SessionLayer<C> {
    type Service = SessionService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, layer: self.clone() }
    }
}

/// A service that has a session for each request.
pub struct SessionService<S, C: Connector> {
    inner: S,
    layer: SessionLayer<C>,
}

impl<S: Clone, C: Connector> Clone for SessionService<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, C: Connector> fmt::Debug for SessionService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

impl<S, C, B, R> Service<Request<B>> for SessionService<S, C>
where
    C: Connector,
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Streamed,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was polled ready is the one to be called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        let brought = layer.brought(request.headers());
        Box::pin(async move {
            let arrival = layer.arrive(brought).await;
            let policy = layer.router.config().lost_writes;
            let mut response = match arrival.lost.clone() {
                Some(lost) if policy == LostWrites::Error => conflict(&lost),
                lost => {
                    lost.into_iter().for_each(|lost| drop(request.extensions_mut().insert(lost)));
                    let handler = async move {
                        let response = inner.call(request).await?;
                        Ok::<_, Infallible>(response.map(|body| scoped(Scope::current(), body)))
                    };
                    arrival.session.scope(handler).await?
                }
            };
            layer.depart(&arrival, response.headers_mut()).await;
            Ok(response)
        })
    }
}

/// A token that a request brought, and the name of its cookie if it came in one.
struct Brought {
    cookie: Option<String>,
    token: String,
}

/// A session as it was when its request arrived.
struct Arrival {
    session: Session,
    wrote: Option<Position>,
    saw: Option<Position>,
    unplaced: Option<Moment>,
    /// Cookies that a new token has in it.
    covered: Vec<String>,
    lost: Option<LostWrite>,
}

impl<C: Connector> SessionLayer<C> {
    fn brought(&self, headers: &HeaderMap) -> Vec<Brought> {
        let own =
            |(name, token): (&str, &str)| Brought { cookie: Some(name.to_owned()), token: token.to_owned() };
        let cookies = self.settings.cookie.iter().flat_map(|cookie| cookie.read(headers)).map(own);
        let lines = headers.get_all(HEADER).iter().filter(|_| self.settings.header);
        let tokens = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let tokens = tokens.map(str::trim).filter(|token| !token.is_empty());
        let tokens = tokens.map(|token| Brought { cookie: None, token: token.to_owned() });
        cookies.chain(tokens).take(MOST + 1).collect()
    }

    async fn arrive(&self, brought: Vec<Brought>) -> Arrival {
        let (session, mut covered, mut first) = (Session::new(), Vec::new(), None);
        let too_many = brought.len() > MOST;
        for Brought { cookie, token } in brought.into_iter().take(MOST) {
            let replaced = match self.router.open_token(&token).await {
                Ok((own, lost)) => {
                    session.merge(&own);
                    first = first.or(lost);
                    true
                }
                Err(refused) => {
                    tracing::debug!(target: "rr", %refused, "a session token is not accepted");
                    if refused == TokenError::ClusterUnknown {
                        session.wrote_unplaced(self.router.now());
                    }
                    is_worthless(&refused)
                }
            };
            covered.extend(cookie.filter(|_| replaced));
        }
        if too_many {
            session.wrote_unplaced(self.router.now());
        }
        let (wrote, saw) = (session.last_write(), session.last_read());
        let unplaced = session.unplaced_since();
        Arrival { session, wrote, saw, unplaced, covered, lost: first }
    }

    async fn depart(&self, arrival: &Arrival, headers: &mut HeaderMap) {
        let config = self.router.config();
        let reads = !self.settings.writes_only;
        self.router.gather_lent(&arrival.session);
        if config.session.keys.is_empty() || !arrival.has_advanced(reads) {
            return;
        }
        let token = match self.router.export(&arrival.session, config.causal_wait).await {
            // What was read turns out to be nothing new.
            Ok(_) if !arrival.has_advanced(reads) => return,
            Ok(export) => export.token,
            Err(error) => {
                return tracing::warn!(target: "rr", %error, "a session cannot be given to its client");
            }
        };
        if let Some(cookie) = &self.settings.cookie {
            cookie.write(headers, &token, config.session.token_lifetime.as_secs(), &arrival.covered);
        }
        if self.settings.header
            && let Ok(value) = HeaderValue::from_str(token.as_str())
        {
            headers.insert(HEADER, value);
        }
    }
}

impl Arrival {
    /// Whether something was read of which no position is known yet.
    fn has_read(&self) -> bool {
        self.session.follows().is_some()
    }

    /// Whether its client needs a new token: for something new, or one in place of many.
    fn has_advanced(&self, by_reads: bool) -> bool {
        let grown = |before: &Option<Position>, now: Option<Position>| {
            now.is_some_and(|now| before.as_ref().is_none_or(|before| !before.covers(&now)))
        };
        let known = match (&self.wrote, &self.saw) {
            (Some(wrote), Some(saw)) => wrote.join(saw).ok(),
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        grown(&self.wrote, self.session.last_write())
            || by_reads && (grown(&known, self.session.last_read()) || self.has_read())
            || self.unplaced.is_some()
            || self.session.unplaced_since().is_some()
            || self.covered.len() > 1
            || self.lost.is_some()
    }
}

/// Whether a token can never be accepted by anybody, so that its cookie may go. One of a key or a version that is not known
/// here may mean something to another process.
const fn is_worthless(refused: &TokenError) -> bool {
    matches!(
        refused,
        TokenError::TooLong { .. } | TokenError::Malformed | TokenError::Forged | TokenError::Expired { .. }
    )
}

fn conflict(lost: &LostWrite) -> Response<Body> {
    let text = serde_json::json!({ "error": "lost_write", "message": lost.to_string() });
    let mut response = Response::new(Body::from(text.to_string()));
    *response.status_mut() = StatusCode::CONFLICT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
