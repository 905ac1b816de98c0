//! Where a found node is, and the names that are given to places by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::{DatabaseUrl, UrlError};

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// At a URL of its own.
    Url(DatabaseUrl),
    /// On a host; all else is as in the primary's URL.
    Host {
        /// Its name or address.
        host: String,
        /// The primary's unless it is given.
        port: Option<u16>,
    },
    /// At an address; all else is as in the primary's URL.
    Address {
        /// The address.
        address: IpAddr,
        /// The primary's unless it is given.
        port: Option<u16>,
        /// The name that its certificate must have, if not the address.
        host: Option<String>,
    },
}

impl Place {
    /// Reads a URL, or a host with perhaps a port: `db-2`, `db-2:5433`, `[fe80::1]:5433`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.contains("://") {
            return Ok(Self::Url(DatabaseUrl::parse(text)?));
        }
        let (host, port) = match text.rsplit_once(':') {
            // An address of six and more colons has no port without brackets.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok().filter(|port| *port > 0).ok_or(UrlError::Port)?))
            }
            _ => (text, None),
        };
        // Whether it is a host at all is found out by putting it into a URL.
        DatabaseUrl::parse("postgres://h")?.at_host(host, port)?;
        Ok(Self::Host { host: host.to_owned(), port })
    }

    /// The URL of a node here, whose other settings are those of `template`.
    pub(crate) fn url(&self, template: &DatabaseUrl) -> Result<DatabaseUrl, UrlError> {
        match self {
            Self::Url(url) => Ok(url.clone()),
            Self::Host { host, port } => template.at_host(host, *port),
            Self::Address { address, port, host } => template.at_address(host.as_deref(), *address, *port),
        }
    }
}

/// Without secrets.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = match self {
            Self::Url(url) => return write!(f, "{url}"),
            Self::Host { host, port } => (host.clone(), port),
            Self::Address { address, port, .. } => (address.to_string(), port),
        };
        match port {
            Some(port) if host.contains(':') && !host.starts_with('[') => write!(f, "[{host}]:{port}"),
            Some(port) => write!(f, "{host}:{port}"),
            None => f.write_str(&host),
        }
    }
}

/// Places by name. In a file it is a table (`replica-1 = "db-2:5433"`) or a list of texts (`"replica-1=db-2:5433"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceMap(BTreeMap<String, Place>);

impl PlaceMap {
    /// The place of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Place> {
        self.0.get(name)
    }

    /// Whether it names no place.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.0.iter().map(|(name, place)| (name.as_str(), place))
    }

    /// Adds a place, or changes one.
    pub fn insert(&mut self, name: impl Into<String>, place: Place) {
        self.0.insert(name.into(), place);
    }

    /// Reads `name=place`. The message repeats nothing of the text, in which a password may be.
    pub(crate) fn add_text(&mut self, text: &str) -> Result<(), String> {
        let (name, place) = text.split_once('=').ok_or("is not a list of name=place")?;
        let place = Place::parse(place).map_err(|error| format!("has a place that {error}"))?;
        self.0.insert(name.trim().to_owned(), place);
        Ok(())
    }
}

/// A URL is written without its password, and so cannot be read back.
impl Serialize for PlaceMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(name, place)| format!("{name}={place}")))
    }
}

impl<'de> Deserialize<'de> for PlaceMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = PlaceMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of places by name, or a list of \"name=place\"")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<PlaceMap, A::Error> {
                let mut places = PlaceMap::default();
                while let Some(text) = seq.next_element::<String>()? {
                    places.add_text(&text).map_err(de::Error::custom)?;
                }
                Ok(places)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<PlaceMap, A::Error> {
                let mut places = PlaceMap::default();
                while let Some((name, place)) = map.next_entry::<String, String>()? {
                    let place = Place::parse(&place)
                        .map_err(|error| de::Error::custom(format_args!("has a place that {error}")))?;
                    places.0.insert(name, place);
                }
                Ok(places)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_hosts_or_urls() {
        for (text, shown) in [
            ("db-2", "db-2"),
            (" db-2:5433 ", "db-2:5433"),
            ("10.0.0.7:1", "10.0.0.7:1"),
            ("fe80::1", "fe80::1"),
            ("[fe80::1]:5433", "[fe80::1]:5433"),
            ("postgres://u:p@db-2/d", "postgres://u:***@db-2/d"),
        ] {
            assert_eq!(Place::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "db-2:", "db-2:0", "db-2:x", "a b", "a/b", "redis://x"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_map_is_read_from_a_table_and_from_a_list() {
        #[derive(Deserialize)]
        struct File {
            map: PlaceMap,
        }
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.map);
        let table = read("[map]\n\"replica-1\" = \"db-2:5433\"\n").unwrap();
        assert_eq!(table, read("map = [\"replica-1=db-2:5433\"]").unwrap());
        assert_eq!(table.get("replica-1").unwrap().to_string(), "db-2:5433");
        for wrong in
            ["map = [\"replica-1:hunter2\"]", "map = [\"a=u:hunter2@b\"]", "[map]\na = \"u:hunter2@b\""]
        {
            let error = read(wrong).unwrap_err();
            assert!(!error.message().contains("hunter2"), "{error}");
        }
    }
}
