//! "Ask the other instance": a load balancer for one request.
//!
//! `GET /lab/at/2/notes/7` asks instance 2 for `/notes/7`, with the cookies and the body that the browser sends, and hands
//! back the cookies that it sets. What the instance answered is told, not passed off as an answer of our own:
//!
//! ```json
//! { "instance": 2, "status": 200, "ms": 1.8, "body": { "id": 7, … } }
//! ```

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use rr_core::time::Clock;
use serde_json::{Value, json};

use crate::burst::ms;
use crate::laboratory::Places;
use crate::passing::{LONGEST_BODY, Way};

pub(crate) async fn ask(
    State(way): State<Way>,
    Path((number, path)): Path<(u16, String)>,
    request: Request,
) -> Response {
    let refused = |status, error: String| (status, Json(json!({ "error": error }))).into_response();
    if path.starts_with("lab") {
        return refused(StatusCode::BAD_REQUEST, "ask the laboratory itself".to_owned());
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LONGEST_BODY).await else {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "a shorter body will do".to_owned());
    };
    let places = match way.ask(Method::GET, "/instances", axum::body::Bytes::new()).await {
        Ok(answer) => {
            serde_json::from_slice::<Places>(&answer.body).map_or_else(|_| Vec::new(), |all| all.instances)
        }
        Err(error) => {
            return refused(StatusCode::BAD_GATEWAY, format!("the laboratory does not answer: {error}"));
        }
    };
    let Some(place) = places.iter().find(|place| place.number == number) else {
        return refused(StatusCode::NOT_FOUND, format!("there is no instance {number}"));
    };
    let cookies = parts.headers.get_all(COOKIE).iter();
    let headers: HeaderMap = cookies.map(|value| (COOKIE, value.clone())).collect();
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let clock = Clock::start();
    let begun = clock.now();
    match way.client().send(parts.method, &format!("{}/{path}{query}", place.url), headers, body).await {
        Ok(answer) => {
            let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or(Value::Null);
            let ms = ms(clock.now().since(begun));
            let told =
                json!({ "instance": number, "status": answer.status.as_u16(), "ms": ms, "body": body });
            let mut response = Json(told).into_response();
            let set = answer.headers.get_all(SET_COOKIE).iter().map(|value| (SET_COOKIE, value.clone()));
            response.headers_mut().extend(set);
            response
        }
        Err(error) => refused(StatusCode::BAD_GATEWAY, format!("instance {number} does not answer: {error}")),
    }
}
