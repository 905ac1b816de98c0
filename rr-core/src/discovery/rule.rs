//! Where a standby is, from what its upstream says about it: `{application_name}.db.internal`, `{client_addr}`.

use std::net::IpAddr;

use super::{FoundNode, Place, PlaceMap, Refusal};

const NAME: &str = "{application_name}";
const ADDRESS: &str = "{client_addr}";

/// What standbys call themselves that were given no name.
const UNNAMED: &str = "walreceiver";

/// How names and addresses become places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule<'a> {
    /// Has the first word.
    pub(crate) map: &'a PlaceMap,
    /// A host's name with `{application_name}` or `{client_addr}` in it.
    pub(crate) host: Option<&'a str>,
    pub(crate) port: Option<u16>,
}

impl Rule<'_> {
    /// Whether a text may stand in [`Rule::host`].
    pub(crate) fn is_host(text: &str) -> bool {
        let filled = text.replace(NAME, "a").replace(ADDRESS, "10.0.0.1");
        filled != text && matches!(Place::parse(&filled), Ok(Place::Host { port: None, .. }))
    }

    /// The node that streams under this name and from this address.
    ///
    /// It is called like that, unless the name says nothing about where it is: then two may have the same, and the node is
    /// called by its address.
    pub(crate) fn node(&self, name: &str, address: Option<IpAddr>) -> Result<FoundNode, (String, Refusal)> {
        let refuse = |why| Err((name.to_owned(), why));
        if let Some(place) = self.map.get(name) {
            return Ok(FoundNode::new(name, place.clone()));
        }
        let Some(host) = self.host else { return refuse(Refusal::NoPlace) };
        if host.contains(NAME) && (name.is_empty() || name == UNNAMED) {
            let why =
                "has no name of its own; set `cluster_name`, or `application_name` in its `primary_conninfo`";
            return refuse(Refusal::Unusable(why.to_owned()));
        }
        let filled = match address {
            Some(address) => host.replace(ADDRESS, &address.to_string()),
            None if host.contains(ADDRESS) => return refuse(Refusal::NoPlace),
            None => host.to_owned(),
        };
        let place = Place::Host { host: filled.replace(NAME, name), port: self.port };
        let called = if host.contains(NAME) { name.to_owned() } else { place.to_string() };
        Ok(FoundNode::new(called, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: Option<&str>, port: Option<u16>, name: &str) -> Result<(String, String), Refusal> {
        let mut map = PlaceMap::default();
        map.insert("special", Place::parse("else.test:9").unwrap());
        let node = Rule { map: &map, host, port }.node(name, "10.0.0.7".parse().ok());
        node.map(|node| (node.name.clone(), node.place.to_string())).map_err(|(_, why)| why)
    }

    #[test]
    fn names_and_addresses_become_places() {
        let by_name = Some("{application_name}.db.internal");
        let is = |name: &str, place: &str| Ok((name.to_owned(), place.to_owned()));
        assert_eq!(place(by_name, None, "r1"), is("r1", "r1.db.internal"));
        assert_eq!(place(by_name, Some(7), "special"), is("special", "else.test:9"));
        assert_eq!(place(Some("{client_addr}"), Some(7), "walreceiver"), is("10.0.0.7:7", "10.0.0.7:7"));
        assert_eq!(place(None, None, "r1"), Err(Refusal::NoPlace));
        assert!(matches!(place(by_name, None, "walreceiver"), Err(Refusal::Unusable(_))));
    }

    #[test]
    fn a_rule_has_a_placeholder_and_makes_a_host() {
        for good in ["{application_name}", "{application_name}.db.internal", "{client_addr}"] {
            assert!(Rule::is_host(good), "{good}");
        }
        for bad in [
            "",
            "db.internal",
            "{name}.db",
            "{application_name}:5432",
            "{application_name}/x",
            "a@{client_addr}",
        ] {
            assert!(!Rule::is_host(bad), "{bad}");
        }
    }
}
