//! Durations and limits as people write them: `"500ms"`, `"10min"`, `"none"`.
//!
//! Four serde forms of a duration, and one of a number, for use with `#[serde(with = "…")]`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What lifts an inherited limit for one node, where `None` already means "inherited".
pub(super) const NO_LIMIT: Duration = Duration::MAX;

/// What a duration may be read from: text with units, or a bare 0.
struct Text(Duration);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"500ms\", \"5s\" or \"10min\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                parse(text).map(Text).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                if number == 0 { Ok(Text(Duration::ZERO)) } else { Err(E::custom(NO_UNIT)) }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Err(E::custom(NEGATIVE)),
                }
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Text, E> {
                Err(E::custom(NO_UNIT))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

const NO_UNIT: &str = "has no unit; write for example \"500ms\" or \"5s\"";
const NEGATIVE: &str = "is negative; a duration is zero or longer, such as \"500ms\" or \"5s\"";
const UNREADABLE: &str = "is not a duration; write for example \"500ms\", \"5s\" or \"10min\"";

/// Reads `500ms`, `5s`, `1min 30s`, `0`.
fn parse(text: &str) -> Result<Duration, &'static str> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(NEGATIVE);
    }
    if text != "0" && text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(NO_UNIT);
    }
    humantime::parse_duration(text).map_err(|_| UNREADABLE)
}

fn write<S: Serializer>(duration: Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(duration))
}

/// A duration that is always there.
pub(super) mod plain {
    use super::{Deserialize, Deserializer, Duration, Serializer, Text, write};

    pub(in crate::config) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        write(*value, to)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Text::deserialize(from).map(|text| text.0)
    }
}

/// A duration whose key may be left out; needs `skip_serializing_if` as well.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer, Text, write};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => write(*duration, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<Text>::deserialize(from).map(|text| text.map(|text| text.0))
    }
}

/// As [`optional`], where `"none"` stands for no limit at all: [`NO_LIMIT`].
pub(super) mod optional_or_none {
    use super::{Deserialize, Deserializer, Duration, NO_LIMIT, OrNone, Serializer, Text, optional};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        if *value == Some(NO_LIMIT) { to.serialize_str("none") } else { optional::serialize(value, to) }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        OrNone::<Text>::deserialize(from).map(|text| Some(text.0.map_or(NO_LIMIT, |text| text.0)))
    }
}

/// A duration that `"none"` switches off.
pub(super) mod or_none {
    use super::{Deserialize, Deserializer, Duration, OrNone, Serializer, Text, write};

    pub(in crate::config) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(duration) => write(*duration, to),
            None => to.serialize_str("none"),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        OrNone::<Text>::deserialize(from).map(|text| text.0.map(|text| text.0))
    }
}

/// A number that `"none"` switches off.
pub(super) mod number_or_none {
    use super::{Deserialize, Deserializer, OrNone, Serialize, Serializer};

    pub(in crate::config) fn serialize<S, N>(value: &Option<N>, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        N: Serialize,
    {
        match value {
            Some(number) => number.serialize(to),
            None => to.serialize_str("none"),
        }
    }

    pub(in crate::config) fn deserialize<'de, D, N>(from: D) -> Result<Option<N>, D::Error>
    where
        D: Deserializer<'de>,
        N: Deserialize<'de>,
    {
        OrNone::<N>::deserialize(from).map(|number| number.0)
    }
}

/// `"none"` or null, else whatever `T` reads.
struct OrNone<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrNone<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<T> {
            fn value<E: de::Error>(from: impl de::IntoDeserializer<'de, E>) -> Result<OrNone<T>, E> {
                T::deserialize(from.into_deserializer()).map(|value| OrNone(Some(value)))
            }
        }

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = OrNone<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or \"none\"")
            }
            fn visit_unit<E: de::Error>(self) -> Result<OrNone<T>, E> {
                Ok(OrNone(None))
            }
            fn visit_none<E: de::Error>(self) -> Result<OrNone<T>, E> {
                Ok(OrNone(None))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OrNone<T>, E> {
                if text.trim() == "none" { Ok(OrNone(None)) } else { Self::value(text) }
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<OrNone<T>, E> {
                Self::value(number)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<OrNone<T>, E> {
                Self::value(number)
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<OrNone<T>, E> {
                Self::value(number)
            }
        }
        deserializer.deserialize_any(Visitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in any::<u64>(), nanos in 0_u32..1_000_000_000) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&humantime::format_duration(duration).to_string()), Ok(duration));
        }
    }

    #[test]
    fn the_longest_reads_back() {
        assert_eq!(parse(&humantime::format_duration(Duration::MAX).to_string()), Ok(Duration::MAX));
    }
}
