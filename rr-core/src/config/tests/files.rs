//! TOML and JSON: defaults, short forms, round trips, and what is said about mistakes.

use std::path::Path;
use std::time::Duration;

use super::toml;
use crate::config::{
    Config, FailoverMode, GroupConfig, GroupFallback, Percent, ReadPreference, Spill, SslMode, Strategy,
    Unscoped,
};
use crate::consistency::Consistency;
use crate::engine::Engine;

/// Every table and every form of value, little of it at its default.
const EVERYTHING: &str = r#"
allow_primary_as_replica = true
consistency = "bounded(2s)"
read_preference = "nearest"
unscoped = "eventual"
balance = "least-lag"
region = "eu"
regions = ["us", "asia"]
spill = { below = 2 }
max_lag = "none"
causal_wait = "7ms"
read_after_write_window = "1m 30s"
write_wait = 0
startup_wait = "0s"
primary_reads = { per_second = 50, burst = 10 }

[primary]
name = "main"
url = "postgres://app@db-1:5433/shop"
weight = 10
region = "eu"
priority = 3

[[replicas]]
url = "postgres://app@db-2/shop"
max_lag = "none"
groups = ["analytics", "reports"]

[replicas.pool]
min = 1
max = 2
idle_timeout = "none"
connect_timeout = "3s"
statement_timeout = "1h"

[replicas.tls]
mode = "verify-full"
root_cert = "/ca.pem"
client_cert = "/cert.pem"
client_key = "/key.pem"

[[replicas]]
name = "late"
url = "postgres://app@db-3/shop"
max_lag = "1h"

[groups.analytics]
fallback = "error"
exclusive = true

[pool.replica]
max = 30
max_lifetime = "none"
statement_timeout = "10s"

[tls]
mode = "require"

[monitor]
interval = "1s"

[health]
panic_threshold = "30%"

[lag]
history = 10

[failover]
mode = "supervised"
max_lag_bytes = "none"
dry_run = true
"#;

#[test]
fn nothing_but_a_primary_is_a_single_database() {
    let config = toml("primary = \"postgres://db-1/shop\"");
    assert_eq!(config, Config::new("postgres://db-1/shop").unwrap());
    assert_eq!(config.primary.name, "primary");
    assert_eq!(config.engine().unwrap(), Engine::Postgres);
    config.validate().unwrap();
}

#[test]
fn everything_can_be_read() {
    let config = toml(EVERYTHING);
    assert_eq!(config.consistency, Consistency::Bounded(Duration::from_secs(2)));
    assert_eq!(config.read_preference, ReadPreference::Nearest);
    assert_eq!(config.unscoped, Unscoped::Eventual);
    assert_eq!(config.balance, Strategy::LeastLag);
    assert_eq!(config.spill, Spill::Below(2));
    assert_eq!(config.max_lag, None);
    assert_eq!(config.read_after_write_window, Duration::from_secs(90));
    assert_eq!(config.write_wait, Duration::ZERO);
    assert_eq!(config.primary_reads.per_second, Some(50));
    assert_eq!(config.region_order().collect::<Vec<_>>(), ["eu", "us", "asia"]);
    assert_eq!(config.health.panic_threshold, Percent::new(30).unwrap());
    assert_eq!(config.failover.mode, FailoverMode::Supervised);
    assert_eq!(config.failover.max_lag_bytes, None);
    assert_eq!(config.groups["analytics"], GroupConfig::new(GroupFallback::Error, true));
    let names: Vec<_> = config.nodes().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["main", "replica-1", "late"]);
    config.validate().unwrap();
}

