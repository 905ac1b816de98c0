//! Tokens in cookies, so that no answer can overwrite what another one brought.
//!
//! Two requests of one client at once get two answers in any order, and the last `Set-Cookie` of a name wins. Under one name
//! the later write of the two could so be lost. Therefore each token has a cookie of its own, named after its signature; a
//! request brings all of them, and its session is their join. An answer that sets a new token removes the ones that its
//! request brought, because the new one has them in it, and no other. That is a set with observed removal: whatever the
//! order of answers, what is left covers all.

use http::HeaderValue;
use http::header::{COOKIE, HeaderMap, SET_COOKIE};

use crate::token::Token;

/// Characters of a token's end that name its cookie: a part of its signature, different for each token.
const TAG: usize = 8;

/// A longer tag is not ours.
const LONGEST_TAG: usize = 16;

/// The cookies that tokens travel in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CookieSettings {
    /// What the names of the cookies begin with. Default: `rr-session`. `__Host-rr-session` keeps subdomains from setting
    /// them.
    pub name: String,
    /// How long a browser keeps them, in seconds. Default: as long as a token is accepted (`session.token_lifetime`).
    pub max_age: Option<u64>,
    /// Whether they are sent over TLS only. Default: true.
    pub secure: bool,
    /// The path that they are sent to. Default: `/`.
    pub path: String,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self { name: "rr-session".to_owned(), max_age: None, secure: true, path: "/".to_owned() }
    }
}

impl CookieSettings {
    /// These settings, with another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// These settings, for browsers to keep them this long.
    #[must_use]
    pub const fn max_age(mut self, seconds: u64) -> Self {
        self.max_age = Some(seconds);
        self
    }

    /// These settings, also over plain HTTP, as on a developer's machine.
    #[must_use]
    pub const fn insecure(mut self) -> Self {
        self.secure = false;
        self
    }

    /// The cookies of a request that are ours, as names and tokens.
    pub(super) fn read<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = (&'h str, &'h str)> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| self.is_ours(name))
    }

    fn is_ours(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(&*self.name) else { return false };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match rest.strip_prefix('-') {
            Some(tag) => (1..=LONGEST_TAG).contains(&tag.len()) && tag.bytes().all(plain),
            None => rest.is_empty(),
        }
    }

    /// Sets the token, and removes the cookies that it has in it.
    pub(super) fn write(&self, headers: &mut HeaderMap, token: &Token, lifetime: u64, covered: &[String]) {
        let text = token.as_str();
        let tag = text.get(text.len().saturating_sub(TAG)..).unwrap_or(text);
        let name = format!("{}-{tag}", self.name);
        let max_age = self.max_age.unwrap_or(lifetime);
        self.set(headers, &name, text, max_age);
        for old in covered.iter().filter(|old| **old != name) {
            self.set(headers, old, "", 0);
        }
    }

    fn set(&self, headers: &mut HeaderMap, name: &str, value: &str, max_age: u64) {
        let secure = if self.secure { "; Secure" } else { "" };
        let path = &self.path;
        let line = format!("{name}={value}; Max-Age={max_age}; Path={path}; HttpOnly; SameSite=Lax{secure}");
        match HeaderValue::try_from(line) {
            Ok(line) => drop(headers.append(SET_COOKIE, line)),
            Err(_) => {
                tracing::error!(target: "rr", "the settings of the session cookie cannot be sent; check its name and path");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn only_cookies_that_look_like_ours_are_read() {
        let headers = request(&[
            "a=b; rr-session=one; rr-session-Tag_1-x=two",
            "rr-sessions=no;rr-session-=no; rr-session-a.b=no; rr-session-12345678901234567=no; rr-session-t=three",
        ]);
        let read: Vec<_> = CookieSettings::default().read(&headers).collect();
        assert_eq!(read, [("rr-session", "one"), ("rr-session-Tag_1-x", "two"), ("rr-session-t", "three")]);
    }

    #[test]
    fn a_new_token_removes_exactly_what_it_has_in_it() {
        let mut headers = HeaderMap::new();
        let token = Token::new("0123456789abcdef");
        let old = ["rr-session-old".to_owned(), "rr-session-89abcdef".to_owned()];
        CookieSettings::default().write(&mut headers, &token, 60, &old);
        let lines: Vec<_> = headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "rr-session-89abcdef=0123456789abcdef; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure",
                "rr-session-old=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure",
            ]
        );
    }

    #[test]
    fn settings_change_what_they_say() {
        let mut headers = HeaderMap::new();
        let settings = CookieSettings::default().named("s").max_age(5).insecure();
        settings.write(&mut headers, &Token::new("tokentoken"), 60, &[]);
        assert_eq!(headers[SET_COOKIE], "s-kentoken=tokentoken; Max-Age=5; Path=/; HttpOnly; SameSite=Lax");
    }
}
