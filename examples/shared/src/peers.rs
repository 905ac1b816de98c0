//! Who may use the laboratory: programs and pages of this machine.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::uri::Authority;
use http::{StatusCode, Uri};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request pass that comes from this machine and from no other site's page.
pub(crate) async fn only_local(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_near = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
    if is_near && is_same_site(request.headers()) {
        return next.run(request).await;
    }
    let text = serde_json::json!({ "error": "the laboratory is for this machine's own pages and programs" });
    (StatusCode::FORBIDDEN, axum::Json(text)).into_response()
}

/// Whether no page of another site can be behind this request. A browser says whose page it is; its `Host` must be this
/// machine's, or a foreign name could have been pointed here. A program that is no browser says nothing.
fn is_same_site(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(host) = host.filter(|host| is_local_name(host.host())) else { return false };
    let site = headers.get(FETCH_SITE).map(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    let origin = headers.get(ORIGIN).map(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        origin.is_some_and(|origin| origin.authority() == Some(&host))
    });
    site.unwrap_or(true) && origin.unwrap_or(true)
}

fn is_local_name(name: &str) -> bool {
    let plain = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || plain.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(headers: &[(HeaderName, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        is_same_site(&headers)
    }

    #[test]
    fn programs_and_own_pages_are_let_in() {
        for host in ["localhost:3000", "127.0.0.1:3000", "[::1]:3000"] {
            assert!(allowed(&[(HOST, host)]), "{host}");
            let origin = format!("http://{host}");
            assert!(allowed(&[(HOST, host), (ORIGIN, &origin), (FETCH_SITE, "same-origin")]), "{host}");
        }
    }

    #[test]
    fn other_sites_are_not() {
        let host = (HOST, "localhost:3000");
        for headers in [
            vec![],
            vec![(HOST, "evil.example:3000")],
            vec![(HOST, "evil.example")],
            vec![host.clone(), (ORIGIN, "http://evil.example")],
            vec![host.clone(), (ORIGIN, "http://localhost:3001")],
            vec![host.clone(), (ORIGIN, "null")],
            vec![host.clone(), (FETCH_SITE, "cross-site")],
            vec![host, (FETCH_SITE, "same-site")],
        ] {
            assert!(!allowed(&headers), "{headers:?}");
        }
    }
}
