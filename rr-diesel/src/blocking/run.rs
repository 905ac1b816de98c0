//! Running statements whose results do not keep their connection.

use std::sync::Arc;

use diesel::QueryResult;
use diesel::query_builder::{QueryBuilder, QueryFragment, QueryId};
use diesel::result::Error;
use rr_core::adapter::{Classes, Ended, Ledger, Next, Search, Suspect, Way, Wish};
use rr_core::observe::is_traced;
use rr_core::outcome::Unanswered;
use rr_core::route::{Access, Outcome};
use rr_core::sql::{Classified, StatementClass, scan};
use rr_core::topology::{Epoch, NodeId, Role};

use super::backend::Routable;
use super::connection::{Pin, RoutedConnection};
use super::node::Care;
use super::opener::{Checkout, Opener, next};
use crate::error;
use crate::hint;
use crate::run::Place;
use crate::verdict::may_last;

use super::connector::NodeConnector;

/// What is known about a statement before it runs.
pub(super) struct Known {
    id: Option<std::any::TypeId>,
    /// Its text; empty for a read whose type says enough.
    pub(super) sql: String,
    pub(super) classified: Classified,
    pub(super) wish: Wish,
}

impl Known {
    pub(super) fn way(&self) -> Way {
        self.wish.way(&self.classified)
    }

    /// Its text, as far as it says what is left where it fails.
    pub(super) fn text(&self) -> &str {
        if self.sql.is_empty() { "SELECT" } else { &self.sql }
    }

    /// Whether it may turn out to be a write on the node that was found for it.
    pub(super) fn may_write_on<C: Routable>(&self, checkout: &Checkout<C>) -> bool {
        checkout.role() == Role::Primary && self.classified.may_write(&self.sql)
    }
}

impl<C: Routable> RoutedConnection<C> {
    /// Finds out what a query is and where it asks to go. A query whose type was met before is not rendered again.
    pub(super) fn look<Q>(&mut self, query: &Q) -> QueryResult<Known>
    where
        Q: QueryFragment<C::Backend> + QueryId,
    {
        let classes = self.opener.router().connector().classes();
        let backend = C::Backend::default();
        let (cacheable, wish) = hint::collect(|| query.is_safe_to_cache_prepared(&backend));
        // As Diesel's own cache: the text of a query that is not safe to cache need not be that of its type.
        let cacheable = cacheable?;
        let id = Q::query_id().filter(|_| cacheable);
        let met = id.filter(|_| !is_traced()).and_then(|id| classes.known(id));
        let (sql, classified) = match met.map(|met| (met, met.class)) {
            Some((classified, StatementClass::Read)) => (String::new(), classified),
            // What a failed one has done, only its text says.
            Some((classified, StatementClass::Write)) => {
                let text = id.and_then(|id| classes.met(id)).map(|(_, text)| text.as_ref().to_owned());
                (text.unwrap_or_default(), classified)
            }
            _ => {
                let mut builder = <C::Backend as diesel::backend::Backend>::QueryBuilder::default();
                query.to_sql(&mut builder, &backend)?;
                let sql = builder.finish();
                let classified = classes.classify(id, &sql);
                (sql, classified)
            }
        };
        let wish = wish.or(self.once.take(), &classified, self.standing);
        Ok(Known { id, sql, classified, wish })
    }

    /// Runs a statement where it belongs.
    pub(super) fn run<R>(
        &mut self,
        known: &Known,
        mut work: impl FnMut(&mut C) -> QueryResult<R>,
    ) -> QueryResult<R> {
        self.put_back();
        if self.pin.is_some() || known.way() == Way::Keep {
            return run_on(self.pinned()?, &known.classified, known.text(), work);
        }
        match known.way() {
            Way::Read => self.read(known, work),
            Way::Write | Way::Keep => self.write(known.text(), &mut work),
        }
    }