#[test]
fn what_a_node_overrides_wins() {
    let config = toml(EVERYTHING);
    let [first, late] = &*config.replicas else { panic!("two replicas") };
    let pool = first.pool.over(&config.pool.replica);
    assert_eq!((pool.min, pool.max, pool.idle_timeout, pool.max_lifetime), (1, 2, None, None));
    assert_eq!(pool.connect_timeout, Duration::from_secs(3));
    assert_eq!(pool.statement_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(pool.checkout_timeout, config.pool.replica.checkout_timeout);
    assert_eq!(late.pool.over(&config.pool.replica), config.pool.replica);

    let limited = Config { max_lag: Some(Duration::from_secs(9)), ..config };
    let limits: Vec<_> =
        limited.nodes().map(|node| limited.max_lag_of(node).map(|limit| limit.as_secs())).collect();
    assert_eq!(limits, [Some(9), None, Some(3600)]);
}

#[test]
fn tls_comes_from_the_url_then_the_node_then_the_cluster() {
    let mut config = toml(EVERYTHING);
    config.tls.root_cert = Some("/cluster.pem".into());
    let of = |config: &Config, place: usize| {
        let tls = config.tls_for(&config.replicas[place]);
        (tls.mode, tls.root_cert)
    };
    assert_eq!(of(&config, 0), (SslMode::VerifyFull, Some("/ca.pem".into())));
    assert_eq!(of(&config, 1), (SslMode::Require, Some("/cluster.pem".into())));
    for (parameters, mode, root) in [
        ("sslmode=disable", SslMode::Disable, "/cluster.pem"),
        ("sslmode=allow", SslMode::Prefer, "/cluster.pem"),
        ("sslmode=verify-ca&sslrootcert=/url.pem", SslMode::VerifyCa, "/url.pem"),
        ("ssl-mode=VERIFY_IDENTITY&ssl-ca=/url.pem", SslMode::VerifyFull, "/url.pem"),
        ("sslmode=require&sslmode=prefer&sslrootcert=", SslMode::Prefer, "/cluster.pem"),
    ] {
        config.replicas[1].url = format!("postgres://db-3/shop?{parameters}").try_into().unwrap();
        assert_eq!(of(&config, 1), (mode, Some(root.into())), "{parameters}");
    }
    config.replicas[1].url = "postgres://db-3/shop?sslcert=/c&sslkey=/k".try_into().unwrap();
    let tls = config.tls_for(&config.replicas[1]);
    assert_eq!((tls.client_cert, tls.client_key), (Some("/c".into()), Some("/k".into())));
}

#[test]
fn what_is_written_reads_back() {
    for config in [toml(EVERYTHING), Config::default(), toml("spill = \"never\"\nmax_lag = \"1ns\"")] {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml(&text), config);
        assert_eq!(toml(&toml::to_string_pretty(&config).unwrap()), config);
        assert_eq!(toml::to_string(&toml(&text)).unwrap(), text, "what is written is stable");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(Config::from_json(&json).unwrap(), config);
    }
}

#[test]
fn json_has_the_same_keys() {
    let table: toml::Table = toml::from_str(EVERYTHING).unwrap();
    let json = serde_json::to_string_pretty(&table).unwrap();
    assert_eq!(Config::from_json(&json).unwrap(), toml(EVERYTHING));
    let nulls = r#"{"max_lag": null, "region": null, "failover": {"max_lag_bytes": null}}"#;
    let config = Config::from_json(nulls).unwrap();
    assert_eq!((config.max_lag, config.region, config.failover.max_lag_bytes), (None, None, None));
}

