//! Notifiers: what their keys demand of each other, their variables, and that none of their secrets is printed.

use super::valid;
use crate::config::{Config, NotifyConfig, NotifyKind, Secret, WebhookFormat};
use crate::world::Severity;

const SECRET: &str = "hunter2hunter2";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn wrong(notify: &str) -> String {
    let config = valid(&format!("[[notify]]\n{notify}"));
    let errors = config.validate().expect_err(notify);
    let printed = format!("{errors} {errors:?}");
    assert!(!printed.contains(SECRET), "{printed}");
    errors.to_string()
}

#[test]
fn files_name_them() {
    let config = valid(
        r#"
        cluster_name = "shop"

        [[notify]]
        kind = "webhook"
        format = "slack"
        url = "https://hooks.slack.com/services/T/B/x"

        [[notify]]
        kind = "pagerduty"
        routing_key = "key"
        min_severity = "error"
        kinds = ["primary", "split_brain"]

        [[notify]]
        kind = "smtp"
        url = "smtps://user:pass@mail.example"
        from = "rr <rr@example.org>"
        to = ["ops@example.org"]
        damping = "none"
        "#,
    );
    config.validate().unwrap_or_else(|errors| panic!("{errors}"));
    let [slack, pager, mail] = &*config.notify else { panic!("{:?}", config.notify) };
    assert_eq!(*slack, NotifyConfig::slack("https://hooks.slack.com/services/T/B/x"));
    assert_eq!((pager.kind, pager.min_severity), (Some(NotifyKind::PagerDuty), Severity::Error));
    assert_eq!((mail.damping, &*mail.to), (None, &["ops@example.org".to_owned()][..]));
    assert_eq!(config.cluster(), "shop");
    assert_eq!(Config::new("postgres://u:p@db-1/shop").unwrap().cluster(), "db-1:5432");
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    let rows = [
        ("", "notify[0].kind: is missing"),
        ("kind = \"webhook\"", "notify[0].url: is missing"),
        ("kind = \"webhook\"\nurl = \"hunter2hunter2\"", "notify[0].url: is not a URL such as https://"),
        (
            "kind = \"webhook\"\nurl = \"smtp://hunter2hunter2\"",
            "notify[0].url: is not a URL such as https://",
        ),
        ("kind = \"webhook\"\nurl = \"***\"", "notify[0].url: is ***"),
        ("kind = \"pagerduty\"", "notify[0].routing_key: is missing"),
        ("kind = \"pagerduty\"\nrouting_key = \" \"", "notify[0].routing_key: is empty"),
        (
            "kind = \"pagerduty\"\nrouting_key = \"x\"\nto = [\"a@b\"]",
            "notify[0].to: is not a key of this kind",
        ),
        ("kind = \"smtp\"\nurl = \"https://hunter2hunter2\"", "notify[0].url: is not a URL such as smtps://"),
        (
            "kind = \"smtp\"\nurl = \"smtp://h\"\nto = [\"hunter2hunter2\"]",
            "notify[0].to[0]: is not an address",
        ),
        ("kind = \"smtp\"", "notify[0].from: is missing"),
        (
            "kind = \"smtp\"\nrouting_key = \"hunter2hunter2\"",
            "notify[0].routing_key: is not a key of this kind",
        ),
        ("kinds = [\"hunter2hunter2\"]", "notify[0].kinds[0]: is no kind of notice; use health, "),
        ("damping = \"0s\"", "notify[0].damping: 0 would let nothing through"),
        ("timeout = \"1ms\"", "notify[0].timeout: 1ms is out of range"),
        ("attempts = 0", "notify[0].attempts: 0 is out of range"),
        ("name = \"\"", "notify[0].name: a name must not be empty"),
    ];
    for (document, error) in rows {
        let errors = wrong(document);
        assert!(errors.lines().any(|line| line.starts_with(error)), "{document}: {errors}");
    }
    let twice = "name = \"a\"\n[[notify]]\nname = \"a\"";
    assert!(wrong(twice).contains("notify[1].name: is the same as notify[0].name"));
}

