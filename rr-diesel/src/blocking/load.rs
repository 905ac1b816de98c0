//! Loading rows.

use std::rc::Rc;

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::connection::LoadConnection;
use diesel::expression::QueryMetadata;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error;
use rr_core::adapter::{Ended, Next, Way};
use rr_core::route::{Access, Outcome, Route};

use super::backend::{Routable, RoutedLoad};
use super::connection::{Pin, RoutedConnection};
use super::cursor::{End, RoutedCursor};
use super::node::Care;
use super::opener::{Checkout, next, report};
use super::run::{Known, note_refusal};
use crate::error;
use crate::run::Place;
use crate::verdict::may_last;

/// So many nodes are tried for rows that are read off their connection one by one.
const TRIES: usize = 4;

impl<C, B> LoadConnection<B> for RoutedConnection<C>
where
    C: Routable + RoutedLoad<B>,
{
    type Cursor<'conn, 'query> = RoutedCursor<'conn, 'query, C, B>;
    type Row<'conn, 'query> = <C as LoadConnection<B>>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Self::Backend> + QueryId + 'query,
        Self::Backend: QueryMetadata<T::SqlType>,
    {
        let known = self.look(&source)?;
        let source = Again(Rc::new(source));
        if C::DETACHED {
            return self
                .run(&known, |conn| RoutedLoad::<B>::load_detached(conn, source.clone()))
                .map(RoutedCursor::detached);
        }
        self.put_back();
        if self.pin.is_some() || known.way() == Way::Keep {
            return load_on(self.pinned()?, &known, source);
        }
        self.load_attached(&known, &source)
    }
}

/// Loads on the connection that a handle keeps.
fn load_on<'conn, 'query, C, B, T>(
    pin: &'conn mut Pin<C>,
    known: &Known,
    source: T,
) -> QueryResult<RoutedCursor<'conn, 'query, C, B>>
where
    C: Routable + LoadConnection<B>,
    T: Query + QueryFragment<C::Backend> + QueryId + 'query,
    C::Backend: QueryMetadata<T::SqlType>,
{
    pin.check()?;
    let Pin { checkout, ledger, hold, trouble } = pin;
    *trouble = None;
    let (ledger, role) = (&*ledger, checkout.role());
    let wrote = (hold.prepare(&known.classified, &known.sql)? == Place::Yes).then_some(ledger);
    match RoutedCursor::attached(LoadConnection::<B>::load(checkout.conn(), source)) {
        Ok(rows) => Ok(rows.ending(End { route: None, wrote, outcome: Outcome::Answered })),
        Err(error) => {
            note_write(wrote.is_some() && may_have_written::<C>(&error, known.text()), ledger);
            note_refusal(role, ledger, &error);
            *trouble = error::trouble(&error);
            Err(error)
        }
    }
}

fn may_have_written<C: Routable>(error: &Error, sql: &str) -> bool {
    error::ended_with(Some(error), sql, C::DIALECT) != Ended::Refused
}

fn note_write<K: rr_core::Connector>(may_have_written: bool, ledger: &rr_core::adapter::Ledger<K>) {
    if may_have_written {
        ledger.wrote(None);
    }
}

impl<C: Routable> RoutedConnection<C> {
    /// Loads rows that are read off a connection while they are used.
    ///
    /// Rows that may borrow a connection keep its place in the handle borrowed, also where a try has failed; so each try has a
    /// place of its own.
    fn load_attached<'conn, 'query, B, T>(
        &'conn mut self,
        known: &Known,
        source: &Again<T>,
    ) -> QueryResult<RoutedCursor<'conn, 'query, C, B>>
    where
        C: LoadConnection<B>,
        T: Query + QueryFragment<C::Backend> + QueryId + 'query,
        C::Backend: QueryMetadata<T::SqlType>,
    {
        let Self { opener, attached, .. } = self;
        let opener = &*opener;
        let mut search = opener.search(known);
        let mut writes = known.way() == Way::Write;
        let mut turn = opener.turn();
        let mut failed = Error::NotFound;
        attached.resize_with(TRIES, || None);
        for place in attached {
            let checkout = match writes {
                true => opener.writer(Access::Write, Care::Once, &mut turn)?,
                false => {
                    let found = opener.reader(&mut search)?;
                    writes = known.may_write_on(&found);
                    if writes { opener.writer(Access::Write, Care::Once, &mut turn)? } else { found }
                }
            };
            checkout.runs(&known.sql);
            let (role, chosen, limit) = (checkout.role(), checkout.chosen(), checkout.limit());
            let Checkout { lease, route } = place.insert(checkout);
            let rows = LoadConnection::<B>::load(&mut lease.connection().conn, source.clone());
            let error = match RoutedCursor::attached(rows) {
                Ok(rows) => {
                    if !writes && let Some(route) = route {
                        opener.ledger.served(route);
                    }
                    opener.note_refused(&search, known);
                    let wrote = writes.then_some(&opener.ledger);
                    return Ok(rows.ending(End { route: Some(route), wrote, outcome: Outcome::Answered }));
                }
                Err(error) => error,
            };
            route.iter().for_each(|route| route.failed(error::word(&error)));
            if writes {
                note_write(may_have_written::<C>(&error, known.text()), &opener.ledger);
                report(route, error::write_outcome(&error));
                if !opener.is_deposed(chosen, &error, &mut turn) {
                    return Err(opener.told(chosen, error));
                }
                failed = error;
                continue;
            }
            let outcome = match next(&error, role, limit.as_ref()) {
                Next::Tell => {
                    report(route, error::outcome(&error));
                    return Err(error);
                }
                Next::Elsewhere(fault) => {
                    search.failed(route.as_ref().map(Route::node));
                    Outcome::Failed(fault)
                }
                Next::Primary => {
                    search.insist_on_primary();
                    if may_last(&error) {
                        search.doubt_replicas();
                    }
                    Outcome::Answered
                }
                Next::Misrouted => {
                    opener.learn(known);
                    writes = true;
                    Outcome::Answered
                }
            };
            report(route, outcome);
            tracing::debug!(target: "rr", error = error::word(&error), "a read is tried again");
            failed = error;
            if !writes && !search.may_replay(opener.router()) {
                break;
            }
        }
        Err(failed)
    }
}

/// A query that can be run more than once.
struct Again<T>(Rc<T>);

impl<T> Clone for Again<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<DB: Backend, T: QueryFragment<DB>> QueryFragment<DB> for Again<T> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl<T: QueryId> QueryId for Again<T> {
    type QueryId = T::QueryId;
    const HAS_STATIC_QUERY_ID: bool = T::HAS_STATIC_QUERY_ID;
}

impl<T: Query> Query for Again<T> {
    type SqlType = T::SqlType;
}
