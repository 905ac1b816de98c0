//! Why a statement would go where it would go.

use rr_core::router::Explanation;
use rr_core::sql::Dialect;
use sea_orm::{QueryTrait, Statement};

use super::traits::BACKEND;
use super::{Kind, RoutedConnection};

impl RoutedConnection {
    /// Says where this statement would go now and why, and why to no other node. Runs nothing and counts nothing.
    #[must_use]
    pub fn explain_route(&self, statement: &Statement) -> Explanation {
        let classified = Kind::Text.classified(self.connector(), &statement.sql);
        let (_, wish) = self.way(Kind::Text, &statement.sql);
        self.ledger.explain(&statement.sql, &classified, wish, Dialect::Postgres, None)
    }

    /// As [`explain_route`](Self::explain_route), for a select, an insert, an update or a delete that is yet to be built.
    #[must_use]
    pub fn explain_query(&self, query: &impl QueryTrait) -> Explanation {
        self.explain_route(&query.build(BACKEND))
    }
}
