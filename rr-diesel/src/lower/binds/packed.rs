//! Bind values in one piece.

use diesel::QueryResult;
use diesel::pg::PgTypeMetadata;

use super::{Raw, numbers};

/// Values, each behind the two numbers of its type and its length. It is read where it was written only.
pub(super) struct Packed(Vec<u8>);

/// In place of a length.
const NULL: usize = usize::MAX;

const NUMBER: usize = size_of::<u32>();
const LENGTH: usize = size_of::<usize>();
const HEAD: usize = 2 * NUMBER + LENGTH;

/// Most values fit, so that there is one allocation.
const USUAL: usize = 16;

impl Packed {
    #[inline]
    pub(super) fn of(raw: &Raw) -> QueryResult<Self> {
        let mut all = Vec::with_capacity(raw.values.len() * (HEAD + USUAL));
        for (value, own) in raw.values.iter().zip(&raw.types) {
            let (oid, array) = numbers(own)?;
            let mut head = [0; HEAD];
            head[..NUMBER].copy_from_slice(&oid.to_ne_bytes());
            head[NUMBER..2 * NUMBER].copy_from_slice(&array.to_ne_bytes());
            let (length, value) = value.as_ref().map_or((NULL, &[][..]), |value| (value.len(), value));
            head[2 * NUMBER..].copy_from_slice(&length.to_ne_bytes());
            all.extend_from_slice(&head);
            all.extend_from_slice(value);
        }
        Ok(Self(all))
    }

    pub(super) fn unpack(&self) -> Raw {
        let mut raw = Raw { values: Vec::new(), types: Vec::new() };
        let mut rest = self.0.as_slice();
        while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
            let (own, length) = read(head);
            raw.types.push(own);
            let (value, behind) = match length {
                None => (None, behind),
                Some(length) => {
                    let (value, behind) = behind.split_at(length);
                    (Some(value.to_vec()), behind)
                }
            };
            raw.values.push(value);
            rest = behind;
        }
        raw
    }
}

/// The type of a value, and how long it is; `None` for NULL.
fn read(head: &[u8; HEAD]) -> (PgTypeMetadata, Option<usize>) {
    let number = |at: usize| u32::from_ne_bytes(std::array::from_fn(|byte| head[at + byte]));
    let length = usize::from_ne_bytes(std::array::from_fn(|byte| head[2 * NUMBER + byte]));
    (PgTypeMetadata::new(number(0), number(NUMBER)), (length != NULL).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_as_it_was() {
        for values in [
            vec![],
            vec![None],
            vec![Some(vec![])],
            vec![Some(b"one".to_vec()), None, Some(vec![]), Some(vec![0xFF; 300])],
        ] {
            let types = (1..).take(values.len()).map(|oid| PgTypeMetadata::new(oid, oid + 1000));
            let raw = Raw { types: types.collect(), values };
            let unpacked = Packed::of(&raw).unwrap().unpack();
            assert_eq!(unpacked.values, raw.values);
            let numbers = |raw: &Raw| raw.types.iter().map(|own| numbers(own).unwrap()).collect::<Vec<_>>();
            assert_eq!(numbers(&unpacked), numbers(&raw));
        }
    }
}
