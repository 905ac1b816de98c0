//! The rows of a routed statement.

use std::fmt;
use std::sync::Arc;

use diesel::QueryResult;
use diesel::connection::LoadConnection;
use diesel::result::Error;
use rr_core::adapter::Ledger;
use rr_core::outcome::Unanswered;
use rr_core::route::{Outcome, Route};

use super::backend::Routable;
use super::connector::NodeConnector;
use super::node::NodePool;
use super::opener::report;
use crate::error;

/// The rows of a statement that a [`RoutedConnection`](super::RoutedConnection) has run.
pub struct RoutedCursor<'conn, 'query, C, B>
where
    C: Routable + LoadConnection<B>,
{
    // In this order: the rows are read to their end before the end is noted.
    rows: <C as LoadConnection<B>>::Cursor<'conn, 'query>,
    ahead: Option<<C as LoadConnection<B>>::Row<'conn, 'query>>,
    end: Option<End<'conn, C>>,
}

/// What is to be noted when the rows have been read.
pub(super) struct End<'conn, C: Routable> {
    /// Where they are read from, unless the handle keeps that.
    pub(super) route: Option<&'conn mut Option<Route<NodePool<C>>>>,
    /// Whose statement wrote, if it did. Nothing can be asked on its connection before the rows are read, so that it is placed
    /// by the next sample.
    pub(super) wrote: Option<&'conn Ledger<NodeConnector<C>>>,
    pub(super) outcome: Outcome,
}

impl<C: Routable> End<'_, C> {
    /// A row was read. The server commits before or after it has sent the last one: whoever has seen a row must see all that was
    /// committed by then. With each row, since what is sampled behind one of them need not have what is committed before the next.
    fn may_have_committed(&self) {
        if let Some(ledger) = self.wrote {
            // One that is dropped counts as a write.
            drop(ledger.suspect(None));
        }
    }
}

impl<C: Routable> Drop for End<'_, C> {
    fn drop(&mut self) {
        if let Some(route) = &mut self.route {
            report(route, self.outcome);
        }
        if let Some(ledger) = self.wrote {
            ledger.wrote(None);
        }
    }
}

impl<'conn, 'query, C, B> RoutedCursor<'conn, 'query, C, B>
where
    C: Routable + LoadConnection<B>,
{
    /// Rows whose connection is free already.
    pub(super) const fn detached(rows: <C as LoadConnection<B>>::Cursor<'conn, 'query>) -> Self {
        Self { rows, ahead: None, end: None }
    }

    /// Rows that are read off their connection. Whatever is wrong with the statement itself shows with the first one.
    pub(super) fn attached(
        rows: QueryResult<<C as LoadConnection<B>>::Cursor<'conn, 'query>>,
    ) -> QueryResult<Self> {
        let mut rows = rows?;
        let ahead = rows.next().transpose()?;
        Ok(Self { rows, ahead, end: None })
    }

    pub(super) fn ending(mut self, end: End<'conn, C>) -> Self {
        end.may_have_committed();
        self.end = Some(end);
        self
    }

    /// Notes an error, and says how to tell it.
    fn fail(&mut self, error: Error) -> Error {
        let Some(end) = &mut self.end else { return error };
        end.outcome = error::outcome(&error);
        let Some(ledger) = end.wrote.filter(|_| error::is_lost(&error)) else { return error };
        let route = end.route.as_ref().and_then(|route| route.as_ref());
        let name = route.map_or_else(|| "?".into(), |route| Arc::clone(route.name()));
        error::not_answered(&ledger.router.unanswered(&name, Unanswered::Statement, None), &error)
    }
}

impl<'conn, 'query, C, B> Iterator for RoutedCursor<'conn, 'query, C, B>
where
    C: Routable + LoadConnection<B>,
{
    type Item = QueryResult<<C as LoadConnection<B>>::Row<'conn, 'query>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.ahead.take() {
            return Some(Ok(row));
        }
        let row = self.rows.next()?;
        if let (Ok(_), Some(end)) = (&row, &self.end) {
            end.may_have_committed();
        }
        Some(row.map_err(|error| self.fail(error)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ahead = usize::from(self.ahead.is_some());
        let (least, most) = self.rows.size_hint();
        (least.saturating_add(ahead), most.and_then(|most| most.checked_add(ahead)))
    }
}

impl<C, B> fmt::Debug for RoutedCursor<'_, '_, C, B>
where
    C: Routable + LoadConnection<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutedCursor").field("attached", &self.end.is_some()).finish_non_exhaustive()
    }
}
