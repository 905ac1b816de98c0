//! Routers of one database in one process tell one another that something was written, and have one lease.
//!
//! An application that opens two pools of a database reads through one what it wrote through the other, as it always
//! did. Each router keeps its own register and settles it by what it sees of the cluster itself: one that has not heard
//! of a failover yet must not settle for another what was written on the new primary.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::wanted::Wanted;
use crate::config::DatabaseUrl;
use crate::failover::{InProcessLease, Lease};
use crate::session::{Placing, Session, WeakSession, Written};
use crate::time::Moment;

static CIRCLES: Mutex<Vec<(DatabaseUrl, Weak<Circle>)>> = Mutex::new(Vec::new());

/// The registers of all routers that have the same database for their primary.
#[derive(Debug, Default)]
pub(crate) struct Circle {
    members: ArcSwap<Vec<WeakSession>>,
    /// What was written, through whichever router, and will be in the registers of all in a moment.
    placing: Placing,
    placed: Notify,
    wanted: Wanted,
    lease: Arc<InProcessLease>,
}

impl Circle {
    /// Takes a router's register into the circle of its database. It learns what was written before.
    pub(super) fn join(primary: &DatabaseUrl, session: &Session) -> Arc<Self> {
        let circle = Self::of(primary);
        circle.members.rcu(|members| {
            let members = members.iter().filter(|member| member.upgrade().is_some()).cloned();
            members.chain([session.downgrade()]).collect::<Vec<_>>()
        });
        // After it was made known: what is written from now on is noted there by whoever writes it.
        circle.each(|member| session.merge(member));
        circle
    }

    fn of(primary: &DatabaseUrl) -> Arc<Self> {
        let mut circles = CIRCLES.lock().unwrap_or_else(PoisonError::into_inner);
        circles.retain(|(_, circle)| circle.strong_count() > 0);
        let known = circles.iter().find(|(url, _)| url.same_database(primary));
        if let Some(circle) = known.and_then(|(_, circle)| circle.upgrade()) {
            return circle;
        }
        let circle = Arc::default();
        circles.push((primary.clone(), Arc::downgrade(&circle)));
        circle
    }

    /// The lease of those that have none of their own: of two routers of one process one promotes.
    pub(super) fn lease(&self) -> Arc<dyn Lease> {
        Arc::clone(&self.lease) as _
    }

    /// Notes a write that was answered, and whose position is on its way: for all routers, and for a session.
    pub(crate) fn begin_placing(&self, session: Option<&Session>, write: Written) {
        self.placing.begin(write);
        if let Some(session) = session {
            session.placing().begin(write);
        }
    }

    /// Such a write may have committed more by now.
    pub(crate) fn go_on_placing(&self, session: Option<&Session>, by: Moment) {
        self.placing.go_on(by);
        if let Some(session) = session {
            session.placing().go_on(by);
        }
    }

    /// Such a write is in the registers now.
    pub(crate) fn end_placing(&self, session: Option<&Session>) {
        if let Some(session) = session {
            session.placing().end();
        }
        self.placing.end();
        self.placed.notify_waiters();
    }

    /// As of a [`Placing`].
    #[inline]
    pub(crate) fn placing_since(&self) -> Option<Moment> {
        self.placing.since()
    }

    /// Waits until nothing that was written in this session, or else in whatever session, is on its way.
    pub(crate) async fn all_placed(&self, session: Option<&Session>) {
        let placing = session.map_or(&self.placing, Session::placing);
        loop {
            let mut placed = pin!(self.placed.notified());
            placed.as_mut().enable();
            if placing.since().is_none() {
                return;
            }
            placed.await;
        }
    }

    /// Whether anybody wants to know where writes end.
    pub(crate) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Visits the registers of all routers that still are.
    pub(crate) fn each(&self, visit: impl Fn(&Session)) {
        for member in self.members.load().iter() {
            if let Some(session) = member.upgrade() {
                visit(&session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Consistency;
    use crate::requirement::Requirement;

    fn join(url: &str) -> (Session, Arc<Circle>) {
        let session = Session::new();
        let circle = Circle::join(&DatabaseUrl::parse(url).unwrap(), &session);
        (session, circle)
    }

    fn knows_a_write(session: &Session) -> bool {
        session.requirement(Consistency::Session) != Requirement::NONE
    }

    fn write(circle: &Circle) {
        circle.each(|session| session.wrote_unplaced(Moment::from_millis(1)));
    }

    #[test]
    fn routers_of_one_database_hear_of_each_others_writes() {
        let (early, circle) = join("postgres://ann:x@circle.test/shop?sslmode=require");
        let others = [
            "postgres://ann@circle.test/bank",
            "postgres://a@other.test/shop",
            "postgres://a@circle.test:1/shop",
        ];
        let others = others.map(join);
        write(&circle);
        let (late, _circle) = join("postgres://bob@CIRCLE.test:5432/shop");
        assert!(knows_a_write(&early) && knows_a_write(&late));
        assert!(!others.iter().any(|(session, _)| knows_a_write(session)));
    }

    #[test]
    fn what_nobody_remembers_is_forgotten() {
        let url = "postgres://ann@forgotten.test/shop";
        write(&join(url).1);
        assert!(!knows_a_write(&join(url).0));
    }
}
