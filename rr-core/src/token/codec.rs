//! Claims as bytes and back. Reading takes hostile input: it never panics, and allocates only for what was signed.

use std::time::Duration;

use super::{Claims, LONGEST, TokenError};
use crate::position::{Lsn, PgPosition, Position, Timeline};
use crate::time::Wall;

pub(super) const VERSION: u8 = 1;

/// Bytes of the signature: half of the hash, which is what truncating HMAC-SHA256 is specified for.
pub(super) const SIGNATURE: usize = 16;

/// Bytes of a token that is as long as it may be.
pub(super) const ROOM: usize = LONGEST / 4 * 3;

/// Bytes that are signed, at most.
pub(super) const BODY: usize = ROOM - SIGNATURE;

/// Version and key come before everything that is read only once the signature was found right.
pub(super) const HEADER: usize = 3;

const UNPLACED: u8 = 1;
const PRIMARY: u8 = 2;
const WROTE: u8 = 4;
const SAW: u8 = 8;
const UNPLACED_READ: u8 = 16;
const ANSWERED: u8 = 32;

/// Bytes of the time of issue: seconds for 34 000 years.
const SECONDS: usize = 5;

/// A buffer that refuses what does not fit.
pub(super) struct Body {
    bytes: [u8; BODY],
    len: usize,
}

impl Body {
    /// The claims in as many bytes as they need; positions that do not fit become a demand for the primary.
    pub(super) fn of(claims: &Claims, key: [u8; 2]) -> Self {
        Self::write(claims, key).unwrap_or_else(|| {
            let short = Claims { wrote: None, saw: None, primary: true, ..claims.clone() };
            Self::write(&short, key).unwrap_or(Self { bytes: [0; BODY], len: 0 })
        })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn write(claims: &Claims, key: [u8; 2]) -> Option<Self> {
        let mut body = Self { bytes: [0; BODY], len: 0 };
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        body.put(&[VERSION])?;
        body.put(&key)?;
        body.put(&[flag(claims.unplaced, UNPLACED)
            | flag(claims.answered, ANSWERED)
            | flag(claims.unplaced_read, UNPLACED_READ)
            | flag(claims.primary, PRIMARY)
            | flag(claims.wrote.is_some(), WROTE)
            | flag(claims.saw.is_some(), SAW)])?;
        body.put(&claims.cluster.to_be_bytes())?;
        body.put(claims.issued_at.seconds().to_be_bytes().get(8 - SECONDS..)?)?;
        body.number(claims.lifetime.as_secs())?;
        for position in claims.wrote.iter().chain(&claims.saw) {
            // Only PostgreSQL's positions are short; the others go by way of the primary.
            let Position::Postgres(position) = position else { return None };
            body.put(&[u8::try_from(position.points().count()).ok()?])?;
            for (timeline, lsn) in position.points() {
                body.number(u64::from(timeline.get()))?;
                body.number(lsn.as_u64())?;
            }
        }
        Some(body)
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u64) -> Option<()> {
        while let low @ 128.. = number {
            self.put(&[low.to_le_bytes()[0] | 128])?;
            number >>= 7;
        }
        self.put(&[number.to_le_bytes()[0]])
    }
}

/// Reads what [`Body`] wrote, once the signature was found right.
pub(super) fn read(body: &[u8]) -> Result<Claims, TokenError> {
    claims(body).ok_or(TokenError::Malformed)
}

fn claims(body: &[u8]) -> Option<Claims> {
    let mut rest = Reader(body.get(HEADER..)?);
    let [flags] = rest.take()?;
    if flags & !(UNPLACED | ANSWERED | UNPLACED_READ | PRIMARY | WROTE | SAW) != 0 {
        return None;
    }
    let cluster = u64::from_be_bytes(rest.take()?);
    let mut seconds = [0; 8];
    seconds.get_mut(8 - SECONDS..)?.copy_from_slice(&rest.take::<SECONDS>()?);
    let issued_at = Wall::from_seconds(u64::from_be_bytes(seconds));
    let mut claims = Claims::new(cluster, issued_at, Duration::from_secs(rest.number()?));
    claims.unplaced = flags & UNPLACED != 0;
    claims.answered = flags & ANSWERED != 0;
    claims.unplaced_read = flags & UNPLACED_READ != 0;
    claims.primary = flags & PRIMARY != 0;
    if flags & WROTE != 0 {
        claims.wrote = Some(rest.position()?);
    }
    if flags & SAW != 0 {
        claims.saw = Some(rest.position()?);
    }
    rest.0.is_empty().then_some(claims)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            let bits = u64::from(byte & 127);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte < 128 {
                return Some(number);
            }
        }
        None
    }

    fn position(&mut self) -> Option<Position> {
        let [points] = self.take()?;
        let mut position = PgPosition::new(Timeline::FIRST, Lsn::ZERO);
        for _ in 0..points {
            let timeline = Timeline::new(u32::try_from(self.number()?).ok()?)?;
            position = position.join(&PgPosition::new(timeline, Lsn::from_u64(self.number()?)));
        }
        Some(position.into())
    }
}
