//! Tokens of sessions: what was signed is what is read, and nothing else is a token.
//!
//! Random text does not even decode, so what is damaged here was signed. A token says what exactly its text says: no other
//! text is accepted in its place, whatever it is made of.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rr_core::TokenError;
use rr_core::config::Secret;
use rr_core::engine::Engine;
use rr_core::position::{Lsn, PgPosition, Position, Timeline};
use rr_core::time::Wall;
use rr_core::token::{Claims, KeyRing, LONGEST, Token};
use sha2::Sha256;

mod damage;

pub use damage::damaged;

const CLUSTER: u64 = 7_301_000_000_000_000_001;
const NOW: Wall = Wall::from_seconds(1_900_000_000);
const LIFETIME: Duration = Duration::from_secs(86_400);

const KEY: &str = "one-of-at-least-thirty-two-characters";
const RETIRED: &str = "old-of-at-least-thirty-two-characters";
const STRANGE: &str = "not-of-at-least-thirty-two-characters";

/// Bytes of a signature.
const SIGNATURE: usize = 16;
/// Bytes of version and key.
const HEADER: usize = 3;

fn ring_of(keys: &[&str]) -> KeyRing {
    let secrets: Vec<Secret> = keys.iter().map(|key| Secret::new((*key).to_owned())).collect();
    KeyRing::new(&secrets)
}

static RING: LazyLock<KeyRing> = LazyLock::new(|| ring_of(&[KEY, RETIRED]));

fn must<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error:?}"))
}

/// What a text is to processes of this cluster.
///
/// # Errors
/// Why it is refused.
pub fn open(text: &str) -> Result<Claims, TokenError> {
    RING.open(text, Some(CLUSTER), NOW)
}

/// A token that was signed, and what is to be read from it.
#[derive(Debug)]
pub struct Genuine {
    /// The token.
    pub token: Token,
    /// What it says; why it is refused where it is another's or has expired.
    pub says: Result<Claims, TokenError>,
}

/// Tokens of every kind: each flag, one and more timelines, the longest, those that cannot hold their positions, of each key.
pub static GENUINE: LazyLock<Vec<Genuine>> = LazyLock::new(genuine);

fn genuine() -> Vec<Genuine> {
    let postgres = |text: &str| Some(must(Position::parse(Engine::Postgres, text)));
    let claims = || Claims::new(CLUSTER, NOW, LIFETIME);
    let with = |wrote: Option<Position>, saw: Option<Position>| {
        let mut claims = claims();
        (claims.wrote, claims.saw) = (wrote, saw);
        claims
    };
    let signed =
        |keys: &[&str], claims: &Claims, says| Genuine { token: must(ring_of(keys).sign(claims)), says };
    let ours = |claims: Claims| signed(&[KEY], &claims, Ok(claims.clone()));
    // Positions that do not fit are not cut off.
    let by_primary = |claims: &Claims| signed(&[KEY], claims, Ok(without_positions(claims)));

    let largest = "4294967295:FFFFFFFF/FFFFFFFF";
    let many: Vec<String> = (1..=40).map(|n| format!("{n}:FF/{n:X}")).collect();
    let mysql = must(Position::parse(Engine::MySql, "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:11"));
    let mariadb = must(Position::parse(Engine::MariaDb, "0-1-100,1-2-3"));
    let mut all = vec![
        ours(claims()),
        ours(with(postgres("1:0/10"), None)),
        ours(with(None, postgres("1:0/1A2B"))),
        ours(with(postgres("3:2A/179EDE8"), postgres("3:2A/179EE00"))),
        ours(with(postgres("1:0/1A2B,2:0/30"), postgres("2:0/40"))),
        ours(with(postgres("1:1/0,5:3/FFFF,7:4/8"), None)),
        ours(with(postgres(&format!("{largest},4294967294:FFFFFFFF/FFFFFFFE")), postgres(largest))),
        by_primary(&with(postgres(&many.join(",")), None)),
        by_primary(&with(Some(mysql), None)),
        by_primary(&with(None, Some(mariadb))),
        signed(&[RETIRED], &with(postgres("2:0/30"), None), Ok(with(postgres("2:0/30"), None))),
        signed(&[STRANGE], &with(postgres("2:0/30"), None), Err(TokenError::UnknownKey)),
    ];
    let flags: [fn(&mut Claims); 4] =
        [|c| c.unplaced = true, |c| c.answered = true, |c| c.unplaced_read = true, |c| c.primary = true];
    for set in flags {
        let mut flagged = with(postgres("1:0/10"), None);
        set(&mut flagged);
        all.push(ours(flagged));
    }
    let foreign = Claims::new(CLUSTER + 1, NOW, LIFETIME);
    all.push(signed(&[KEY], &foreign, Err(TokenError::ForeignCluster)));
    let expired = Claims::new(CLUSTER, Wall::from_seconds(NOW.seconds() - 60), Duration::from_secs(50));
    all.push(signed(&[KEY], &expired, Err(TokenError::Expired { ago: Duration::from_secs(10) })));
    all
}

