//! The environment over a file.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::toml;
use crate::config::keys::{Key, Keys, Kind};
use crate::config::{Config, ConfigErrors, FailoverMode, GroupFallback, Spill, SslMode, Strategy};

fn overlay(config: Config, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    config.overlay_env(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn env(variables: &[(&str, &str)]) -> Config {
    overlay(Config::default(), variables).unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn assert_refused(config: &Config, variables: &[(&str, &str)], lines: &[&str]) {
    let errors = overlay(config.clone(), variables).expect_err(lines.first().unwrap_or(&"")).to_string();
    assert_eq!(errors.lines().collect::<Vec<_>>(), lines);
}

fn urls(config: &Config) -> Vec<&str> {
    config.replicas.iter().map(|node| node.url.expose()).collect()
}

fn names(config: &Config) -> Vec<&str> {
    config.replicas.iter().map(|node| node.name.as_str()).collect()
}

#[test]
fn an_empty_environment_changes_nothing() {
    assert_eq!(env(&[]), Config::default());
    let file =
        toml("primary = \"postgres://u:p@a/d\"\nreplicas = [\"postgres://u:p@b/d\"]\nmax_lag = \"1s\"");
    assert_eq!(overlay(file.clone(), &[("PATH", "/bin"), ("RRX", "1"), ("rr_balance", "x")]).unwrap(), file);
    let changed = overlay(file.clone(), &[("RR_BALANCE", "random"), ("RR_REPLICA_1_WEIGHT", "7")]).unwrap();
    assert_eq!((changed.primary.url, &changed.replicas[0].url), (file.primary.url, &file.replicas[0].url));
}

#[test]
fn the_primary_has_two_variables() {
    let url = |variables| env(variables).primary.url.expose().to_owned();
    assert_eq!(url(&[("DATABASE_URL", "postgres://u:p@a/d")]), "postgres://u:p@a/d");
    assert_eq!(url(&[("RR_PRIMARY_URL", "postgres://b/d")]), "postgres://b/d");
    assert_eq!(
        url(&[("RR_PRIMARY_URL", "postgres://b/d"), ("DATABASE_URL", "postgres://a/d")]),
        "postgres://b/d"
    );
    assert_eq!(url(&[("RR_PRIMARY_URL", ""), ("DATABASE_URL", "postgres://a/d")]), "postgres://a/d");
    assert_eq!(url(&[("RR_PRIMARY_URL", "postgres://b/d"), ("DATABASE_URL", "nonsense")]), "postgres://b/d");
    let file = toml("primary = { url = \"postgres://a/d\", weight = 7 }");
    let both = overlay(file, &[("DATABASE_URL", " postgres://b/d ")]).unwrap();
    assert_eq!((both.primary.url.expose(), both.primary.weight), ("postgres://b/d", 7));
}

#[test]
fn a_list_of_urls_replaces_the_replicas() {
    let file = toml("replicas = [\"postgres://x/d\"]");
    let list = |value| overlay(file.clone(), &[("RR_REPLICA_URLS", value)]).unwrap();
    let config = list(" postgres://u:p@a/d?x=1%2C2 ,, postgres://b/d,");
    assert_eq!(urls(&config), ["postgres://u:p@a/d?x=1%2C2", "postgres://b/d"]);
    assert_eq!(names(&config), ["replica-1", "replica-2"]);
    assert!(list("").replicas.is_empty());
    assert!(list(" , ").replicas.is_empty());
}

#[test]
fn numbered_replicas_may_have_gaps() {
    let config = env(&[
        ("RR_REPLICA_10_URL", "postgres://j/d"),
        ("RR_REPLICA_2_URL", "postgres://b/d"),
        ("RR_REPLICA_2_WEIGHT", "50"),
        ("RR_REPLICA_2_REGION", "eu"),
        ("RR_REPLICA_2_PRIORITY", "1"),
        ("RR_REPLICA_2_MAX_LAG", "none"),
        ("RR_REPLICA_2_NAME", "bee"),
        ("RR_REPLICA_2_GROUPS", "reports, analytics"),
        ("RR_REPLICA_2_POOL_MAX", "3"),
        ("RR_REPLICA_2_TLS_MODE", "verify-full"),
    ]);
    assert_eq!(urls(&config), ["postgres://b/d", "postgres://j/d"]);
    assert_eq!(names(&config), ["bee", "replica-10"]);
    let node = &config.replicas[0];
    assert_eq!((node.weight, node.priority, node.region.as_deref()), (50, 1, Some("eu")));
    assert_eq!(node.groups, ["reports", "analytics"]);
    assert_eq!(node.pool.max, Some(3));
    assert_eq!(node.tls.as_ref().unwrap().mode, SslMode::VerifyFull);
    assert_eq!(config.max_lag_of(node), None);
    assert_eq!(config.replicas[1].weight, 100);
}

#[test]
fn numbers_speak_of_the_replicas_in_the_file() {
    let file = toml("[[replicas]]\nname = \"x\"\nweight = 7\n[[replicas]]\nurl = \"postgres://u:p@b/d\"");
    let variables = [
        ("RR_REPLICA_1_URL", "postgres://u:q@a/d"),
        ("RR_REPLICA_2_WEIGHT", "9"),
        ("RR_REPLICA_7_URL", "postgres://g/d"),
    ];
    let config = overlay(file.clone(), &variables).unwrap();
    assert_eq!(urls(&config), ["postgres://u:q@a/d", "postgres://u:p@b/d", "postgres://g/d"]);
    assert_eq!(names(&config), ["x", "replica-2", "replica-7"]);
    assert_eq!(config.replicas.iter().map(|node| node.weight).collect::<Vec<_>>(), [7, 9, 100]);
    assert_refused(
        &file,
        &[("RR_REPLICA_3_WEIGHT", "9"), ("RR_REPLICA_3_POOL_MAX", "9")],
        &["RR_REPLICA_3_URL: is missing; RR_REPLICA_3_POOL_MAX speaks of a replica that is not in the file"],
    );
}

#[test]
fn groups_are_found_by_their_name_in_capitals() {
    let file = toml("[groups.Ad-Hoc]\nexclusive = true");
    let variables = [
        ("RR_GROUP_AD_HOC_FALLBACK", "error"),
        ("RR_GROUP_BIG_READS_EXCLUSIVE", "yes"),
        ("RR_GROUP_REPORTS_FALLBACK", "primary"),
        ("RR_REPLICA_1_URL", "postgres://a/d"),
        ("RR_REPLICA_1_GROUPS", "big-reads"),
    ];
    let config = overlay(file, &variables).unwrap();
    assert_eq!(config.groups.keys().collect::<Vec<_>>(), ["Ad-Hoc", "big-reads", "reports"]);
    assert!(config.groups["Ad-Hoc"].exclusive && config.groups["big-reads"].exclusive);
    assert_eq!(config.groups["Ad-Hoc"].fallback, GroupFallback::Error);
    assert_eq!(config.groups["reports"].fallback, GroupFallback::Primary);
}

#[test]
fn scalars_of_every_kind() {
    let config = env(&[
        ("RR_BALANCE", " least-lag "),
        ("RR_SPILL", "below(3)"),
        ("RR_MAX_LAG", "none"),
        ("RR_REGIONS", "a, b"),
        ("RR_POOL_REPLICA_MAX", "40"),
        ("RR_POOL_PRIMARY_STATEMENT_TIMEOUT", "3s"),
        ("RR_HEALTH_PANIC_THRESHOLD", "20%"),
        ("RR_PRIMARY_READS_PER_SECOND", "500"),
        ("RR_PRIMARY_WEIGHT", "5"),
        ("RR_FAILOVER_MODE", "automatic"),
        ("RR_FAILOVER_WITNESS", "off"),
        ("RR_FAILOVER_MAX_LAG_BYTES", "none"),
        ("RR_TLS_ROOT_CERT", "/ca.pem"),
        ("RR_MONITOR_INTERVAL", "20ms"),
        ("RR_CAUSAL_WAIT", "0"),
        ("RR_WRITE_WAIT", ""),
    ]);
    assert_eq!((config.balance, config.spill, config.max_lag), (Strategy::LeastLag, Spill::Below(3), None));
    assert_eq!(config.regions, ["a", "b"]);
    assert_eq!(config.pool.replica.max, 40);
    assert_eq!(config.pool.primary.statement_timeout, Some(Duration::from_secs(3)));
    assert_eq!(config.health.panic_threshold.get(), 20);
    assert_eq!((config.primary_reads.per_second, config.primary.weight), (Some(500), 5));
    assert_eq!((config.failover.mode, config.failover.witness), (FailoverMode::Automatic, false));
    assert_eq!(config.failover.max_lag_bytes, None);
    assert_eq!(config.tls.root_cert, Some("/ca.pem".into()));
    assert_eq!(config.monitor.interval, Duration::from_millis(20));
    assert_eq!((config.causal_wait, config.write_wait), (Duration::ZERO, Config::default().write_wait));
}

#[test]
fn unknown_variables_are_refused() {
    let rows = [
        ("RR_POOL_REPLICA_MXA", Some("RR_POOL_REPLICA_MAX")),
        ("RR_PRIMARY_URI", Some("RR_PRIMARY_URL")),
        ("RR_PRIMARYURL", Some("RR_PRIMARY_URL")),
        ("RR_REPLICA_URL", Some("RR_REPLICA_URLS")),
        ("RR_REPLICAS_URLS", Some("RR_REPLICA_URLS")),
        ("RR_REPLICA_7_WIEGHT", Some("RR_REPLICA_7_WEIGHT")),
        ("RR_REPLICA_07_URL", Some("RR_REPLICA_7_URL")),
        ("RR_REPLICA_0_URL", Some("RR_REPLICA_1_URL")),
        ("RR_GROUP_ADS_FALBACK", Some("RR_GROUP_ADS_FALLBACK")),
        ("RR_LAG_INFOS", Some("RR_LAG_INFO")),
        ("RR_COMPLETELY_DIFFERENT_MATTER", None),
    ];
    for (name, closest) in rows {
        let rest = closest.map_or_else(
            || "remove it, or name it RR_TEST_… if it is your own".to_owned(),
            |closest| format!("did you mean {closest}?"),
        );
        let line = format!("{name}: is not a variable of rr; {rest}");
        assert_refused(&Config::default(), &[(name, "1")], &[&line]);
    }
    assert_eq!(env(&[("RR_PG_BIN", "/x"), ("RR_TEST_ANYTHING", "y")]), Config::default());
}

/// Whoever exports what this repository's own scripts, harness and tests go by can still start an application.
#[test]
fn the_variables_of_this_repository_are_spared() -> Result<(), std::io::Error> {
    // What they hand to applications, or look whether an application has.
    let settings = ["RR_PRIMARY_URL", "RR_REPLICA_URLS"];
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut read = std::fs::read_to_string(top.join("Makefile"))?;
    for script in std::fs::read_dir(top.join("scripts"))? {
        read.push_str(&std::fs::read_to_string(script?.path())?);
    }
    for source in ["tests/src/cluster/builder.rs", "tests/src/cluster/programs.rs", "tests/src/prometheus.rs"]
    {
        read.push_str(&std::fs::read_to_string(top.join(source))?);
    }
    let words = read.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let words: BTreeSet<_> = words.filter(|w| w.starts_with("RR_") && !settings.contains(w)).collect();
    assert!(words.contains("RR_PG_BIN") && words.len() > 5, "{words:?}");
    for word in words {
        assert_eq!(env(&[(word, "/x")]), Config::default(), "{word}");
    }
    Ok(())
}

#[test]
fn wrong_values_name_their_variable() {
    assert_refused(
        &Config::default(),
        &[
            ("RR_BALANCE", "fastest"),
            ("RR_FAILOVER_WITNESS", "maybe"),
            ("RR_MAX_LAG", "-5s"),
            ("RR_POOL_REPLICA_MAX", "many"),
            ("RR_POOL_REPLICA_MIN", "-1"),
            ("RR_PRIMARY_URL", "db-1"),
            ("RR_REPLICA_URLS", "postgres://a/d,b"),
        ],
        &[
            "RR_REPLICA_URLS: does not begin with postgres://, mysql://, mariadb:// or sqlite:",
            "RR_BALANCE: is not known here; use weighted, round-robin, random, least-lag, least-connections, p2c",
            "RR_FAILOVER_WITNESS: is neither true nor false",
            "RR_MAX_LAG: is negative; a duration is zero or longer, such as \"500ms\" or \"5s\"",
            "RR_POOL_REPLICA_MAX: invalid type: a text, expected a whole number from 0 to 4294967295",
            "RR_POOL_REPLICA_MIN: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
            "RR_PRIMARY_URL: does not begin with postgres://, mysql://, mariadb:// or sqlite:",
        ],
    );
}

#[test]
fn settings_that_no_file_can_hold_are_not_lost() {
    let mut config = Config::default();
    config.failover.max_lag_bytes = Some(u64::MAX);
    assert_eq!(overlay(config.clone(), &[("RR_PRIMARY_WEIGHT", "7")]).unwrap().failover, config.failover);
    let line = "RR_BALANCE: cannot be laid over settings that no file can hold: u64 value was too large";
    assert_refused(&config, &[("RR_BALANCE", "random")], &[line]);
}

#[test]
fn two_lists_of_replicas_are_ambiguous() {
    let line = "RR_REPLICA_URLS: is set together with RR_REPLICA_2_URL; use the list or the numbered variables, not both";
    for list in ["postgres://a/d", ""] {
        let variables = [("RR_REPLICA_URLS", list), ("RR_REPLICA_2_URL", "postgres://b/d")];
        assert_refused(&Config::default(), &variables, &[line]);
    }
}

/// A value that fits the key and is not its default.
fn another_value(key: &Key) -> &'static str {
    let [.., last] = &*key.path else { panic!("a key has a path") };
    match (key.kind, last.as_str()) {
        (Kind::Boolean, "witness" | "fence_required") => "false",
        (Kind::Boolean, _) => "true",
        (Kind::Integer, _) => "77",
        (Kind::List, "map") => "a=db-2:5433,b=postgres://u:p@db-3/d",
        (Kind::List, "resolver") => "10.0.0.1:53,[fe80::1]:53",
        (Kind::List, _) => "a,b",
        (Kind::Text, "url") => "postgres://b/d",
        (Kind::Text, "consistency") => "strong",
        (Kind::Text, "read_preference") => "nearest",
        (Kind::Text, "unscoped" | "fallback") => "primary",
        (Kind::Text, "balance") => "random",
        (Kind::Text, "spill") => "never",
        (Kind::Text, "causal_else") => "stale",
        (Kind::Text, "lost_writes") => "warn",
        (Kind::Text, "ask_positions") => "never",
        (Kind::Text, "kind") => "dns",
        (Kind::Text, "record") => "srv",
        (Kind::Text, "mode") if key.path.contains(&"tls".to_owned()) => "require",
        (Kind::Text, "mode") => "manual",
        // Durations, files and names.
        (Kind::Text, _) => "77s",
    }
}

#[test]
fn every_variable_is_unique_and_works() {
    let keys = Keys::all();
    let names = keys.variables("");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let file = toml("primary = \"postgres://p/d\"\nreplicas = [\"postgres://a/d\"]");
    let named = |prefix: &'static str, keys: &[Key]| {
        let name = move |key: &Key| (format!("{prefix}{}", key.variable()), another_value(key));
        keys.iter().map(name).collect::<Vec<_>>()
    };
    let mut variables = named("RR_", &keys.cluster);
    variables.extend(named("RR_PRIMARY_", &keys.node));
    variables.extend(named("RR_REPLICA_1_", &keys.node));
    variables.extend(named("RR_GROUP_X_", &keys.group));
    for (name, value) in &variables {
        let config = overlay(file.clone(), &[(name, value)]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_ne!(config, file, "{name}={value} changes nothing");
    }
    let all: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert!(all.len() > 80 && overlay(file, &all).is_ok());
}

/// What an application gets that connects to `url`.
fn replicas_for(url: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config =
        Config::default().overlay_env_for(url, variables).unwrap_or_else(|errors| panic!("{errors}"));
    config.replicas.iter().map(|node| node.url.expose().to_owned()).collect()
}

#[test]
fn an_application_that_names_its_database_gets_the_replicas_of_that_database() {
    let (shop, replica) =
        ("postgres://u@a/shop", ("RR_REPLICA_URLS", "postgres://u@b/shop,postgres://u@c/shop"));
    let both = ["postgres://u@b/shop", "postgres://u@c/shop"];
    assert_eq!(replicas_for(shop, &[replica]), both);
    assert_eq!(
        replicas_for(shop, &[replica, ("RR_PRIMARY_URL", "postgres://other@a:5432/shop?sslmode=require")]),
        both
    );
    assert_eq!(
        replicas_for(shop, &[replica, ("DATABASE_URL", "redis://cache")]),
        both,
        "that is not ours to judge"
    );
    let alias = ("RR_REPLICA_URLS", "postgres://u@b/shop_ro");
    assert_eq!(
        replicas_for(shop, &[alias, ("DATABASE_URL", shop)]),
        ["postgres://u@b/shop_ro"],
        "told together"
    );
    let none: [&str; 0] = [];
    for other in ["postgres://u@a/bank", "postgres://u@d/bank"] {
        assert_eq!(replicas_for(other, &[replica]), none, "{other}");
        assert_eq!(replicas_for(other, &[replica, ("DATABASE_URL", shop)]), none, "{other}");
    }
    assert_eq!(
        replicas_for("postgres://u@d/shop", &[replica, ("DATABASE_URL", shop)]),
        none,
        "another server's"
    );
    assert_eq!(replicas_for("postgres://u@a/bank,postgres://u@b/bank", &[replica]), ["postgres://u@b/bank"]);
}
