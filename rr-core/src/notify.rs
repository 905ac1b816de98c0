//! Telling people: notices of the monitor, brought to whoever should know.
//!
//! ```text
//! World ─ Notice ─▶ monitor ─ Notification ─┬▶ courier ─ gate ─ outbox ─▶ Notifier
//!                                           └▶ courier ─ …
//! ```
//!
//! A [`Notifier`] delivers one [`Notification`]. Everything around that is done for it by a task of its own, the courier:
//! the filter and the damping of repeats ([`Rules`], `gate`), a bounded queue (`outbox`), a limit for each attempt, and
//! retries (`retry`). Neither routing nor the monitor ever waits for a notifier, and one that hangs, fails or panics harms
//! neither them nor the other notifiers.
//!
//! What is written into a request or a mail is decided by plain functions ([`format`](mod@format)).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::time::Wall;
use crate::topology::Epoch;
use crate::world::{Notice, Severity, Turn};

mod callback;
mod courier;
pub mod format;
mod gate;
mod outbox;
mod retry;
mod rules;
mod settings;
#[cfg(feature = "notify-smtp")]
mod smtp;
#[cfg(feature = "notify-http")]
mod webhook;

pub(crate) use callback::Callback;
pub(crate) use courier::{Couriers, Post};
pub use rules::Rules;
pub use settings::SettingsError;
pub(crate) use settings::from_config;

/// Something that people are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Notification {
    /// The cluster that it is about (`cluster_name`).
    pub cluster: Arc<str>,
    /// What kind of notice it is made from; see [`Notice::kind`].
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it begins or ends something.
    #[serde(rename = "state")]
    pub turn: Turn,
    /// What it is about: the same for all that is told of one condition, in every process.
    pub key: Arc<str>,
    /// The node that it is about; `None`: the cluster.
    pub node: Option<Arc<str>>,
    /// The epoch in which it was told.
    #[serde(serialize_with = "number")]
    pub epoch: Epoch,
    /// The time of day.
    #[serde(serialize_with = "rfc3339")]
    pub at: Wall,
    /// What happened, in one sentence.
    pub text: String,
    /// So many earlier ones about the same were left out, since there were too many.
    pub left_out: u32,
}

impl Notification {
    /// What is told of a notice.
    #[must_use]
    pub fn of(notice: &Notice, cluster: &Arc<str>, epoch: Epoch, at: Wall) -> Self {
        let subject = notice.subject();
        let place = subject.node.map(|node| format!("/{node}")).unwrap_or_default();
        Self {
            cluster: Arc::clone(cluster),
            kind: notice.kind(),
            severity: notice.severity(),
            turn: notice.turn(),
            key: format!("{cluster}/{}{place}", subject.condition).into(),
            node: subject.node.map(Arc::clone),
            epoch,
            at,
            text: notice.to_string(),
            left_out: 0,
        }
    }
}

fn number<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(epoch.number())
}

fn rfc3339<S: Serializer>(at: &Wall, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(at.system()))
}

/// What [`Notifier::notify`] returns.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), NotifyError>> + Send + 'a>>;

/// Brings notifications to somebody: one of ours, or your own.
///
/// ```
/// use rr_core::notify::{Delivery, Notification, Notifier};
///
/// /// Prints what there is to tell.
/// #[derive(Debug)]
/// struct Printer;
///
/// impl Notifier for Printer {
///     fn name(&self) -> &str {
///         "printer"
///     }
///
///     fn notify<'a>(&'a self, notification: &'a Notification) -> Delivery<'a> {
///         Box::pin(async move {
///             println!("{}: {}", notification.severity, notification.text);
///             Ok(())
///         })
///     }
/// }
/// ```
pub trait Notifier: Send + Sync + 'static {
    /// Its name in logs and metrics. Never a secret, and one of few.
    fn name(&self) -> &str;

    /// Delivers one notification. It is called again after an error that [may pass](NotifyError::is_final), so the receiver
    /// may get the same one twice. It is dropped at any await when it takes longer than [`Rules::timeout`] or the router
    /// ends, and must not block its thread.
    fn notify<'a>(&'a self, notification: &'a Notification) -> Delivery<'a>;

    /// Whether what it tells is kept elsewhere until it is closed, as incidents are. It is then told of the end of every
    /// condition, also of one that it was not told of: an earlier process may have been. Default: false.
    fn keeps_conditions(&self) -> bool {
        false
    }
}

/// A notification was not delivered. Nothing here holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// It was refused, and would be refused again.
    #[error("it was refused with code {code}; check the address, the key, and what the receiver allows")]
    Refused {
        /// The status of HTTP, or the reply of SMTP.
        code: u16,
    },
    /// The receiver cannot take it now.
    #[error("the receiver cannot take it now (code {code})")]
    Busy {
        /// The status of HTTP, or the reply of SMTP.
        code: u16,
        /// How long the receiver asks to be left alone.
        after: Option<Duration>,
    },
    /// The receiver cannot be reached, or the connection to it broke.
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("the receiver did not answer within {0:?}")]
    TimedOut(Duration),
    /// It cannot be delivered, and it is of no use to try again.
    #[error("it cannot be delivered: {0}")]
    Impossible(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl NotifyError {
    /// Whether another attempt is of no use.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Impossible(_))
    }

    /// How long the receiver asks to be left alone.
    #[must_use]
    pub const fn after(&self) -> Option<Duration> {
        match self {
            Self::Busy { after, .. } => *after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_made_of_a_notice_alone() {
        let cluster: Arc<str> = "shop".into();
        let notice = Notice::Ejected { node: "replica-1".into(), for_: Duration::from_secs(5) };
        let made = Notification::of(&notice, &cluster, Epoch::default(), Wall::from_seconds(1));
        assert_eq!((&*made.key, made.kind, made.turn), ("shop/ejected/replica-1", "ejected", Turn::Opens));
        assert_eq!(made.text, "`replica-1` is out of the rotation for 5s: statements failed on it");
        let whole = Notification::of(&Notice::Panic(true), &cluster, Epoch::default(), Wall::from_seconds(1));
        assert_eq!((&*whole.key, whole.node), ("shop/panic", None));
    }
}