/// What is read of claims whose positions did not fit.
fn without_positions(claims: &Claims) -> Claims {
    let mut short = claims.clone();
    (short.wrote, short.saw, short.primary) = (None, None, true);
    short
}

/// What was signed says what it said, and what was not signed is no token, however much of it was.
///
/// # Panics
/// When it is not so.
pub fn only_what_was_signed(text: &str) {
    let read = open(text);
    if let Err(error) = &read {
        drop(error.to_string());
    }
    match GENUINE.iter().find(|genuine| genuine.token.as_str() == text) {
        Some(genuine) => assert_eq!(read, genuine.says, "{text:?}"),
        None => assert!(read.is_err(), "{text:?} was accepted as {read:?}"),
    }
}

/// One of the [`GENUINE`] tokens, damaged as the numbers say: the first one chooses it, each of the others is one edit.
#[must_use]
pub fn damaged_genuine(numbers: &[u32]) -> String {
    let Some((first, edits)) = numbers.split_first() else { return String::new() };
    damaged(chosen(*first).token.as_str(), edits)
}

fn chosen(number: u32) -> &'static Genuine {
    &GENUINE[usize::try_from(number).unwrap_or(0) % GENUINE.len()]
}

/// What a damaged token says once its body is signed anew, `None` where it is refused. The numbers are those of
/// [`damaged_genuine`].
///
/// # Panics
/// As [`signed_body`].
pub fn damaged_and_signed(numbers: &[u32]) -> Option<Claims> {
    let (first, edits) = numbers.split_first()?;
    let bytes = edits.iter().fold(bytes_of(chosen(*first)), |bytes, edit| damage::of_bytes(bytes, *edit));
    signed_body(body_of(&bytes))
}

/// What is signed of a token, without version and key.
#[must_use]
pub fn body(genuine: &Genuine) -> Vec<u8> {
    body_of(&bytes_of(genuine)).to_vec()
}

fn bytes_of(genuine: &Genuine) -> Vec<u8> {
    must(URL_SAFE_NO_PAD.decode(genuine.token.as_str()))
}

fn body_of(bytes: &[u8]) -> &[u8] {
    bytes.get(HEADER..bytes.len().saturating_sub(SIGNATURE)).unwrap_or_default()
}

/// Whatever is signed is read or refused, and what was read is signed and read again: a key may be held by another version of
/// this program, or by somebody who found it. What was read, where it was.
///
/// # Panics
/// When it is not so.
pub fn signed_body(body: &[u8]) -> Option<Claims> {
    // Version and key, as every token of ours begins.
    let any = bytes_of(&GENUINE[0]);
    let mut bytes = any[..HEADER].to_vec();
    bytes.extend(body);
    bytes.truncate(LONGEST / 4 * 3 - SIGNATURE);
    let mac = must(Hmac::<Sha256>::new_from_slice(KEY.as_bytes()));
    let signature = mac.chain_update(b"rr session token\0").chain_update(&bytes).finalize().into_bytes();
    // Of whatever cluster, and at the time at which it was issued.
    let cluster = bytes.get(4..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_be_bytes(*bytes));
    bytes.extend(&signature[..SIGNATURE]);
    let text = URL_SAFE_NO_PAD.encode(&bytes);
    match RING.open(&text, cluster.or(Some(CLUSTER)), Wall::from_seconds(0)) {
        Ok(claims) => {
            drop(read_again(&claims));
            Some(claims)
        }
        Err(TokenError::Malformed | TokenError::Expired { .. }) => None,
        Err(error) => panic!("{body:?} was signed, and is refused: {error}"),
    }
}

fn read_again(claims: &Claims) -> Token {
    let token = must(RING.sign(claims));
    assert!(token.as_str().len() <= LONGEST, "{claims:?}");
    let short = without_positions(claims);
    let read = RING.open(token.as_str(), Some(claims.cluster), claims.issued_at);
    assert!(read.as_ref() == Ok(claims) || read.as_ref() == Ok(&short), "{claims:?} became {read:?}");
    token
}

/// What is signed is what is read, and once it is damaged it is none.
///
/// # Panics
/// When it is not so.
pub fn signed_token(points: &[(u32, u64)], seconds: u32, flags: u8, edits: &[u32]) {
    let mut claims = Claims::new(CLUSTER, NOW, Duration::from_secs(u64::from(seconds) + 1));
    claims.unplaced = flags & 1 != 0;
    claims.primary = flags & 2 != 0;
    claims.unplaced_read = flags & 4 != 0;
    claims.answered = flags & 32 != 0;
    let points = points
        .iter()
        .filter_map(|(timeline, lsn)| Some(PgPosition::new(Timeline::new(*timeline)?, Lsn::from_u64(*lsn))));
    let position = points.reduce(|a, b| a.join(&b)).map(Position::from);
    claims.wrote = position.clone().filter(|_| flags & 8 != 0);
    claims.saw = position.filter(|_| flags & 16 != 0);
    let token = read_again(&claims);
    let text = damaged(token.as_str(), edits);
    if text != token.as_str() {
        only_what_was_signed(&text);
    }
}
