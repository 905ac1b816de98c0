//! Why a statement of an ORM would go where it would go.

use std::sync::Arc;

use crate::adapter::{Ledger, Search, Way, Wish};
use crate::connector::Connector;
use crate::route::Request;
use crate::router::{Explanation, Statement};
use crate::sql::{Classified, Dialect, StatementClass, Why, operation, scan, why};

impl<C: Connector> Ledger<C> {
    /// Where a statement with this text and these wishes would go, and why. Runs nothing, counts nothing, spends nothing.
    ///
    /// `kept` is the node whose connection the handle keeps, if it keeps one.
    #[must_use]
    pub fn explain(
        &self,
        sql: &str,
        classified: &Classified,
        wish: Wish,
        dialect: Dialect,
        kept: Option<Arc<str>>,
    ) -> Explanation {
        let mut explanation = match wish.way(classified) {
            Way::Read => {
                let search = Search::new(&self.router, wish);
                self.router.explain_route(&search.request(self))
            }
            Way::Write => self.router.explain_route(&Request::write()),
            Way::Keep => self.router.explain_route(&Request::session()),
        };
        let learned =
            classified.class == StatementClass::Write && scan(sql, dialect).class == StatementClass::Read;
        let why = if learned { Why::Refused } else { why(sql, dialect) };
        explanation.statement = Some(Statement { operation: operation(sql), why });
        explanation.kept = kept;
        explanation
    }
}
