//! Tokens: what is signed comes back, and nothing else does.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::position::{GtidSet, Lsn, PgPosition, Position, Timeline};

const CLUSTER: u64 = 7_301_000_000_000_000_001;
const NOW: Wall = Wall::from_seconds(1_900_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn ring(names: &[&str]) -> KeyRing {
    let secrets: Vec<Secret> =
        names.iter().map(|name| Secret::new(format!("{name}-of-at-least-thirty-two-characters"))).collect();
    KeyRing::new(&secrets)
}

fn claims(wrote: &str) -> Claims {
    Claims { wrote: Some(wrote.parse::<PgPosition>().unwrap().into()), ..Claims::new(CLUSTER, NOW, DAY) }
}

fn open(ring: &KeyRing, token: &Token) -> Result<Claims, TokenError> {
    ring.open(token.as_str(), Some(CLUSTER), NOW)
}

#[test]
fn an_ordinary_token_is_short() {
    let token = ring(&["a"]).sign(&claims("3:2A/179EDE8")).unwrap();
    assert!(token.as_str().len() <= 64, "{token} has {}", token.as_str().len());
}

#[test]
fn the_first_key_signs_and_all_are_accepted() {
    let token = ring(&["old"]).sign(&claims("1:0/10")).unwrap();
    for names in [&["old"][..], &["old", "new"], &["new", "old"]] {
        assert_eq!(open(&ring(names), &token), Ok(claims("1:0/10")), "{names:?}");
    }
    assert_eq!(open(&ring(&["new"]), &token), Err(TokenError::UnknownKey));
    let next = ring(&["new", "old"]).sign(&claims("1:0/10")).unwrap();
    assert_eq!(open(&ring(&["old"]), &next), Err(TokenError::UnknownKey));
    assert_eq!(open(&ring(&[]), &token), Err(TokenError::NoKeys));
    assert_eq!(ring(&[]).sign(&claims("1:0/10")), Err(TokenError::NoKeys));
}

#[test]
fn a_foreign_or_unknown_cluster_is_refused() {
    let ring = ring(&["a"]);
    let token = ring.sign(&claims("1:0/10")).unwrap();
    assert_eq!(ring.open(token.as_str(), Some(CLUSTER + 1), NOW), Err(TokenError::ForeignCluster));
    assert_eq!(ring.open(token.as_str(), None, NOW), Err(TokenError::ClusterUnknown));
}

#[test]
fn it_lives_for_its_lifetime() {
    let ring = ring(&["a"]);
    let token = ring.sign(&claims("1:0/10")).unwrap();
    let at = |time: Wall| ring.open(token.as_str(), Some(CLUSTER), time).map(|_| ());
    assert_eq!(at(NOW + (DAY - Duration::from_secs(1))), Ok(()));
    assert_eq!(at(NOW + DAY), Err(TokenError::Expired { ago: Duration::ZERO }));
    assert_eq!(at(NOW + DAY * 3), Err(TokenError::Expired { ago: DAY * 2 }));
    // The clock of whoever issued it is ahead of ours.
    assert_eq!(at(Wall::from_seconds(NOW.seconds() - 300)), Ok(()));
}

#[test]
fn a_long_text_is_not_even_looked_at() {
    let ring = ring(&["a"]);
    let megabyte = "A".repeat(1 << 20);
    assert_eq!(ring.open(&megabyte, Some(CLUSTER), NOW), Err(TokenError::TooLong { length: 1 << 20 }));
}

#[test]
fn every_part_of_a_token_is_refused() {
    let ring = ring(&["a"]);
    let token = ring.sign(&claims("1:0/10,2:0/20")).unwrap();
    for end in 0..token.as_str().len() {
        assert!(ring.open(&token.as_str()[..end], Some(CLUSTER), NOW).is_err(), "{end}");
        assert!(ring.open(&token.as_str()[end + 1..], Some(CLUSTER), NOW).is_err(), "{end}");
    }
    let unknown = URL_SAFE_NO_PAD.encode([2; 40]);
    assert_eq!(ring.open(&unknown, Some(CLUSTER), NOW), Err(TokenError::Version(2)));
}

#[test]
fn what_does_not_fit_demands_the_primary() {
    let ring = ring(&["a"]);
    let many = (1..=40).map(|n| format!("{n}:FF/{n:X}")).collect::<Vec<_>>().join(",");
    let read = open(&ring, &ring.sign(&claims(&many)).unwrap()).unwrap();
    assert_eq!(read, Claims { primary: true, ..Claims::new(CLUSTER, NOW, DAY) });
    let gtid = Position::from(GtidSet::default());
    let other = Claims { saw: Some(gtid), unplaced: true, ..Claims::new(CLUSTER, NOW, DAY) };
    let read = open(&ring, &ring.sign(&other).unwrap()).unwrap();
    assert_eq!(read, Claims { primary: true, unplaced: true, ..Claims::new(CLUSTER, NOW, DAY) });
}

#[test]
fn three_of_the_largest_points_fit() {
    let top = PgPosition::new(Timeline::new(u32::MAX).unwrap(), Lsn::from_u64(u64::MAX));
    let second = Timeline::new(u32::MAX - 1).unwrap();
    let wrote = top.clone().with_ancestor(second, Lsn::from_u64(u64::MAX));
    let claims = Claims {
        wrote: Some(wrote.into()),
        saw: Some(top.into()),
        ..Claims::new(u64::MAX, Wall::from_seconds((1 << 40) - 1), Duration::from_secs(u64::from(u32::MAX)))
    };
    let ring = ring(&["a"]);
    let token = ring.sign(&claims).unwrap();
    assert!(token.as_str().len() <= LONGEST);
    assert_eq!(ring.open(token.as_str(), Some(u64::MAX), claims.issued_at), Ok(claims));
}

fn positions() -> impl Strategy<Value = Option<Position>> {
    let points = prop::collection::vec((1..=u32::MAX, 1..=u64::MAX), 1..8);
    prop::option::of(points.prop_map(|points| {
        let points =
            points.iter().map(|(t, l)| PgPosition::new(Timeline::new(*t).unwrap(), Lsn::from_u64(*l)));
        points.reduce(|all, point| all.join(&point)).unwrap().into()
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_was_signed_comes_back_or_the_primary_is_demanded(
        wrote in positions(), saw in positions(), [unplaced, unplaced_read, primary] in any::<[bool; 3]>(),
        cluster in any::<u64>(), issued in 0_u64..1 << 40, life in 1_u64..1 << 32,
    ) {
        let (issued_at, lifetime) = (Wall::from_seconds(issued), Duration::from_secs(life));
        let claims = Claims { wrote, saw, unplaced, unplaced_read, primary, ..Claims::new(cluster, issued_at, lifetime) };
        let ring = ring(&["a"]);
        let token = ring.sign(&claims).unwrap();
        prop_assert!(token.as_str().len() <= LONGEST);
        prop_assert!(token.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        let read = ring.open(token.as_str(), Some(cluster), issued_at).unwrap();
        let as_it_was = read == claims;
        let short = Claims { wrote: None, saw: None, primary: true, ..claims };
        prop_assert!(as_it_was || read == short, "became {:?}", read);
    }

    #[test]
    fn a_flipped_bit_is_refused(lsn in 1_u64.., at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let ring = ring(&["a", "b"]);
        let wrote = PgPosition::new(Timeline::FIRST, Lsn::from_u64(lsn));
        let token = ring.sign(&Claims { wrote: Some(wrote.into()), ..Claims::new(CLUSTER, NOW, DAY) }).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(token.as_str()).unwrap();
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        prop_assert!(ring.open(&URL_SAFE_NO_PAD.encode(&bytes), Some(CLUSTER), NOW).is_err());
        let mut text = token.as_str().as_bytes().to_vec();
        let index = at.index(text.len());
        text[index] ^= 1 << (bit % 7);
        if let Ok(text) = String::from_utf8(text) {
            prop_assert!(ring.open(&text, Some(CLUSTER), NOW).is_err(), "{}", text);
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let ring = ring(&["a"]);
        prop_assert!(ring.open(&text, Some(CLUSTER), NOW).is_err());
        prop_assert!(ring.open(&URL_SAFE_NO_PAD.encode(&bytes), Some(CLUSTER), NOW).is_err());
        // With the right version and key, all but the signature.
        let mut near = vec![1, ring.keys[0].id[0], ring.keys[0].id[1]];
        near.extend(&bytes);
        prop_assert!(ring.open(&URL_SAFE_NO_PAD.encode(&near), Some(CLUSTER), NOW).is_err());
    }

    /// Holders of a key make no such token; a bug of theirs must not bring us down.
    #[test]
    fn signed_nonsense_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..71)) {
        let ring = ring(&["a"]);
        let key = &ring.keys[0];
        let mut body = vec![1, key.id[0], key.id[1]];
        body.extend(&bytes);
        let signature = key.mac.clone().chain_update(&body).finalize().into_bytes();
        body.extend(&signature[..SIGNATURE]);
        drop(ring.open(&URL_SAFE_NO_PAD.encode(&body), Some(CLUSTER), NOW));
    }
}
