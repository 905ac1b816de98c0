//! Who the user is: a cookie with a name in it. Any real application would ask for more.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::header::{COOKIE, HeaderMap, SET_COOKIE};
use http::request::Parts;
use http::{HeaderName, StatusCode};

const NAME: &str = "user";
const LONGEST: usize = 40;

/// The name of the user who sends a request. As an extractor it refuses whoever has not logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login(String);

impl Login {
    /// The user of this name: 1 to 40 letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (1..=LONGEST).contains(&name.len()) && name.bytes().all(plain);
        fits.then(|| Self(name.to_owned()))
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The header that makes a browser remember this user.
    #[must_use]
    pub fn cookie(&self) -> [(HeaderName, String); 1] {
        [(SET_COOKIE, format!("{NAME}={}; Path=/; HttpOnly; SameSite=Lax", self.0))]
    }

    /// The header that makes a browser forget its user.
    #[must_use]
    pub fn forget() -> [(HeaderName, String); 1] {
        [(SET_COOKIE, format!("{NAME}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"))]
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, value)| if name == NAME { Self::new(value) } else { None })
    }
}

impl<S: Sync> FromRequestParts<S> for Login {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let nobody = || {
            let text = serde_json::json!({ "error": "log in first: POST /login {\"name\": …}" });
            (StatusCode::UNAUTHORIZED, axum::Json(text)).into_response()
        };
        Self::of(&parts.headers).ok_or_else(nobody)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Login {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_among_cookies() {
        let headers = |line: &str| HeaderMap::from_iter([(COOKIE, line.parse().unwrap())]);
        assert_eq!(Login::of(&headers("a=b; user=ann;user=bob")), Login::new("ann"));
        for line in ["", "user=", "username=ann", "user=a b", "user=<b>", &format!("user={}", "a".repeat(41))]
        {
            assert_eq!(Login::of(&headers(line)), None, "{line}");
        }
    }
}
