//! Serialised bind values that can be given to any server.
//!
//! The types that a database defines itself (enums, composites, their arrays) have different numbers (OIDs) on
//! different servers, and these numbers stand in the values' metadata and inside of serialised arrays. So values are
//! serialised with invented numbers, twice, with other inventions the second time: wherever both outcomes show
//! the inventions for the same type, there the number of the server at hand belongs.

use diesel::QueryResult;
use diesel::pg::{Pg, PgMetadataLookup, PgTypeMetadata};
use diesel::query_builder::QueryFragment;
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::result::Error;

mod packed;

use packed::Packed;

/// Inventions of the two runs. No byte of them repeats in a way that would let a shifted reading pass for another.
const FIRST: u32 = 0xFDA0_0000;
const SECOND: u32 = 0xFBC0_0000;

/// The serialised binds of a query.
pub(crate) struct Binds {
    /// As they were collected: for the first server, unless something must be filled in. Most often there is no other one.
    fresh: Option<Raw>,
    again: Again,
}

/// Values and their types, as Diesel has them.
pub(super) struct Raw {
    values: Vec<Option<Vec<u8>>>,
    types: Vec<PgTypeMetadata>,
}

/// The same once more, for any server.
enum Again {
    /// In one piece, which costs less than to copy each value.
    Packed(Packed),
    Custom(Box<Custom>),
}

/// Schema and name of a type.
type Name = (Option<String>, String);

/// What must be filled in on each server.
struct Custom {
    raw: Raw,
    /// The types; a type's invented numbers are twice its index (itself) and one more (its array).
    names: Vec<Name>,
    /// Which value, where in it, and which number.
    places: Vec<(usize, usize, u32)>,
}

impl Binds {
    pub(super) fn collect<Q: QueryFragment<Pg>>(query: &Q) -> QueryResult<Self> {
        let (first, names) = run(query, FIRST)?;
        if names.is_empty() {
            let again = Again::Packed(Packed::of(&first)?);
            return Ok(Self { fresh: Some(first), again });
        }
        let (second, _) = run(query, SECOND)?;
        let mut places = Vec::new();
        for (value, (one, other)) in first.values.iter().zip(&second.values).enumerate() {
            let (Some(one), Some(other)) = (one, other) else { continue };
            for (at, (one, other)) in one.windows(4).zip(other.windows(4)).enumerate() {
                if let Some(number) = invented(be(one), FIRST, names.len())
                    && invented(be(other), SECOND, names.len()) == Some(number)
                {
                    places.push((value, at, number));
                }
            }
        }
        Ok(Self { fresh: None, again: Again::Custom(Box::new(Custom { raw: first, names, places })) })
    }

    pub(super) const fn has_custom_types(&self) -> bool {
        matches!(self.again, Again::Custom(_))
    }

    /// What need not be made once more, the first time.
    #[inline]
    pub(super) const fn fresh(&mut self) -> Option<Raw> {
        self.fresh.take()
    }

    /// Hands the values to a connection, with the numbers that its server has for the types.
    #[inline]
    pub(super) fn give(
        &self,
        fresh: Option<Raw>,
        out: &mut RawBytesBindCollector<Pg>,
        lookup: &mut dyn PgMetadataLookup,
    ) -> QueryResult<()> {
        let raw = match (fresh, &self.again) {
            (Some(fresh), _) => fresh,
            (None, Again::Packed(packed)) => packed.unpack(),
            (None, Again::Custom(custom)) => custom.filled_in(lookup)?,
        };
        (out.binds, out.metadata) = (raw.values, raw.types);
        Ok(())
    }
}

impl Custom {
    fn filled_in(&self, lookup: &mut dyn PgMetadataLookup) -> QueryResult<Raw> {
        let mut real = Vec::with_capacity(2 * self.names.len());
        for (schema, name) in &self.names {
            let found = lookup.lookup_type(name, schema.as_deref());
            real.push(number(found.oid())?);
            real.push(number(found.array_oid())?);
        }
        let real_of = |oid: u32| match invented(oid, FIRST, self.names.len()) {
            Some(index) => {
                usize::try_from(index).ok().and_then(|index| real.get(index)).copied().unwrap_or(oid)
            }
            None => oid,
        };
        let mut types = Vec::with_capacity(self.raw.types.len());
        for own in &self.raw.types {
            let (oid, array) = numbers(own)?;
            types.push(PgTypeMetadata::new(real_of(oid), real_of(array)));
        }
        let mut values = self.raw.values.clone();
        for (value, at, index) in &self.places {
            let place =
                values.get_mut(*value).and_then(Option::as_mut).and_then(|bytes| bytes.get_mut(*at..at + 4));
            if let Some(place) = place {
                place.copy_from_slice(&real_of(FIRST + index).to_be_bytes());
            }
        }
        Ok(Raw { values, types })
    }
}

#[inline]
fn number<E: std::error::Error + Send + Sync + 'static>(oid: Result<u32, E>) -> QueryResult<u32> {
    oid.map_err(|error| Error::SerializationError(Box::new(error)))
}

/// Those of a type and of its array.
#[inline]
pub(super) fn numbers(own: &PgTypeMetadata) -> QueryResult<(u32, u32)> {
    Ok((number(own.oid())?, number(own.array_oid())?))
}

fn be(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_be_bytes)
}

fn invented(oid: u32, base: u32, types: usize) -> Option<u32> {
    let index = oid.checked_sub(base)?;
    (usize::try_from(index).ok()? < 2 * types).then_some(index)
}

fn run<Q: QueryFragment<Pg>>(query: &Q, base: u32) -> QueryResult<(Raw, Vec<Name>)> {
    let mut inventor = Inventor { base, names: Vec::new() };
    let mut out = RawBytesBindCollector::new();
    query.collect_binds(&mut out, &mut inventor, &Pg)?;
    Ok((Raw { values: out.binds, types: out.metadata }, inventor.names))
}

/// Invents a pair of numbers for every type that is asked for.
struct Inventor {
    base: u32,
    names: Vec<Name>,
}

impl PgMetadataLookup for Inventor {
    fn lookup_type(&mut self, type_name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let known = self.names.iter().position(|(own, name)| own.as_deref() == schema && name == type_name);
        let index = known.unwrap_or_else(|| {
            self.names.push((schema.map(str::to_owned), type_name.to_owned()));
            self.names.len() - 1
        });
        // A query that names more types than there are numbers left does not exist.
        let first = self.base + 2 * u32::try_from(index).unwrap_or(0);
        PgTypeMetadata::new(first, first + 1)
    }
}

#[cfg(test)]
mod tests {
    use diesel::IntoSql;
    use diesel::sql_types::{Integer, Nullable, Text};

    use super::*;

    #[test]
    fn every_server_is_given_what_the_first_one_was() {
        let query = diesel::select((
            7.into_sql::<Integer>(),
            "seven".into_sql::<Text>(),
            None::<i32>.into_sql::<Nullable<Integer>>(),
        ));
        let mut binds = Binds::collect(&query).unwrap();
        let fresh = binds.fresh();
        assert!(fresh.is_some() && binds.fresh().is_none());
        let given = |fresh| {
            let mut out = RawBytesBindCollector::new();
            binds.give(fresh, &mut out, &mut Inventor { base: FIRST, names: Vec::new() }).unwrap();
            let types: Vec<_> = out.metadata.iter().map(|own| numbers(own).unwrap()).collect();
            (out.binds, types)
        };
        let first = given(fresh);
        assert_eq!(first.0, [Some(7_i32.to_be_bytes().to_vec()), Some(b"seven".to_vec()), None]);
        assert_eq!(given(None), first);
    }
}