#[test]
fn unknown_keys_and_values_are_refused_without_repeating_values() {
    for document in [
        format!("[[notify]]\nurll = \"{SECRET}\""),
        format!("[[notify]]\nkind = \"{SECRET}\""),
        format!("[[notify]]\nformat = \"{SECRET}\""),
        format!("[[notify]]\nmin_severity = \"{SECRET}\""),
        format!("[[notify]]\ntimeout = \"{SECRET}\""),
        format!("[[notify]]\nurl = [\"{SECRET}\"]"),
        format!("notify = \"{SECRET}\""),
        format!("[[notify]]\nrouting_key = \"{SECRET}"),
    ] {
        let error = Config::from_toml(&document).expect_err(&document);
        let printed = format!("{error} {error:?} {error:#?}");
        assert!(!printed.contains(SECRET), "{document}: {printed}");
    }
}

#[test]
fn their_secrets_are_never_printed_and_survive_the_environment() {
    let hook = format!("https://hooks.example/{SECRET}");
    let header = NotifyConfig { authorization: Some(SECRET.into()), ..NotifyConfig::webhook(hook.as_str()) };
    let mail = NotifyConfig::smtp(format!("smtps://u:{SECRET}@host"), "a@b.c", ["d@e.f"]);
    let mut config = Config::new("postgres://db-1/shop").unwrap();
    config.notify = vec![NotifyConfig::slack(hook.as_str()), header, NotifyConfig::pagerduty(SECRET), mail];
    let builder = Config::builder().notify(config.notify[0].clone());
    let printed = [
        format!("{config:?} {config:#?} {builder:?}"),
        toml::to_string(&config).unwrap(),
        serde_json::to_string(&config).unwrap(),
    ];
    printed.iter().for_each(|printed| assert!(!printed.contains(SECRET), "{printed}"));

    let over = config.clone().overlay_env(variables(&[
        ("RR_CAUSAL_ELSE", "stale"),
        ("RR_NOTIFY_1_MIN_SEVERITY", "critical"),
        ("RR_NOTIFY_4_TO", "x@y.z, d@e.f"),
    ]));
    let over = over.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(over.notify[0], config.notify[0].clone().with_min_severity(Severity::Critical));
    assert_eq!(over.notify[1..3], config.notify[1..3]);
    assert_eq!((&over.notify[3].url, over.notify[3].to.len()), (&config.notify[3].url, 2));
}

#[test]
fn the_environment_brings_secrets_and_whole_notifiers() {
    let config = valid("[[notify]]\nkind = \"webhook\"\nformat = \"slack\"");
    let config = config.overlay_env(variables(&[
        ("RR_NOTIFY_1_URL", "https://hooks.example/x"),
        ("RR_NOTIFY_2_KIND", "pagerduty"),
        ("RR_NOTIFY_2_ROUTING_KEY", "key"),
        ("RR_CLUSTER_NAME", "shop"),
    ]));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    config.validate().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.notify[0].url.as_ref().map(Secret::expose), Some("https://hooks.example/x"));
    assert_eq!(config.notify[0].format, Some(WebhookFormat::Slack));
    assert_eq!(config.notify[1], NotifyConfig::pagerduty("key"));
    assert_eq!(config.cluster(), "shop");

    for (name, value) in
        [("RR_NOTIFY_1_KIND", SECRET), ("RR_NOTIFY_1_URLL", SECRET), ("RR_NOTIFY_0_URL", SECRET)]
    {
        let errors = valid("").overlay_env(variables(&[(name, value)])).expect_err(name);
        assert!(errors.to_string().starts_with(name), "{errors}");
        assert!(!format!("{errors} {errors:?}").contains(SECRET), "{errors:?}");
    }
    let errors = valid("").overlay_env(variables(&[("RR_NOTIFY_3_URLL", "x")])).unwrap_err();
    assert!(errors.to_string().contains("did you mean RR_NOTIFY_3_URL?"), "{errors}");
}
