//! No secret is ever printed: not by settings, not by errors, wherever in the input it stands.

use std::error::Error;
use std::fmt::{Debug, Display};

use proptest::prelude::*;

use super::toml;
use crate::config::{Config, ConfigErrors, DatabaseUrl, NodeConfig};

const SECRET: &str = "hunter2hunter2";

/// URLs with the secret in each place where one may stand.
fn secret_urls() -> Vec<String> {
    [
        "postgres://user:SECRET@host/db",
        "postgres://:SECRET@host/db",
        "postgres://user:SECRET@/db?host=/socket",
        "postgres://user@host/db?password=SECRET",
        "postgres://user@host/db?PASSWORD=SECRET&sslmode=require",
        "postgres://user@host/db?pass%77ord=SECRET",
        "postgres://user@host/db?sslpassword=SECRET",
        "postgres://user@host/db?sslkey=SECRET",
        "mysql://user:SECRET@host/db?ssl-key=SECRET",
        "mariadb://user:SECRET@host/db",
        "sqlite://file.db?key=SECRET",
    ]
    .map(|url| url.replace("SECRET", SECRET))
    .to_vec()
}

/// URLs that are refused, with the secret in the part that is wrong or near it.
fn wrong_urls() -> Vec<String> {
    [
        "user:SECRET@host/db",
        "SECRET",
        "SECRET:5432",
        "postgers://user:SECRET@host/db",
        "postgres:user:SECRET@host/db",
        "postgres://user:SECRET@host:port/db",
        "postgres://user:SECRET",
        "postgres://user:SECRET/SECRET@host/db",
        "postgres://user:SECRET?SECRET@host/db",
        "postgres://user:SECRET#SECRET@host/db",
        "postgres://user:1/SECRET@host/db",
        "postgres://user:1?SECRET@host/db",
        "postgres://user:1#SECRET@host/db",
        "postgres://user:SECRET@[host/db",
        "postgres://user:SECRET@host/db#x",
        "postgres://user:SECRET@host/db?sslmode=SECRET",
        "postgres://user:SECRET@host/db?port=SECRET",
        "postgres://user:SECRET@h1,h2/db",
        "postgres://user:SEC RET@host/SECRET",
        "postgres://user:SECRET@ho%00st/db",
        "SECRET://user@host/db?SECRET@=1",
    ]
    .map(|url| url.replace("SECRET", SECRET))
    .to_vec()
}

/// Everything that a value prints as.
fn printed(value: &(impl Debug + Display)) -> String {
    format!("{value:?} {value:#?} {value} {value:#}")
}

