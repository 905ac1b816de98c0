//! A standby's `primary_conninfo`, pointed to another server.
//!
//! Everything of it but host and port is kept: user, password, certificates, `application_name` (by which a primary knows
//! its synchronous standbys), timeouts. It may hold a password, so no error repeats a part of it.

use std::fmt::Write as _;

use crate::config::Endpoint;

/// A text that is no connection string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`primary_conninfo` cannot be read; write it as key = value pairs or as a postgresql:// URL")]
#[non_exhaustive]
pub struct UnreadableConninfo;

/// What says where the server is.
const PLACE: [&str; 3] = ["host", "hostaddr", "port"];

/// The connection string with this host and port in place of its own.
///
/// # Errors
/// When it is no connection string.
pub fn pointed_to(conninfo: &str, host: &str, port: u16) -> Result<String, UnreadableConninfo> {
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| conninfo.starts_with(scheme));
    match scheme {
        Some(scheme) => url(scheme, &conninfo[scheme.len()..], host, port),
        None => pairs(conninfo, host, port),
    }
}

/// The host and the port that a connection string names, where it names one of each.
#[must_use]
pub fn place_of(conninfo: &str) -> Option<(String, u16)> {
    if conninfo.contains("://") {
        let url = crate::config::DatabaseUrl::parse(conninfo).ok()?;
        return match url.endpoint()? {
            Endpoint::Tcp { host, port } | Endpoint::Socket { path: host, port } => {
                Some((host.clone(), *port))
            }
            Endpoint::File { .. } => None,
        };
    }
    let keys = keys(conninfo).ok()?;
    let last = |name: &str| keys.iter().rev().find(|(key, value)| *key == name && !value.is_empty());
    let host = last("hostaddr").or_else(|| last("host")).map(|(_, host)| host.clone())?;
    let port = last("port").map_or(Ok(5432), |(_, port)| port.parse()).ok()?;
    Some((host, port))
}

fn pairs(conninfo: &str, host: &str, port: u16) -> Result<String, UnreadableConninfo> {
    let mut pointed = format!("host={} port={port}", quoted(host));
    for (key, value) in keys(conninfo)?.into_iter().filter(|(key, _)| !PLACE.contains(key)) {
        // Writing to a text does not fail.
        let _ = write!(pointed, " {key}={}", quoted(&value));
    }
    Ok(pointed)
}

fn keys(conninfo: &str) -> Result<Vec<(&str, String)>, UnreadableConninfo> {
    let mut keys = Vec::new();
    let mut rest = conninfo.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).ok_or(UnreadableConninfo)?;
        let (key, after) = rest.split_at(end);
        let after = after.trim_start().strip_prefix('=').ok_or(UnreadableConninfo)?.trim_start();
        let (value, after) = value(after)?;
        keys.push((key, value));
        rest = after.trim_start();
    }
    Ok(keys)
}

/// The value that the text begins with, and what follows it.
fn value(text: &str) -> Result<(String, &str), UnreadableConninfo> {
    let in_quotes = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(in_quotes));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next().ok_or(UnreadableConninfo)?.1),
            '\'' if in_quotes => return Ok((value, &text[at + 1..])),
            c if !in_quotes && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if in_quotes { Err(UnreadableConninfo) } else { Ok((value, "")) }
}

fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn url(scheme: &str, rest: &str, host: &str, port: u16) -> Result<String, UnreadableConninfo> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let user = authority.rsplit_once('@').map(|(user, _)| format!("{user}@")).unwrap_or_default();
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if host.contains(['@', '?', '#', '&', '=', '%']) {
        return Err(UnreadableConninfo);
    }
    // A folder of sockets has no place in front.
    let (place, parameter) = match host {
        _ if host.starts_with('/') => (String::new(), Some(format!("host={host}&port={port}"))),
        _ if host.contains(':') => (format!("[{host}]:{port}"), None),
        _ => (format!("{host}:{port}"), None),
    };
    let kept = query.split('&').filter(|pair| !pair.is_empty());
    let kept = kept.filter(|pair| !PLACE.contains(&pair.split('=').next().unwrap_or_default()));
    let query: Vec<&str> = kept.chain(parameter.as_deref()).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(format!("{scheme}{user}{place}{path}{mark}{}", query.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointed(conninfo: &str) -> Result<String, UnreadableConninfo> {
        pointed_to(conninfo, "db-2", 6432)
    }

    #[test]
    fn everything_but_the_place_is_kept() {
        for (conninfo, expected) in [
            ("", "host=db-2 port=6432"),
            ("host=db-1", "host=db-2 port=6432"),
            (
                r"user=repl password='a\'b \\c' hostaddr=10.0.0.1 application_name=replica_1",
                r"host=db-2 port=6432 user=repl password='a\'b \\c' application_name=replica_1",
            ),
            (
                "  sslmode =  require passfile='/etc/a b'  ",
                "host=db-2 port=6432 sslmode=require passfile='/etc/a b'",
            ),
            (r"password=a\ b options='' ", "host=db-2 port=6432 password='a b' options=''"),
        ] {
            assert_eq!(pointed(conninfo).as_deref(), Ok(expected), "{conninfo}");
        }
    }

    #[test]
    fn urls_keep_their_user_path_and_parameters() {
        for (conninfo, expected) in [
            (
                "postgresql://repl:p%40ss@db-1:5432/x?sslmode=require",
                "postgresql://repl:p%40ss@db-2:6432/x?sslmode=require",
            ),
            ("postgres://db-1", "postgres://db-2:6432"),
            (
                "postgres://repl@db-1,db-9/?host=db-7&port=1&application_name=a",
                "postgres://repl@db-2:6432/?application_name=a",
            ),
        ] {
            assert_eq!(pointed(conninfo).as_deref(), Ok(expected), "{conninfo}");
        }
        assert_eq!(
            pointed_to("postgres://u@/x?host=/old&sslmode=disable", "/run/pg", 1).as_deref(),
            Ok("postgres://u@/x?sslmode=disable&host=/run/pg&port=1")
        );
    }

    #[test]
    fn what_is_no_connection_string_is_refused_without_repeating_it() {
        for wrong in ["secret", "user=a secret", "password='secret", "password=secret\\"] {
            let error = pointed(wrong).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{wrong}");
        }
    }
}
