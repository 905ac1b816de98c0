//! Mail, to a server that speaks SMTP.

use super::post_office::{Encryption, PostOffice};
use super::*;
use rr_tests::tls::Authority;
use tracing_subscriber::filter::LevelFilter;

fn mail(url: String, authority: &Authority) -> NotifyConfig {
    let mut mail =
        joins(NotifyConfig::smtp(url, "rr <rr@example.org>", ["ops@example.org", "b@example.org"]));
    mail.root_cert = Some(authority.root());
    mail
}

#[tokio::test]
async fn mail_is_encrypted_either_way() -> Result {
    let authority = Authority::new("ours")?;
    for (encryption, scheme) in [(Encryption::StartTls, "smtp"), (Encryption::Always, "smtps")] {
        let office = PostOffice::open(&authority, encryption, []).await?;
        let url = format!("{scheme}://app:p%40ss@{}", office.address);
        let router = start(nowhere(vec![mail(url, &authority)])?).await?;
        let letters = office.until(2).await?;
        router.shutdown().await;
        let first = &letters[0];
        assert!(first.encrypted, "{scheme}");
        assert_eq!(first.login, "\0app\0p@ss");
        assert!(first.from.starts_with("<rr@example.org>"), "{first:?}");
        assert_eq!(first.to, ["<ops@example.org>", "<b@example.org>"]);
        assert!(first.text.contains("Subject: [shop] INFO: joined primary\n"), "{}", first.text);
        assert!(first.text.contains("`primary` joined\n"), "{}", first.text);
        assert!(letters[1].text.contains("Subject: [shop] INFO: joined replica-1\n"), "{}", letters[1].text);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_without_encryption_gets_neither_password_nor_mail() -> Result {
    let authority = Authority::new("ours")?;
    let office = PostOffice::open(&authority, Encryption::None, []).await?;
    let log = Log::default();
    let _guard = log.listen(LevelFilter::TRACE);
    let url = format!("smtp://app:hunter2@{}", office.address);
    let router = start(nowhere(vec![mail(url, &authority)])?).await?;
    let failed = || {
        let given_up = log.text().matches("a notification was not delivered").count();
        std::future::ready(Ok::<_, std::convert::Infallible>(given_up == 2))
    };
    rr_tests::wait::wait_until(rr_tests::wait::PATIENCE, "both to be given up", failed).await?;
    router.shutdown().await;
    assert!(office.letters().is_empty() && !log.text().contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn without_encryption_when_that_is_asked_for() -> Result {
    let authority = Authority::new("ours")?;
    let office = PostOffice::open(&authority, Encryption::None, []).await?;
    let url = format!("smtp://{}?tls=none", office.address);
    let router = start(nowhere(vec![mail(url, &authority)])?).await?;
    let letters = office.until(2).await?;
    router.shutdown().await;
    assert!(letters.iter().all(|letter| !letter.encrypted && letter.login.is_empty()));
    Ok(())
}

#[tokio::test]
async fn what_is_refused_for_now_is_sent_again_and_what_is_refused_is_not() -> Result {
    let authority = Authority::new("ours")?;
    let refusals = ["451 later", "421 later", "550 never"];
    let office = PostOffice::open(&authority, Encryption::Always, refusals).await?;
    let url = format!("smtps://{}", office.address);
    let router = start(nowhere(vec![mail(url, &authority)])?).await?;
    let letters = office.until(4).await?;
    router.shutdown().await;
    let about = |node: &str| {
        letters.iter().filter(|letter| letter.text.contains(&format!("joined {node}\n"))).count()
    };
    assert_eq!((about("primary"), about("replica-1")), (3, 1), "550 ends the first, and the second is taken");
    assert_eq!(office.letters().len(), 4);
    Ok(())
}