#[test]
fn mistakes_in_toml_are_explained() {
    let rows = [
        ("max_lagg = \"1s\"", "line 1, column 1: unknown key `max_lagg`; did you mean `max_lag`?"),
        (
            "\n[pool.replica]\nmaxx = 3",
            "line 3, column 1: pool.replica: unknown key `maxx`; did you mean `max`?",
        ),
        (
            "[monitor]\ncolour = 3",
            "line 2, column 1: monitor: unknown key `colour`; the keys here are interval, jitter, timeout, connect_timeout",
        ),
        (
            "[[replicas]]\nurl = \"postgres://h/d\"\n[[replicas]]\nwieght = 3",
            "line 4, column 1: replicas: unknown key `wieght`; did you mean `weight`?",
        ),
        (
            "[pool.replica]\nmax = \"many\"",
            "line 2, column 7: pool.replica.max: invalid type: a text, expected a whole number from 0 to 4294967295",
        ),
        (
            "[pool.replica]\nmax = -1",
            "line 2, column 7: pool.replica.max: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
        ),
        (
            "[primary]\npriority = 256",
            "line 2, column 12: primary.priority: invalid value: integer `256`, expected a whole number from 0 to 255",
        ),
        (
            "[primary]\nname = \"\"",
            "line 2, column 8: primary.name: a node's name is empty; write one, or leave the key out",
        ),
        (
            "primary = \"postgers://h/d\"",
            "line 1, column 11: primary: the URL does not begin with postgres://, mysql://, mariadb:// or sqlite:",
        ),
        (
            "primary = 5",
            "line 1, column 11: primary: invalid type: integer `5`, expected a node: its URL, or a table with `url` and more",
        ),
        ("max_lag = 5", "line 1, column 11: max_lag: has no unit; write for example \"500ms\" or \"5s\""),
        ("max_lag = \"5\"", "line 1, column 11: max_lag: has no unit; write for example \"500ms\" or \"5s\""),
        (
            "causal_wait = 0.5",
            "line 1, column 15: causal_wait: has no unit; write for example \"500ms\" or \"5s\"",
        ),
        (
            "max_lag = \"-5s\"",
            "line 1, column 11: max_lag: is negative; a duration is zero or longer, such as \"500ms\" or \"5s\"",
        ),
        (
            "write_wait = -5",
            "line 1, column 14: write_wait: is negative; a duration is zero or longer, such as \"500ms\" or \"5s\"",
        ),
        (
            "write_wait = \"soon\"",
            "line 1, column 14: write_wait: is not a duration; write for example \"500ms\", \"5s\" or \"10min\"",
        ),
        (
            "write_wait = \"none\"",
            "line 1, column 14: write_wait: is not a duration; write for example \"500ms\", \"5s\" or \"10min\"",
        ),
        (
            "balance = \"fastest\"",
            "line 1, column 11: balance: is not known here; use weighted, round-robin, random, least-lag, least-connections, p2c",
        ),
        (
            "consistency = \"eventually\"",
            "line 1, column 15: consistency: not a consistency level; write eventual, bounded(2s), read-after-write, session or strong",
        ),
        (
            "[health]\npanic_threshold = 101",
            "line 2, column 19: health.panic_threshold: is more than 100 percent; use 0 to 100",
        ),
        (
            "[health]\nmax_ejected = \"-1%\"",
            "line 2, column 15: health.max_ejected: is less than 0 percent; use 0 to 100",
        ),
        (
            "spill = \"always\"",
            "line 1, column 9: spill: is not known here; use unavailable, never, below(2)",
        ),
        ("spill = {}", "line 1, column 9: spill: missing field `below`"),
        (
            "[failover]\nmax_lag_bytes = -1",
            "line 2, column 17: failover.max_lag_bytes: invalid value: integer `-1`, expected a whole number, 0 or more",
        ),
        ("unscoped = ", "line 1, column 12: string values must be quoted, expected literal string"),
        ("unscoped = \"router\"\nunscoped = \"router\"", "line 2, column 1: duplicate key"),
    ];
    for (text, message) in rows {
        let error = Config::from_toml(text).expect_err(text);
        assert_eq!(error.to_string(), format!("TOML {message}"), "{text}");
    }
}

#[test]
fn mistakes_in_json_are_explained() {
    let rows = [
        ("{\n \"max_lagg\": \"1s\"}", "line 2, column 11: unknown key `max_lagg`; did you mean `max_lag`?"),
        (
            "{\"pool\": {\"replica\": {\"max\": \"many\"}}}",
            "line 1, column 35: invalid type: a text, expected a whole number from 0 to 4294967295",
        ),
        (
            "{\"max_lag\": -1}",
            "line 1, column 14: is negative; a duration is zero or longer, such as \"500ms\" or \"5s\"",
        ),
        ("{\"max_lag\" 1}", "line 1, column 12: expected `:`"),
        ("", "line 1, column 0: EOF while parsing a value"),
    ];
    for (text, message) in rows {
        let error = Config::from_json(text).expect_err(text);
        assert_eq!(error.to_string(), format!("JSON {message}"), "{text}");
    }
}

#[test]
fn the_extension_tells_the_format() {
    let folder = std::env::temp_dir().join(format!("rr-config-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let expected = Config::new("postgres://db-1/shop").unwrap();
    assert_eq!(Config::from_file(write("a.toml", "primary = \"postgres://db-1/shop\"")).unwrap(), expected);
    assert_eq!(
        Config::from_file(write("a.json", "{\"primary\": \"postgres://db-1/shop\"}")).unwrap(),
        expected
    );
    let yaml = Config::from_file(write("a.yaml", "primary: x")).unwrap_err().to_string();
    assert!(yaml.starts_with("cannot tell the format of "), "{yaml}");
    assert!(yaml.ends_with("a.yaml; name it .toml or .json"), "{yaml}");
    std::fs::remove_dir_all(&folder).unwrap();
    let missing = Config::from_file(Path::new("no-such-folder/rr.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no-such-folder/rr.toml: "), "{missing}");
}
