//! Discovery: what its settings are, and what is wrong with them.

use super::{toml, valid};
use crate::config::{Config, DiscoveryKind, DnsRecord};

const PRIMARY: &str = "primary = \"postgres://app:hunter2@db-1/shop\"\n[discovery]\n";

#[track_caller]
fn assert_refused(settings: &str, lines: &[&str]) {
    let errors = toml(&format!("{PRIMARY}{settings}")).validate().expect_err(settings).to_string();
    assert_eq!(errors.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_file_may_say_all_of_it() {
    let config = toml(&format!(
        "{PRIMARY}kind = \"replication\"\nhost = \"{{application_name}}.db\"\nport = 5433\nmap = {{ a = \"b:1\" }}\n\
         record = \"srv\"\nresolver = [\"[::1]:53\"]\n"
    ));
    config.validate().unwrap();
    let discovery = &config.discovery;
    assert_eq!((discovery.kind, discovery.record), (DiscoveryKind::Replication, DnsRecord::Srv));
    assert_eq!(discovery.map.get("a").unwrap().to_string(), "b:1");
    assert_eq!(valid("").discovery, Config::default().discovery);
}

#[test]
fn each_kind_needs_something() {
    assert_refused(
        "kind = \"replication\"",
        &["discovery.kind: needs discovery.host or discovery.map as well; set both or none"],
    );
    let mut lines = vec!["discovery.kind: needs discovery.name as well; set both or none"];
    if !cfg!(feature = "dns") {
        lines.push("discovery.kind: needs the feature `dns` of the crate");
    }
    assert_refused("kind = \"dns\"", &lines);
    let mysql =
        "primary = \"mysql://db-1/shop\"\n[discovery]\nkind = \"replication\"\nhost = \"{client_addr}\"\n";
    assert_eq!(
        toml(mysql).validate().unwrap_err().to_string(),
        "discovery.kind: \"replication\" asks a PostgreSQL server, but the primary is one of MySQL"
    );
}

#[test]
fn wrong_values_are_named() {
    assert_refused(
        "interval = \"1ms\"\ntimeout = \"2h\"\nmin_ttl = \"10s\"\nmax_ttl = \"1s\"\nport = 0\nhost = \"db\"\nname = \"a:1\"",
        &[
            "discovery.interval: 1ms is out of range; use 100ms to 1h",
            "discovery.timeout: 2h is out of range; use 10ms to 1m",
            "discovery.max_ttl: 1s must be at least discovery.min_ttl (10s)",
            "discovery.port: 0 is no port; use 1 to 65535",
            "discovery.host: is no rule for hosts; write the name of a host with {application_name} or {client_addr} in it, \
             such as \"{application_name}.db.internal\", and no port",
            "discovery.name: is not the name of a host; write it without scheme and port",
        ],
    );
    assert_refused(
        "map = { a = \"mysql://db-2/shop\", b = \"postgres://u:***@db-3/shop\" }",
        &[
            "discovery.map.a: is a server of MySQL, but the primary is one of PostgreSQL; all nodes need the same engine",
            "discovery.map.b: the password is ***, which stands for a hidden one in printed settings; write the real one",
        ],
    );
}

#[test]
fn groups_need_no_listed_member_where_nodes_are_found() {
    let group = "[groups.reports]\nexclusive = true\n";
    let found = format!("{PRIMARY}kind = \"replication\"\nhost = \"{{client_addr}}\"\n{group}");
    toml(&found).validate().unwrap();
    assert_refused(
        group,
        &["groups.reports: no node belongs to this group; add it to the `groups` of a node, or remove it"],
    );
}

#[test]
fn places_keep_their_secrets_to_themselves() {
    let file = format!("{PRIMARY}map = {{ a = \"postgres://u:hunter2@db-2/shop\" }}\n");
    let config = toml(&file);
    let weight = ("RR_PRIMARY_WEIGHT".to_owned(), "7".to_owned());
    let overlaid = config.clone().overlay_env([weight]).unwrap();
    assert_eq!(overlaid.discovery.map, config.discovery.map, "the password is still there");
    let written = toml::to_string(&config).unwrap();
    for shown in [format!("{config:?}"), written] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let map = ("RR_DISCOVERY_MAP".to_owned(), "a=postgres://u:hunter2@/x y".to_owned());
    let error = config.overlay_env([map]).unwrap_err().to_string();
    assert!(error.starts_with("RR_DISCOVERY_MAP: ") && !error.contains("hunter2"), "{error}");
}
