//! Webhooks: what they send, and what they do when the receiver does not take it.

use super::receiver::{Answer, Receiver};
use super::*;
use rr_tests::tls::Authority;
use tracing_subscriber::filter::LevelFilter;

/// Where a secret stands that nothing may print.
const PATH: &str = "/services/T000/B000/hunter2hunter2";

#[tokio::test]
async fn what_fails_for_a_while_arrives_in_order_and_once() -> Result {
    let answers = [Answer::Code(500), Answer::Later(1), Answer::Code(503), Answer::Code(200)];
    let receiver = Receiver::start(answers).await?;
    let router = start(nowhere(vec![joins(NotifyConfig::slack(receiver.url("http", PATH)))])?).await?;
    let all = receiver.until("both nodes", |all| all.len() >= 5).await?;
    router.shutdown().await;
    let texts: Vec<_> = all.iter().map(|one| one.body["text"].as_str().unwrap_or_default()).collect();
    assert_eq!(texts[..4], ["*INFO* [shop] `primary` joined"; 4], "the same one until it is taken");
    assert_eq!(texts[4], "*INFO* [shop] `replica-1` joined");
    assert!(all.iter().all(|one| one.path == PATH));
    assert_eq!(receiver.received().len(), 5);
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_given_up_at_once() -> Result {
    let refusals = [Answer::Code(400), Answer::Code(404)];
    let receiver = Receiver::start(refusals).await?;
    let router = start(nowhere(vec![joins(NotifyConfig::webhook(receiver.url("http", PATH)))])?).await?;
    let all = receiver.until("both nodes", |all| all.len() >= 2).await?;
    router.shutdown().await;
    let nodes: Vec<_> = all.iter().map(|one| one.body["node"].clone()).collect();
    assert_eq!(nodes, ["primary", "replica-1"]);
    assert_eq!(receiver.received().len(), 2);
    Ok(())
}

#[tokio::test]
async fn redirects_are_not_followed() -> Result {
    let receiver = Receiver::start([Answer::Code(307), Answer::Code(302)]).await?;
    let router = start(nowhere(vec![joins(NotifyConfig::webhook(receiver.url("http", PATH)))])?).await?;
    receiver.until("both nodes", |all| all.len() >= 2).await?;
    router.shutdown().await;
    assert_eq!(receiver.received().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_hangs_is_asked_again() -> Result {
    let receiver = Receiver::start([Answer::Hang]).await?;
    let mut hook = joins(NotifyConfig::webhook(receiver.url("http", PATH)));
    hook.timeout = Duration::from_millis(200);
    let router = start(nowhere(vec![hook])?).await?;
    let all = receiver.until("both nodes", |all| all.len() >= 3).await?;
    assert_eq!(all[0].body, all[1].body);
    router.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn no_task_outlives_the_router_whatever_the_receiver_does() -> Result {
    let receiver = Receiver::start(std::iter::repeat_n(Answer::Hang, 100)).await?;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let router = start(nowhere(vec![joins(NotifyConfig::webhook(receiver.url("http", PATH)))])?).await?;
    receiver.until("the first", |all| !all.is_empty()).await?;
    router.shutdown().await;
    drop(router);
    // The receiver's end of the connection ends a moment later.
    let gone = || std::future::ready(Ok::<_, std::convert::Infallible>(tasks() <= before));
    rr_tests::wait::wait_until(rr_tests::wait::PATIENCE, "all tasks to end", gone).await?;
    Ok(())
}

#[tokio::test]
async fn it_is_encrypted_and_carries_its_header() -> Result {
    let (ours, other) = (Authority::new("ours")?, Authority::new("other")?);
    let (receiver, stranger) = (Receiver::start_tls(&ours).await?, Receiver::start_tls(&other).await?);
    let hook = |receiver: &Receiver| {
        let mut hook = joins(NotifyConfig::webhook(receiver.url("https", PATH)));
        hook.root_cert = Some(ours.root());
        hook.authorization = Some("Bearer hunter2hunter2".into());
        hook.attempts = 1;
        hook
    };
    let router = start(nowhere(vec![hook(&receiver), hook(&stranger)])?).await?;
    let all = receiver.until("both nodes", |all| all.len() >= 2).await?;
    router.shutdown().await;
    assert_eq!(all[0].authorization.as_deref(), Some("Bearer hunter2hunter2"));
    assert_eq!((&all[0].body["version"], &all[0].body["text"]), (&1.into(), &"`primary` joined".into()));
    assert!(stranger.received().is_empty(), "nothing is sent to whom nobody vouches for");
    Ok(())
}

#[tokio::test]
async fn nothing_that_is_logged_has_a_secret() -> Result {
    let log = Log::default();
    let _guard = log.listen(LevelFilter::TRACE);
    let refusing = Receiver::start([Answer::Code(500), Answer::Code(403), Answer::Code(400)]).await?;
    let mut closed = joins(NotifyConfig::webhook(format!("http://127.0.0.1:1{PATH}")));
    closed.attempts = 1;
    let mut unknown = joins(NotifyConfig::slack(format!("https://u:hunter2@no-such-host.invalid{PATH}")));
    unknown.attempts = 1;
    let mut pager = joins(NotifyConfig::pagerduty("hunter2hunter2"));
    pager.url = Some(refusing.url("http", PATH).into());
    let mut mail =
        joins(NotifyConfig::smtp("smtps://u:hunter2@127.0.0.1:1", "rr@example.org", ["a@example.org"]));
    mail.attempts = 1;
    let router = start(nowhere(vec![closed, unknown, pager, mail])?).await?;
    let told = || {
        let text = log.text();
        let failed = |notifier| text.matches(&format!("was not delivered notifier={notifier}")).count() >= 2;
        let all = ["\"webhook-1\"", "\"webhook-2\"", "\"pagerduty-3\"", "\"smtp-4\""].into_iter().all(failed);
        std::future::ready(Ok::<_, std::convert::Infallible>(all))
    };
    let waited = rr_tests::wait::wait_until(rr_tests::wait::PATIENCE, "all to fail", told).await;
    let text = log.text();
    let ours = || text.lines().filter(|line| line.contains("notifier=")).collect::<Vec<_>>().join("\n");
    waited.map_err(|error| format!("{error}\n{}", ours()))?;
    router.shutdown().await;
    assert!(
        !text.contains("hunter2"),
        "{}",
        text.lines().find(|line| line.contains("hunter2")).unwrap_or_default()
    );
    assert!(text.contains("refused with code 403"), "{}", ours());
    Ok(())
}
