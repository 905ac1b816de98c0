//! Everything else that is parsed: no text makes a parser panic, and what was read is read again from what is printed.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rr_core::config::{DatabaseUrl, Secret};
use rr_core::engine::Engine;
use rr_core::position::{GtidSet, Lsn, MariaGtid, PgPosition, Position, ServerUuid, Timeline};
use rr_core::time::Wall;
use rr_core::token::{Claims, KeyRing, LONGEST, Token};
use rr_core::{Config, Consistency, TokenError};
use sha2::Sha256;

fn again<T: FromStr + Display + Debug + PartialEq>(text: &str)
where
    T::Err: Debug + Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            assert_eq!(
                printed.parse::<T>().ok().as_ref(),
                Some(&value),
                "{text:?} was printed as {printed:?}"
            );
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Positions of all engines, their parts, and levels.
///
/// # Panics
/// When what is printed is not what was read.
pub fn positions(text: &str) {
    again::<Lsn>(text);
    again::<Timeline>(text);
    again::<PgPosition>(text);
    again::<GtidSet>(text);
    again::<ServerUuid>(text);
    again::<MariaGtid>(text);
    again::<Consistency>(text);
    let _timeline = Timeline::from_wal_file_name(text);
    for engine in [Engine::Postgres, Engine::MySql, Engine::MariaDb, Engine::Sqlite] {
        let Ok(position) = Position::parse(engine, text) else { continue };
        assert!(position.covers(&position), "{text:?}");
        assert_eq!(position.join(&position).as_ref(), Ok(&position), "{text:?}");
        assert_eq!(Position::parse(engine, &position.to_string()), Ok(position), "{text:?}");
    }
}

/// URLs of databases.
///
/// # Panics
/// When a URL is another one the second time.
pub fn url(text: &str) {
    match DatabaseUrl::parse(text) {
        Ok(url) => {
            assert_eq!(DatabaseUrl::parse(url.expose()).as_ref(), Ok(&url), "{text:?}");
            assert!(url.same_server(&url), "{text:?}");
            drop(format!("{url} {url:?}"));
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Configurations: TOML and JSON.
///
/// # Panics
/// When a configuration that was printed is another one.
pub fn config(text: &str) {
    for read in [Config::from_toml, Config::from_json] {
        match read(text) {
            Ok(config) => {
                if let Err(errors) = config.validate() {
                    drop(errors.to_string());
                }
                drop(format!("{config:?}"));
            }
            Err(error) => drop(format!("{error} {error:?}")),
        }
    }
}

const CLUSTER: u64 = 7_301_000_000_000_000_001;
const NOW: Wall = Wall::from_seconds(1_900_000_000);

const KEY: &str = "one-of-at-least-thirty-two-characters";
/// Bytes of a signature.
const SIGNATURE: usize = 16;

fn ring() -> KeyRing {
    KeyRing::new(&[Secret::new(KEY.to_owned())])
}

/// Nothing that we have not signed is a token.
///
/// # Panics
/// When it is accepted.
pub fn foreign_token(text: &str) {
    if let Ok(claims) = ring().open(text, Some(CLUSTER), NOW) {
        panic!("{text:?} was accepted as {claims:?}");
    }
}

/// Whatever is signed is read or refused, and what was read is signed and read again: a key may be held by another version of
/// this program, or by somebody who found it.
///
/// # Panics
/// When it is not so.
pub fn signed_body(body: &[u8]) {
    // Version and key, as every token of ours begins.
    let Ok(any) = ring().sign(&Claims::new(CLUSTER, NOW, Duration::ZERO)) else { panic!("no key") };
    let Ok(any) = URL_SAFE_NO_PAD.decode(any.as_str()) else { panic!("{any} is no base64") };
    let mut bytes = any[..3].to_vec();
    bytes.extend(body);
    bytes.truncate(LONGEST / 4 * 3 - SIGNATURE);
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()) else { panic!("{KEY} is no key") };
    let signature = mac.chain_update(b"rr session token\0").chain_update(&bytes).finalize().into_bytes();
    // Of whatever cluster, and at the time at which it was issued.
    let cluster = bytes.get(4..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_be_bytes(*bytes));
    bytes.extend(&signature[..SIGNATURE]);
    let text = URL_SAFE_NO_PAD.encode(&bytes);
    match ring().open(&text, cluster.or(Some(CLUSTER)), Wall::from_seconds(0)) {
        Ok(claims) => drop(read_again(&claims)),
        Err(TokenError::Malformed | TokenError::Expired { .. }) => {}
        Err(error) => panic!("{body:?} was signed, and is refused: {error}"),
    }
}

fn read_again(claims: &Claims) -> Token {
    let Ok(token) = ring().sign(claims) else { panic!("{claims:?} was not signed") };
    assert!(token.as_str().len() <= LONGEST, "{claims:?}");
    let mut short = claims.clone();
    (short.wrote, short.saw, short.primary) = (None, None, true);
    let read = ring().open(token.as_str(), Some(claims.cluster), claims.issued_at);
    assert!(read.as_ref() == Ok(claims) || read.as_ref() == Ok(&short), "{claims:?} became {read:?}");
    token
}

/// What is signed is what is read, and a token with one other character is none.
///
/// # Panics
/// When it is not so.
pub fn signed_token(points: &[(u32, u64)], seconds: u32, flags: u8, damage: (u8, u8)) {
    let mut claims = Claims::new(CLUSTER, NOW, Duration::from_secs(u64::from(seconds) + 1));
    claims.unplaced = flags & 1 != 0;
    claims.primary = flags & 2 != 0;
    claims.unplaced_read = flags & 4 != 0;
    let points = points
        .iter()
        .filter_map(|(timeline, lsn)| Some(PgPosition::new(Timeline::new(*timeline)?, Lsn::from_u64(*lsn))));
    let position = points.reduce(|a, b| a.join(&b)).map(Position::from);
    claims.wrote = position.clone().filter(|_| flags & 8 != 0);
    claims.saw = position.filter(|_| flags & 16 != 0);
    let token = read_again(&claims);
    let mut text = token.as_str().as_bytes().to_vec();
    let (at, by) = (usize::from(damage.0) % text.len(), damage.1 & 127);
    if text[at] != by {
        text[at] = by;
        foreign_token(&String::from_utf8_lossy(&text));
    }
}
