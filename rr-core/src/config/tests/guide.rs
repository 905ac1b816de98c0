//! The guide lists exactly the keys, variables and defaults that there are.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::config::keys::{Key, Keys};
use crate::config::{
    Config, DiscoveryConfig, FailoverPolicy, GroupConfig, HealthConfig, LagConfig, MonitorConfig, NodeConfig,
    NotifyConfig, PoolConfig, PoolOverrides, PoolsConfig, PrimaryReads, Retries, SessionConfig, TlsConfig,
};

const GUIDE: &str = include_str!("../../../../docs/guide/configuration.md");

/// A deserializer that reads nothing: it reports the fields that a struct asks for.
struct Fields;

#[derive(Debug)]
struct Asked(Vec<&'static str>);

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Asked {}

impl de::Error for Asked {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        panic!("not a struct: {message}")
    }
}

impl<'de> Deserializer<'de> for Fields {
    type Error = Asked;
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        panic!("not a struct")
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        Err(Asked(fields.to_vec()))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<T: for<'de> Deserialize<'de> + std::fmt::Debug>() -> Vec<&'static str> {
    T::deserialize(Fields).unwrap_err().0
}

/// The keys as the structs have them, each table by hand, so that one that is forgotten elsewhere shows.
fn expected(table: &str) -> Vec<String> {
    let tables = BTreeMap::from([
        ("", fields::<Config>()),
        ("primary_reads", fields::<PrimaryReads>()),
        ("retries", fields::<Retries>()),
        ("session", fields::<SessionConfig>()),
        ("pool", fields::<PoolsConfig>()),
        ("pool.primary", fields::<PoolConfig>()),
        ("pool.replica", fields::<PoolConfig>()),
        ("tls", fields::<TlsConfig>()),
        ("monitor", fields::<MonitorConfig>()),
        ("health", fields::<HealthConfig>()),
        ("lag", fields::<LagConfig>()),
        ("failover", fields::<FailoverPolicy>()),
        ("discovery", fields::<DiscoveryConfig>()),
        ("primary", vec![]),
        ("replicas", vec![]),
        ("groups", vec![]),
        ("notify", vec![]),
        ("notifier", fields::<NotifyConfig>()),
        ("node", fields::<NodeConfig>()),
        ("node.pool", fields::<PoolOverrides>()),
        ("node.tls", fields::<TlsConfig>()),
        ("group", fields::<GroupConfig>()),
    ]);
    let mut keys = Vec::new();
    for field in &tables[table] {
        let path = if table.is_empty() { (*field).to_owned() } else { format!("{table}.{field}") };
        if tables.contains_key(path.as_str()) {
            keys.extend(expected(&path));
        } else {
            keys.push(path);
        }
    }
    keys
}

fn paths(keys: &[Key], prefix: &str) -> Vec<String> {
    keys.iter().map(|key| format!("{prefix}{}", key.path.join("."))).collect()
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

#[test]
fn the_list_of_keys_is_complete() {
    let keys = Keys::all();
    assert_eq!(sorted(paths(&keys.cluster, "")), sorted(expected("")));
    assert_eq!(sorted(paths(&keys.node, "node.")), sorted(expected("node")));
    assert_eq!(sorted(paths(&keys.group, "group.")), sorted(expected("group")));
    assert_eq!(sorted(paths(&keys.notify, "notifier.")), sorted(expected("notifier")));
}

/// The rows `| key | type | default | variable | meaning |` whose first cell is a key.
fn rows() -> Vec<[String; 5]> {
    let mut rows = Vec::new();
    let mut of_keys = false;
    for line in GUIDE.lines() {
        of_keys = line == "| key | type | default | variable | meaning |" || of_keys && line.starts_with('|');
        if of_keys && line.starts_with("| `") {
            let line = line.trim_start_matches("| ").trim_end_matches(" |");
            let cells: Vec<_> = line.split(" | ").map(str::to_owned).collect();
            rows.push(cells.try_into().unwrap_or_else(|cells| panic!("not five cells: {cells:?}")));
        }
    }
    rows
}

#[test]
fn the_guide_has_every_key_and_no_other() {
    let keys = Keys::all();
    let documented = rows().into_iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let mut all = paths(&keys.cluster, "");
    all.extend(paths(&keys.node, "<node>."));
    all.extend(paths(&keys.group, "groups.<name>."));
    all.extend(paths(&keys.notify, "<notifier>."));
    assert_eq!(sorted(documented), sorted(all));
}

#[test]
fn the_guide_has_the_right_variables() {
    for [key, kind, _, variable, meaning] in rows() {
        let key = key.trim_matches('`');
        let end = |key: &str| key.replace('.', "_").to_uppercase();
        if let Some(key) = key.strip_prefix("<notifier>.") {
            assert_eq!(variable, format!("`RR_NOTIFY_<n>_{}`", end(key)), "{key}");
            continue;
        }
        let expected = match (key.strip_prefix("<node>."), key.strip_prefix("groups.<name>.")) {
            (Some(key), _) => format!("`RR_PRIMARY_{0}`, `RR_REPLICA_<n>_{0}`", end(key)),
            (_, Some(key)) => format!("`RR_GROUP_<NAME>_{}`", end(key)),
            (None, None) => format!("`RR_{}`", end(key)),
        };
        assert_eq!(variable, expected, "{key}");
        assert!(!kind.is_empty() && !meaning.is_empty(), "{key}");
    }
}

#[test]
fn the_guide_has_the_right_defaults() {
    let config = toml::Table::try_from(Config::default()).unwrap();
    let node = toml::Table::try_from(NodeConfig::default()).unwrap();
    let group = toml::Table::try_from(GroupConfig::default()).unwrap();
    let notifier = toml::Table::try_from(NotifyConfig::default()).unwrap();
    for [key, _, default, ..] in rows() {
        let key = key.trim_matches('`');
        let (table, path) = match (key.strip_prefix("<node>."), key.strip_prefix("groups.<name>.")) {
            (Some(path), _) => (&node, path),
            (_, Some(path)) => (&group, path),
            (None, None) => match key.strip_prefix("<notifier>.") {
                Some(path) => (&notifier, path),
                None => (&config, key),
            },
        };
        let mut steps = path.split('.');
        let first = table.get(steps.next().unwrap());
        let value = steps.fold(first, |value, step| value.and_then(|value| value.get(step)));
        match value {
            Some(value) => assert_eq!(default, format!("`{value}`"), "{key}"),
            // Words, since there is no value.
            None => assert!(!default.starts_with('`') || path == "name", "{key}: {default}"),
        }
    }
}