    fn read<R>(&mut self, known: &Known, mut work: impl FnMut(&mut C) -> QueryResult<R>) -> QueryResult<R> {
        let mut search = self.opener.search(known);
        loop {
            let mut checkout = self.opener.reader(&mut search)?;
            checkout.runs(&known.sql);
            if known.may_write_on(&checkout) {
                drop(checkout);
                let written = self.write(known.text(), &mut work);
                if written.is_ok() {
                    self.opener.note_refused(&search, known);
                }
                return written;
            }
            let limit = checkout.limit();
            let error = match work(checkout.conn()) {
                Ok(done) => {
                    self.opener.served(&checkout);
                    self.opener.note_refused(&search, known);
                    checkout.report(Outcome::Answered);
                    return Ok(done);
                }
                Err(error) => error,
            };
            let next = next(&error, checkout.role(), limit.as_ref());
            // A fault of the node is told with the outcome.
            if !matches!(next, Next::Elsewhere(_)) {
                checkout.failed(&error);
            }
            match next {
                Next::Tell => {
                    checkout.report(error::outcome(&error));
                    return Err(error);
                }
                Next::Misrouted => {
                    checkout.report(Outcome::Answered);
                    drop(checkout);
                    self.opener.learn(known);
                    return self.write(known.text(), &mut work);
                }
                Next::Elsewhere(fault) => {
                    search.failed(checkout.node());
                    checkout.report(Outcome::Failed(fault));
                }
                Next::Primary => {
                    search.insist_on_primary();
                    if may_last(&error) {
                        search.doubt_replicas();
                    }
                    checkout.report(Outcome::Answered);
                }
            }
            tracing::debug!(target: "rr", error = error::word(&error), "a read is tried again");
            if !search.may_replay(self.opener.router()) {
                return Err(error);
            }
        }
    }

    /// Runs something that writes on the primary, once.
    pub(super) fn write<R>(
        &mut self,
        sql: &str,
        work: impl FnMut(&mut C) -> QueryResult<R>,
    ) -> QueryResult<R> {
        self.run_on_primary(sql, Place::Yes, work)
    }

    /// Runs something on the primary. What a server refuses because it is the primary no more is run on the one that is.
    fn run_on_primary<R>(
        &mut self,
        sql: &str,
        place: Place,
        mut work: impl FnMut(&mut C) -> QueryResult<R>,
    ) -> QueryResult<R> {
        let mut turn = self.opener.turn();
        loop {
            let mut checkout = self.opener.writer(Access::Write, Care::Once, &mut turn)?;
            checkout.runs(sql);
            let suspect = (place == Place::Yes).then(|| self.opener.ledger.suspect(checkout.route.as_ref()));
            let done = work(checkout.conn());
            done.as_ref().err().into_iter().for_each(|error| checkout.failed(error));
            let ended = error::ended_with(done.as_ref().err(), sql, C::DIALECT);
            settle(suspect, ended, &mut checkout);
            let chosen = checkout.chosen();
            checkout.report(done.as_ref().err().map_or(Outcome::Answered, error::write_outcome));
            drop(checkout);
            match done {
                Err(error) if self.opener.is_deposed(chosen, &error, &mut turn) => {}
                Err(error) if place == Place::Yes => return Err(self.opener.told(chosen, error)),
                done => return done,
            }
        }
    }

    /// Runs something that writes on the connection that the handle keeps, or else on the primary.
    pub(super) fn write_here<R>(&mut self, work: impl FnMut(&mut C) -> QueryResult<R>) -> QueryResult<R> {
        self.put_back();
        match &mut self.pin {
            Some(pin) => run_on(pin, &Classified::new(StatementClass::Write, None), "", work),
            None => self.write("", work),
        }
    }

