//! What is wrong with a configuration as a whole: each mistake and the exact words for it.

use std::fmt::Write;

use super::{toml, valid};
use crate::config::{Config, NodeConfig};

#[track_caller]
fn assert_refused(config: &Config, lines: &[&str]) {
    let errors = config.validate().expect_err(lines.first().unwrap_or(&"")).to_string();
    assert_eq!(errors.lines().collect::<Vec<_>>(), lines);
}

/// A configuration with these replicas, each a TOML table without its header.
fn with_replicas(replicas: &[&str]) -> Config {
    let mut text = "[primary]\nurl = \"postgres://db-1/shop\"\n".to_owned();
    for replica in replicas {
        writeln!(text, "[[replicas]]\n{replica}").unwrap();
    }
    toml(&text)
}

const SECOND: &str = "url = \"postgres://db-2/shop\"";
const THIRD: &str = "url = \"postgres://db-3/shop\"";
const NAME: &str = "a name must not be empty, begin or end with a blank, or contain control characters";

#[test]
fn the_defaults_are_valid() {
    valid("").validate().unwrap();
    with_replicas(&[SECOND, THIRD]).validate().unwrap();
}

#[test]
fn urls() {
    let missing = "primary.url: is missing; set it in the file, or set RR_PRIMARY_URL or DATABASE_URL";
    assert_refused(&Config::default(), &[missing]);
    assert_eq!(Config::default().engine().unwrap_err().to_string(), missing);
    let weight = with_replicas(&["weight = 5"]);
    assert_refused(&weight, &["replicas[0].url: is missing; set it, or remove the replica"]);
    let hidden = "the password is ***, which stands for a hidden one in printed settings; write the real one";
    assert_refused(
        &with_replicas(&["url = \"postgres://u:***@db-2/shop\"", "url = \"postgres://db-3/d?password=***\""]),
        &[&format!("replicas[0].url: {hidden}"), &format!("replicas[1].url: {hidden}")],
    );
    let same = "but the primary is one of PostgreSQL; all nodes need the same engine";
    assert_refused(
        &with_replicas(&[
            "url = \"mysql://db-2/shop\"",
            "url = \"mariadb://db-3/shop\"",
            "url = \"sqlite:x\"",
        ]),
        &[
            &format!("replicas[0].url: is a server of MySQL, {same}"),
            &format!("replicas[1].url: is a server of MariaDB, {same}"),
            &format!("replicas[2].url: is a server of SQLite, {same}"),
        ],
    );
}

#[test]
fn the_same_server_twice() {
    assert_refused(
        &with_replicas(&[SECOND, THIRD, "url = \"postgresql://other@DB-2:5432/else\""]),
        &["replicas[2].url: db-2:5432 is already replicas[0].url; remove one of the two"],
    );
    let mut config = with_replicas(&[SECOND, "url = \"postgres://app@DB-1:5432/shop\""]);
    assert_refused(
        &config,
        &[
            "replicas[1].url: db-1:5432 is the primary itself; remove the replica, or set allow_primary_as_replica = true to try routing with one server",
        ],
    );
    config.allow_primary_as_replica = true;
    config.validate().unwrap();
}

#[test]
fn number_of_nodes() {
    let replicas = |count: u32| {
        let mut config = Config::new("postgres://db-0/shop").unwrap();
        let node =
            |n| NodeConfig::new(format!("postgres://db-{n}/shop")).unwrap().with_name(format!("node-{n}"));
        config.replicas = (1..=count).map(node).collect();
        config
    };
    replicas(63).validate().unwrap();
    assert_refused(
        &replicas(64),
        &["replicas: there are 65 nodes with the primary; at most 64 are possible"],
    );
}