fn printed_error(error: &(impl Error + 'static)) -> String {
    let mut out = printed(error);
    let mut source = error.source();
    while let Some(cause) = source {
        out += &format!(" {cause:?} {cause:#?} {cause}");
        source = cause.source();
    }
    out
}

#[track_caller]
fn assert_hidden(text: &str, context: &str) {
    assert!(!text.contains(SECRET), "{context}: the secret is in {text}");
}

#[test]
fn settings_print_redacted() {
    for url in secret_urls() {
        let parsed = DatabaseUrl::parse(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(parsed.expose().contains(SECRET));
        assert_hidden(&printed(&parsed), &url);
        assert_hidden(&printed(parsed.endpoint().unwrap()), &url);

        let node = NodeConfig::new(url.as_str()).unwrap().with_name("x");
        let mut config = Config::new(url.as_str()).unwrap();
        config.replicas = vec![node.clone(), node.clone()];
        let builder = Config::builder().primary(url.as_str()).replica_node(node.clone());
        assert_hidden(&format!("{node:?} {node:#?} {config:?} {config:#?} {builder:?} {builder:#?}"), &url);
        assert_hidden(&toml::to_string(&config).unwrap(), &url);
        assert_hidden(&toml::to_string_pretty(&config).unwrap(), &url);
        assert_hidden(&serde_json::to_string(&config).unwrap(), &url);
        assert_hidden(&format!("{:?}", toml::Table::try_from(&config).unwrap()), &url);
    }
}

#[test]
fn errors_of_validation_hide_urls() {
    for url in secret_urls() {
        let mut config = Config::new(url.as_str()).unwrap();
        let replica = || NodeConfig::new(url.as_str()).unwrap().with_weight(0).with_name(url.as_str());
        config.replicas = vec![replica(), replica(), NodeConfig::new("mysql://other/db").unwrap()];
        config.region = Some(url.clone());
        config.regions = vec!["here".to_owned(), url.clone(), url.clone()];
        config.groups.insert(url.clone(), crate::config::GroupConfig::default());
        config.tls.client_cert = Some("cert".into());
        let errors = config.validate().unwrap_err();
        assert!(errors.errors().len() > 8, "{errors}");
        assert_hidden(&printed_error(&errors), &url);
        errors.errors().iter().for_each(|error| assert_hidden(&printed_error(error), &url));
    }
}

#[test]
fn errors_of_urls_hide_them() {
    for url in wrong_urls() {
        let error = DatabaseUrl::parse(&url).expect_err(&url);
        assert_hidden(&printed_error(&error), &url);
        assert_hidden(&printed_error(&Config::new(url.as_str()).unwrap_err()), &url);
        let built = Config::builder().primary(url.as_str()).replica(url.as_str()).build().unwrap_err();
        assert_eq!(built.errors().len(), 2, "{built}");
        assert_hidden(&printed_error(&built), &url);
    }
}

/// Documents that cannot be read, with a URL where it belongs and where it does not.
fn wrong_documents(url: &str) -> Vec<String> {
    let mut documents = [
        "primary = \"URL\"\nnope = 1",
        "primary = \"URL\" nope",
        "primary = \"URL",
        "primary = URL",
        "primary = [\"URL\"]",
        "replicas = \"URL\"",
        "replicas = { url = \"URL\" }",
        "replicas = [[\"URL\"]]",
        "primary.url = \"URL\"\nprimary.urll = \"URL\"",
        "primary = { url = \"URL\", weight = \"URL\" }",
        "primary = { name = { url = \"URL\" } }",
        "primary = \"URL\"\nprimary = \"URL\"",
        "max_lag = \"URL\"",
        "balance = \"URL\"",
        "consistency = \"URL\"",
        "spill = \"URL\"",
        "pool = \"URL\"",
        "groups.x = \"URL\"",
        "health.panic_threshold = \"URL\"",
        "primary_reads.per_second = \"URL\"",
        "monitor.interval = \"URL\"",
        "tls.mode = \"URL\"",
        "failover.witness = \"URL\"",
        "regions = \"URL\"",
    ]
    .map(|document| document.replace("URL", url))
    .to_vec();
    // Names of keys are repeated when they look like names, and a mere password does.
    if url.contains(':') {
        documents.push(format!("\"{url}\" = 1"));
        documents.push(format!("groups = {{ \"{url}\" = {{ fallback = 1 }} }}"));
    }
    documents
}

#[test]
fn errors_of_toml_hide_values() {
    for url in secret_urls().into_iter().chain(wrong_urls()) {
        for document in wrong_documents(&url) {
            let error = Config::from_toml(&document).expect_err(&document);
            assert_hidden(&printed_error(&error), &document);
            assert_hidden(&printed_error(&ConfigErrors::from(error)), &document);
        }
    }
}

#[test]
fn errors_of_json_hide_values() {
    for url in secret_urls().into_iter().chain(wrong_urls()) {
        let mut documents = vec![
            format!("{{\"primary\": \"{url}\", \"nope\": 1}}"),
            format!("{{\"primary\": \"{url}\" nope}}"),
            format!("{{\"primary\": \"{url}"),
            format!("{{\"primary\": {url}}}"),
        ];
        // Those that are TOML at all, in the other notation.
        let tables = wrong_documents(&url).into_iter().filter_map(|document| toml::from_str(&document).ok());
        documents.extend(tables.map(|table: toml::Table| serde_json::to_string(&table).unwrap()));
        assert!(documents.len() > 20);
        for document in documents {
            let error = Config::from_json(&document).expect_err(&document);
            assert_hidden(&printed_error(&error), &document);
        }
    }
}

#[test]
fn errors_of_files_hide_values() {
    let folder = std::env::temp_dir().join(format!("rr-config-secrecy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in
        [("a.toml", "primary = \"URL\"\nx = 1"), ("a.json", "{\"primary\": \"URL\", \"x\": 1}")]
    {
        let path = folder.join(name);
        std::fs::write(&path, text.replace("URL", &secret_urls()[0])).unwrap();
        assert_hidden(&printed_error(&Config::from_file(&path).unwrap_err()), name);
        assert_hidden(&printed_error(&Config::load(&path).unwrap_err()), name);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn errors_of_the_environment_hide_values() {
    let names = [
        "RR_PRIMARY_URL",
        "DATABASE_URL",
        "RR_REPLICA_URLS",
        "RR_REPLICA_1_URL",
        "RR_REPLICA_1_WEIGHT",
        "RR_REPLICA_1_MAX_LAG",
        "RR_PRIMARY_TLS_MODE",
        "RR_POOL_REPLICA_MAX",
        "RR_HEALTH_PANIC_THRESHOLD",
        "RR_BALANCE",
        "RR_CONSISTENCY",
        "RR_SPILL",
        "RR_MAX_LAG",
        "RR_FAILOVER_WITNESS",
        "RR_GROUP_X_EXCLUSIVE",
        "RR_NO_SUCH_THING",
    ];
    for url in wrong_urls() {
        for name in names {
            let file = toml("[[replicas]]\nurl = \"postgres://h/d\"");
            let errors = file.overlay_env([(name.to_owned(), url.clone())]).expect_err(name);
            assert_hidden(&printed_error(&errors), name);
            errors.errors().iter().for_each(|error| assert_hidden(&printed_error(error), name));
        }
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in any::<String>()) {
        if let Err(error) = DatabaseUrl::parse(&text) {
            prop_assert!(!printed_error(&error).is_empty());
        }
    }

    #[test]
    fn what_is_printed_of_a_url_is_a_url(
        scheme in "(postgres|postgresql|mysql|sqlite|x)?",
        rest in "[:/?#@%,\\[\\]&=.a0 é\u{0}-]{0,24}",
    ) {
        let text = format!("{scheme}:{rest}");
        if let Ok(url) = DatabaseUrl::parse(&text) {
            prop_assert_eq!(url.expose(), text.trim());
            let again = DatabaseUrl::parse(&url.to_string());
            prop_assert!(again.is_ok(), "{} prints as {}", text, url);
        }
    }

    /// A password of several parts, with characters between them that have a meaning in URLs. A number as its
    /// first part passes as a port, so nothing but a refusal or the mark may come out.
    #[test]
    fn no_part_of_a_password_is_printed(
        first in "(13519|21987|hunter2)",
        between in "[:/?#@%&=,;+\\[\\]!$\\\\^|<>*'\"{} .é-]{0,3}",
        user in "(user|)",
        tail in "(/db|/db\\?sslmode=require|)",
    ) {
        let text = format!("postgres://{user}:{first}{between}31337x31337@host{tail}");
        let printed = match DatabaseUrl::parse(&text) {
            Ok(url) => printed(&url) + &printed(url.endpoint().unwrap()) + &serde_json::to_string(&url).unwrap(),
            Err(error) => printed_error(&error),
        };
        prop_assert!(!printed.contains(&first) && !printed.contains("31337"), "{} gives {}", text, printed);
    }

    #[test]
    fn reading_never_panics(text in any::<String>()) {
        let variables = [("RR_BALANCE".to_owned(), text.clone()), (format!("RR_{text}"), text.clone())];
        let printed = [
            Config::from_toml(&text).map_err(|error| printed_error(&error)).err(),
            Config::from_json(&text).map_err(|error| printed_error(&error)).err(),
            Config::default().overlay_env(variables).map_err(|error| printed_error(&error)).err(),
        ];
        prop_assert!(printed.iter().flatten().all(|message| !message.is_empty()));
    }
}

#[test]
fn signing_keys_are_never_printed_and_survive_the_environment() {
    let text = format!("{SECRET}{SECRET}{SECRET}");
    let document = format!("[session]\nkeys = [\"{text}\", \"{text}2\"]");
    let config = super::valid(&document);
    config.validate().unwrap();
    let builder = Config::builder().with(|new| new.session.keys.clone_from(&config.session.keys));
    assert_hidden(&format!("{config:?} {config:#?} {builder:?} {}", config.session.keys[0]), "debug");
    assert_hidden(&toml::to_string(&config).unwrap(), "toml");
    assert_hidden(&serde_json::to_string(&config).unwrap(), "json");

    // Other variables are laid over settings without losing the keys, and the variable replaces them.
    let over = |name: &str, value: &str| config.clone().overlay_env([(name.to_owned(), value.to_owned())]);
    assert_eq!(over("RR_CAUSAL_ELSE", "stale").unwrap().session.keys, config.session.keys);
    let replaced = over("RR_SESSION_KEYS", &format!("{text}3, {text}4")).unwrap().session.keys;
    assert_eq!(
        replaced.iter().map(crate::config::Secret::expose).collect::<Vec<_>>(),
        [format!("{text}3"), format!("{text}4")]
    );

    // What is wrong with them is said without them.
    for keys in [format!("\"{SECRET}\""), format!("\"{text}\", \"{text}\""), "\"***\"".to_owned()] {
        let errors = super::valid(&format!("session.keys = [{keys}]")).validate().unwrap_err();
        assert!(errors.to_string().contains("session.keys["), "{errors}");
        assert_hidden(&printed_error(&errors), &keys);
    }
    for document in [
        format!("session.keys = \"{text}\""),
        format!("session.keys = {text}"),
        format!("session.keys = {{ a = \"{text}\" }}"),
        format!("session.token_lifetime = \"{text}\""),
    ] {
        assert_hidden(&printed_error(&Config::from_toml(&document).expect_err(&document)), &document);
    }
}