    /// Runs text that may hold several statements: on the primary, whatever they are.
    pub(super) fn run_batch(&mut self, sql: &str) -> QueryResult<()> {
        self.put_back();
        let classified = scan(sql, C::DIALECT);
        let class = classified.effect();
        if self.pin.is_some() || class == StatementClass::Session {
            return run_on(self.pinned()?, &classified, sql, |conn| conn.batch_execute(sql));
        }
        let reads = class == StatementClass::Read && !classified.may_write(sql);
        let place = if reads { Place::No } else { Place::Yes };
        self.run_on_primary(sql, place, |conn| conn.batch_execute(sql))
    }
}

impl<C: Routable> Opener<C> {
    /// The error of a write that was sent to this node. Where the connection was lost, nobody knows what became of it.
    pub(super) fn told(&self, chosen: Option<(NodeId, Epoch)>, error: Error) -> Error {
        if !error::is_lost(&error) {
            return error;
        }
        let topology = self.router().topology();
        let node = chosen.and_then(|(node, _)| topology.node(node));
        let name = node.map_or_else(|| "?".into(), |node| Arc::clone(&node.name));
        error::not_answered(&self.router().unanswered(&name, Unanswered::Statement, None), &error)
    }

    /// Remembers that this looks like a read and is none.
    pub(super) fn learn(&self, known: &Known) {
        self.classes().learn_write(known.id, &known.sql);
    }

    /// The search for a node that serves a read.
    pub(super) fn search(&self, known: &Known) -> Search {
        let mut wish = known.wish.clone();
        wish.leaning = self.classes().is_refused(known.id, &known.sql, || self.router().now());
        Search::new(self.router(), wish)
    }

    /// Remembers what replicas failed, now that the primary has served it.
    pub(super) fn note_refused(&self, search: &Search, known: &Known) {
        if search.doubts_replicas() {
            self.classes().note_refused(known.id, &known.sql, self.router().now());
        }
    }

    fn classes(&self) -> &Classes {
        self.router().connector().classes()
    }
}

/// Runs a statement on the connection that a handle keeps.
pub(super) fn run_on<C: Routable, R>(
    pin: &mut Pin<C>,
    classified: &Classified,
    sql: &str,
    work: impl FnOnce(&mut C) -> QueryResult<R>,
) -> QueryResult<R> {
    pin.check()?;
    let place = pin.hold.prepare(classified, sql)?;
    let ledger = pin.ledger.clone();
    let suspect = (place == Place::Yes).then(|| ledger.suspect(pin.checkout.route.as_ref()));
    let done = work(pin.checkout.conn());
    if done.is_ok()
        && classified.class == StatementClass::Read
        && let Some(route) = &pin.checkout.route
    {
        ledger.served(route);
    }
    let ended = error::ended_with(done.as_ref().err(), sql, C::DIALECT);
    settle(suspect, ended, &mut pin.checkout);
    pin.trouble = done.as_ref().err().and_then(error::trouble);
    if let Err(error) = &done {
        note_refusal(pin.checkout.role(), &ledger, error);
    }
    done.map_err(|error| match place {
        Place::Yes if error::is_lost(&error) => pin.not_answered(Unanswered::Statement, None, &error),
        Place::Yes | Place::No => error,
    })
}

/// A primary that refuses to write within a transaction may be none any more: the next one should know.
pub(super) fn note_refusal<C: Routable>(role: Role, ledger: &Ledger<NodeConnector<C>>, error: &Error) {
    if role == Role::Primary && error::refuses_to_write(error) {
        ledger.router.probe_now();
    }
}

/// Notes how a write ended, and where.
pub(super) fn settle<C: Routable>(
    suspect: Option<Suspect<NodeConnector<C>>>,
    ended: Ended,
    checkout: &mut Checkout<C>,
) {
    let Some(suspect) = suspect else { return };
    let place = if ended == Ended::Done && suspect.is_wanted() { position(checkout) } else { None };
    suspect.settle(ended, place.as_ref());
}

pub(super) fn position<C: Routable>(checkout: &mut Checkout<C>) -> Option<rr_core::Position> {
    let Checkout { lease, route } = checkout;
    let route = route.as_ref()?;
    lease.connection().conn.position(route.pool().segment())
}