#[test]
fn settings_of_nodes() {
    let rows = [
        ("weight = 0", "weight: 0 would never be chosen; use 1 or more, or remove the replica"),
        ("name = 'replica-1'", "name: is the same as replicas[0].name; make it different, or remove it"),
        ("name = 'primary'", "name: is the same as primary.name; make it different, or remove it"),
        ("name = ' x'", &format!("name: {NAME}")),
        ("name = \"a\\u0007b\"", &format!("name: {NAME}")),
        ("region = ''", &format!("region: {NAME}")),
        ("groups = ['a', '']", &format!("groups[1]: {NAME}")),
        (
            "groups = ['a', 'b', 'a']",
            "groups[2]: is the same as replicas[1].groups[0]; make it different, or remove it",
        ),
        ("max_lag = '100ms'", "max_lag: 100ms must be at least monitor.interval + monitor.jitter (250ms)"),
        ("max_lag = 0", "max_lag: 0s must be at least monitor.interval + monitor.jitter (250ms)"),
        ("pool.max = 0", "pool.max: 0 allows no connection; use 1 or more"),
        ("pool.min = 11", "pool.min: 11 must be at most pool.primary.max (10)"),
        ("pool = { min = 3, max = 2 }", "pool.min: 3 must be at most replicas[1].pool.max (2)"),
        (
            "pool.idle_timeout = 0",
            "pool.idle_timeout: 0 would end everything at once; use \"none\" for no limit",
        ),
        (
            "pool.checkout_timeout = 0",
            "pool.checkout_timeout: 0 would end every attempt at once; use for example \"1s\"",
        ),
        (
            "tls.client_cert = 'c'",
            "tls.client_cert: needs replicas[1].tls.client_key as well; set both or none",
        ),
    ];
    for (settings, line) in rows {
        let config = with_replicas(&[SECOND, &format!("{THIRD}\n{settings}")]);
        assert_refused(&config, &[&format!("replicas[1].{line}")]);
    }
    let line =
        "primary.weight: 0 would never be chosen; use 1 or more, or keep reads away by read_preference";
    assert_refused(&valid("[primary]\nweight = 0"), &[line]);
    let mut unnamed = Config::new("postgres://db-1/shop").unwrap();
    unnamed.replicas.push(NodeConfig::new("postgres://db-2/shop").unwrap());
    assert_refused(&unnamed, &[&format!("replicas[0].name: {NAME}")]);
}

#[test]
fn settings_of_the_cluster() {
    let zero_wait = "0 would end every attempt at once; use for example \"1s\"";
    let zero_life = "0 would end everything at once; use \"none\" for no limit";
    let observed = "0 is reached without any observation; use 1 or more";
    let never = "0 never allows a read; use 1 or more, or read_preference = \"replica\"";
    let no_retry = "0 never allows a retry; use 1 or more, or retries.within = \"0s\"";
    let unused = "is of no use with tls.mode = \"disable\"; remove it, or demand TLS by another mode";
    let rows = [
        ("max_lag = '249ms'", "max_lag: 249ms must be at least monitor.interval + monitor.jitter (250ms)"),
        (
            "read_after_write_window = 0",
            "read_after_write_window: 0 is the same as eventual; use 1ms or more, or consistency = \"eventual\"",
        ),
        (
            "consistency = 'bounded(0s)'",
            "consistency: 0 can be met by no replica; use 1ms or more, or \"strong\"",
        ),
        ("primary_reads.per_second = 0", &format!("primary_reads.per_second: {never}")),
        ("primary_reads.burst = 0", &format!("primary_reads.burst: {never}")),
        ("retries.per_second = 0", &format!("retries.per_second: {no_retry}")),
        ("retries.burst = 0", &format!("retries.burst: {no_retry}")),
        ("spill = 'below(0)'", "spill: 0 nodes are always there; use { below = 2 } or more, or \"never\""),
        ("region = ''", &format!("region: {NAME}")),
        (
            "regions = ['a', 'b', 'a']",
            "regions[2]: is the same as regions[0]; make it different, or remove it",
        ),
        (
            "region = 'a'\nregions = ['b', 'a']",
            "regions[1]: is this application's own region, which is always the nearest; remove it here",
        ),
        (
            "groups.reports.exclusive = true",
            "groups.reports: no node belongs to this group; add it to the `groups` of a node, or remove it",
        ),
        ("pool.primary.min = 11", "pool.primary.min: 11 must be at most pool.primary.max (10)"),
        ("pool.primary.max = 0", "pool.primary.max: 0 allows no connection; use 1 or more"),
        ("pool.replica.connect_timeout = 0", &format!("pool.replica.connect_timeout: {zero_wait}")),
        ("pool.replica.checkout_timeout = 0", &format!("pool.replica.checkout_timeout: {zero_wait}")),
        ("pool.replica.idle_timeout = 0", &format!("pool.replica.idle_timeout: {zero_life}")),
        ("pool.replica.max_lifetime = 0", &format!("pool.replica.max_lifetime: {zero_life}")),
        ("pool.replica.statement_timeout = 0", &format!("pool.replica.statement_timeout: {zero_life}")),
        ("tls.client_cert = 'c'", "tls.client_cert: needs tls.client_key as well; set both or none"),
        ("tls.client_key = 'k'", "tls.client_key: needs tls.client_cert as well; set both or none"),
        (
            "tls = { mode = 'disable', client_cert = 'c', client_key = 'k' }",
            &format!("tls.client_cert: {unused}"),
        ),
        ("tls = { mode = 'disable', root_cert = 'c' }", &format!("tls.root_cert: {unused}")),
        (
            "monitor = { interval = '9ms', jitter = 0 }",
            "monitor.interval: 9ms is out of range; use 10ms to 1m",
        ),
        (
            "max_lag = '2m'\nmonitor.interval = '61s'",
            "monitor.interval: 1m 1s is out of range; use 10ms to 1m",
        ),
        ("monitor.timeout = 0", "monitor.timeout: 0s is out of range; use 10ms to 1m"),
        ("monitor.connect_timeout = '2m'", "monitor.connect_timeout: 2m is out of range; use 10ms to 1m"),
        ("monitor.jitter = '200ms'", "monitor.jitter: 200ms must be less than monitor.interval (200ms)"),
        ("health.degraded_after = 0", &format!("health.degraded_after: {observed}")),
        ("health.degraded_after = 4", "health.degraded_after: 4 must be at most health.down_after (3)"),
        ("health.down_after = 0", &format!("health.down_after: {observed}")),
        ("health.up_after = 0", &format!("health.up_after: {observed}")),
        ("lag.info = 0", "lag.info: 0 is always reached; use for example \"1s\""),
        ("lag.warning = '1s'", "lag.warning: 1s must be more than lag.info (1s)"),
        ("lag.error = '2s'", "lag.error: 2s must be more than lag.warning (5s)"),
        ("lag.critical = '2s'", "lag.critical: 2s must be more than lag.error (15s)"),
        ("lag.clear_ratio = 0", "lag.clear_ratio: 0 never ends an alert; use 1 to 100"),
        ("lag.history = 1", "lag.history: 1 is out of range; use 2 to 65536"),
        ("lag.history = 65537", "lag.history: 65537 is out of range; use 2 to 65536"),
        (
            "failover.confirmations = 0",
            "failover.confirmations: 0 would promote without any evidence; use 1 or more",
        ),
        (
            "failover.min_replicas = 0",
            "failover.min_replicas: 0 replicas leave nobody to promote; use 1 or more, the candidate included",
        ),
        (
            "failover.timeout = 0",
            "failover.timeout: 0 would end every promotion at once; use for example \"30s\"",
        ),
    ];
    for (settings, line) in rows {
        assert_refused(&valid(settings), &[line]);
    }
}

