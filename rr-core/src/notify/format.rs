//! What is written into requests and mails. Plain functions of a notification; nothing here knows a key or an address but
//! the one that PagerDuty wants in its body.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Notification;
use crate::world::Turn;

/// The version of [`plain`]. It grows when a field changes its meaning or goes away, not when one is added.
pub const VERSION: u32 = 1;

/// Characters of a summary at most, for PagerDuty.
const LONGEST_SUMMARY: usize = 1024;

/// Characters of a key at most, for PagerDuty.
const LONGEST_KEY: usize = 255;

/// What happened, with how many are left out.
#[must_use]
pub fn sentence(of: &Notification) -> String {
    match of.left_out {
        0 => of.text.clone(),
        count => format!("{} ({count} earlier left out)", of.text),
    }
}

/// `ERROR`, or `OVER` when something ended.
fn label(of: &Notification) -> String {
    if of.turn == Turn::Closes { "OVER".to_owned() } else { of.severity.as_str().to_uppercase() }
}

/// Our own format: every field of the [`Notification`], and the `version` of the format.
#[must_use]
pub fn plain(of: &Notification) -> Value {
    let mut value = serde_json::to_value(of).unwrap_or_default();
    value["version"] = VERSION.into();
    value
}

/// What an incoming webhook of Slack takes: a text, and an attachment whose colour is the severity.
#[must_use]
pub fn slack(of: &Notification) -> Value {
    use crate::world::Severity::{Critical, Error, Info, Warning};
    let colour = match (of.turn, of.severity) {
        (Turn::Closes, _) => "#2eb67d",
        (_, Info) => "#1d9bd1",
        (_, Warning) => "#ecb22e",
        (_, Error) => "#e8912d",
        (_, Critical) => "#e01e5a",
    };
    let text = format!("*{}* [{}] {}", label(of), escaped(&of.cluster), escaped(&sentence(of)));
    let node = of.node.as_deref().map(|node| format!(" · node {}", escaped(node))).unwrap_or_default();
    let seconds = of.at.seconds();
    let when = humantime::format_rfc3339_seconds(of.at.system());
    let context = format!(
        "{}{node} · epoch {} · <!date^{seconds}^{{date_short_pretty}} {{time_secs}}|{when}>",
        of.kind, of.epoch
    );
    json!({
        "text": text,
        "attachments": [{
            "color": colour,
            "blocks": [{ "type": "context", "elements": [{ "type": "mrkdwn", "text": context }] }],
        }],
    })
}

/// As Slack demands it of texts.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An event of PagerDuty's Events API v2. What ends a condition resolves the incident that its beginning triggered; the key
/// is the same in every process of an application, so that they have one incident together.
#[must_use]
pub fn pagerduty(of: &Notification, routing_key: &str) -> Value {
    let dedup_key = dedup_key(&of.key);
    if of.turn == Turn::Closes {
        return json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key });
    }
    let node = of.node.as_deref();
    let summary: String =
        format!("[{}] {}", of.cluster, sentence(of)).chars().take(LONGEST_SUMMARY).collect();
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "rr",
        "payload": {
            "summary": summary,
            "source": node.unwrap_or(&of.cluster),
            "severity": of.severity,
            "timestamp": humantime::format_rfc3339_seconds(of.at.system()).to_string(),
            "component": node.unwrap_or("cluster"),
            "group": of.cluster,
            "class": of.kind,
            "custom_details": { "epoch": of.epoch.number(), "left_out": of.left_out },
        },
    })
}