#[test]
fn a_client_certificate_in_a_url_needs_its_key() {
    let mut config = with_replicas(&["url = \"postgres://db-2/shop?sslcert=/c.pem\""]);
    assert_refused(&config, &["replicas[0].url (sslcert): needs sslkey as well; set both or none"]);
    config.tls.client_cert = Some("/other.pem".into());
    config.tls.client_key = Some("/k.pem".into());
    config.validate().unwrap();
}

#[test]
fn what_looks_odd_but_is_right() {
    let rows = [
        "write_wait = 0\ncausal_wait = 0\nstartup_wait = 0",
        "max_lag = 'none'",
        "max_lag = '250ms'",
        "region = 'a'\nregions = ['a', 'b']",
        "health = { probation = 0, slow_start = 0, panic_threshold = 0, max_ejected = 100 }",
        "failover = { cooldown = 0, mode = 'automatic' }",
        "monitor.jitter = 0",
        "tls.mode = 'verify-full'",
        "pool.primary = { min = 10, max = 10 }",
        "groups.reports.exclusive = true\nprimary.groups = ['reports']",
        "primary.groups = ['without-rules']",
        "replicas = ['postgres://db-1:5433/d']",
        "replicas = ['postgres://db-1/d', 'postgres://db-1/e']\nallow_primary_as_replica = true",
    ];
    for settings in rows {
        valid(settings).validate().unwrap_or_else(|errors| panic!("{settings}: {errors}"));
    }
}

#[test]
fn everything_is_said_at_once() {
    let mut config = with_replicas(&[SECOND]);
    config.replicas[0].weight = 0;
    config.monitor.timeout = std::time::Duration::ZERO;
    config.health.up_after = 0;
    assert_refused(
        &config,
        &[
            "replicas[0].weight: 0 would never be chosen; use 1 or more, or remove the replica",
            "monitor.timeout: 0s is out of range; use 10ms to 1m",
            "health.up_after: 0 is reached without any observation; use 1 or more",
        ],
    );
}

#[test]
fn the_builder_reports_urls_with_the_rest() {
    let errors = Config::builder()
        .primary("db-1")
        .replica("postgers://db-2/shop")
        .replica("postgres://db-3/shop")
        .with(|config| config.replicas[1].weight = 0)
        .build()
        .unwrap_err();
    let lines = [
        "primary.url: does not begin with postgres://, mysql://, mariadb:// or sqlite:",
        "replicas[0].url: does not begin with postgres://, mysql://, mariadb:// or sqlite:",
        "replicas[1].weight: 0 would never be chosen; use 1 or more, or remove the replica",
    ];
    assert_eq!(errors.to_string(), lines.join("\n"));
    assert!(Config::builder().build().unwrap_err().to_string().starts_with("primary.url: is missing"));
}