fn dedup_key(key: &str) -> String {
    if key.chars().count() <= LONGEST_KEY {
        return key.to_owned();
    }
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Subject and body of a mail.
#[must_use]
pub fn mail(of: &Notification) -> (String, String) {
    let node = of.node.as_deref().map(|node| format!(" {node}")).unwrap_or_default();
    let subject = format!("[{}] {}: {}{node}", of.cluster, label(of), of.kind);
    let when = humantime::format_rfc3339_seconds(of.at.system());
    let mut body = format!(
        "{}\n\ncluster:  {}\nseverity: {}\nkind:     {}\n",
        sentence(of),
        of.cluster,
        of.severity,
        of.kind
    );
    if let Some(node) = &of.node {
        body += &format!("node:     {node}\n");
    }
    body += &format!("epoch:    {}\ntime:     {when}\nkey:      {}\n", of.epoch, of.key);
    (subject, body)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::time::Wall;
    use crate::topology::{Epoch, HealthState};
    use crate::world::Notice;

    fn of(notice: &Notice) -> Notification {
        let cluster: Arc<str> = "shop & <co>".into();
        Notification::of(notice, &cluster, Epoch::default(), Wall::from_seconds(1_700_000_000))
    }

    fn down() -> Notification {
        of(&Notice::Health { node: "db-2".into(), from: HealthState::Degraded, to: HealthState::Unhealthy })
    }

    fn up() -> Notification {
        of(&Notice::Health { node: "db-2".into(), from: HealthState::Unhealthy, to: HealthState::Healthy })
    }

    #[test]
    fn plain_is_every_field() {
        let told = Notification { left_out: 3, ..down() };
        let golden = json!({
            "version": 1,
            "cluster": "shop & <co>",
            "kind": "health",
            "severity": "error",
            "state": "opens",
            "key": "shop & <co>/health/db-2",
            "node": "db-2",
            "epoch": 0,
            "at": "2023-11-14T22:13:20Z",
            "text": "`db-2` is unhealthy (was degraded)",
            "left_out": 3,
        });
        assert_eq!(plain(&told), golden);
        let whole = plain(&of(&Notice::Panic(true)));
        assert_eq!((&whole["node"], &whole["state"]), (&Value::Null, &"opens".into()));
    }

    #[test]
    fn slack_is_escaped_and_coloured() {
        let golden = json!({
            "text": "*ERROR* [shop &amp; &lt;co&gt;] `db-2` is unhealthy (was degraded)",
            "attachments": [{
                "color": "#e8912d",
                "blocks": [{ "type": "context", "elements": [{
                    "type": "mrkdwn",
                    "text": "health · node db-2 · epoch 0 · \
                             <!date^1700000000^{date_short_pretty} {time_secs}|2023-11-14T22:13:20Z>",
                }] }],
            }],
        });
        assert_eq!(slack(&down()), golden);
        let over = slack(&up());
        assert_eq!(over["text"], "*OVER* [shop &amp; &lt;co&gt;] `db-2` is healthy (was unhealthy)");
        assert_eq!(over["attachments"][0]["color"], "#2eb67d");
        let hostile = slack(&of(&Notice::Joined { node: "<!channel>".into() }));
        assert!(!hostile.to_string().contains("<!channel>"), "{hostile}");
    }

    #[test]
    fn pagerduty_triggers_and_resolves_by_one_key() {
        let golden = json!({
            "routing_key": "R0UT1NG",
            "event_action": "trigger",
            "dedup_key": "shop & <co>/health/db-2",
            "client": "rr",
            "payload": {
                "summary": "[shop & <co>] `db-2` is unhealthy (was degraded)",
                "source": "db-2",
                "severity": "error",
                "timestamp": "2023-11-14T22:13:20Z",
                "component": "db-2",
                "group": "shop & <co>",
                "class": "health",
                "custom_details": { "epoch": 0, "left_out": 0 },
            },
        });
        assert_eq!(pagerduty(&down(), "R0UT1NG"), golden);
        let resolved = json!({
            "routing_key": "R0UT1NG", "event_action": "resolve", "dedup_key": "shop & <co>/health/db-2",
        });
        assert_eq!(pagerduty(&up(), "R0UT1NG"), resolved);
    }

    #[test]
    fn pagerduty_gets_no_more_than_it_takes() {
        let node: Arc<str> = "n".repeat(2000).into();
        let event =
            pagerduty(&of(&Notice::Quarantined { node, why: crate::topology::Quarantine::BeyondFork }), "");
        assert_eq!(event["dedup_key"].as_str().map(str::len), Some(64), "{event}");
        assert_eq!(event["payload"]["summary"].as_str().map(|text| text.chars().count()), Some(1024));
    }

    #[test]
    fn a_mail_says_it_in_its_subject() {
        let (subject, body) = mail(&Notification { left_out: 2, ..down() });
        assert_eq!(subject, "[shop & <co>] ERROR: health db-2");
        assert_eq!(
            body,
            "`db-2` is unhealthy (was degraded) (2 earlier left out)\n\ncluster:  shop & <co>\nseverity: error\n\
             kind:     health\nnode:     db-2\nepoch:    0\ntime:     2023-11-14T22:13:20Z\n\
             key:      shop & <co>/health/db-2\n"
        );
        assert_eq!(mail(&up()).0, "[shop & <co>] OVER: health db-2");
    }
}
