//! Where a query asks to go: a comment that travels in its `WHERE` clause.
//!
//! SeaORM's selects have no room for a note of ours, and a wrapper would have to repeat all of their methods. So the note
//! is a condition that is always true, with a comment that the scanner finds. Any other connection runs it as it is.

use rr_core::Consistency;
use sea_orm::QueryFilter;
use sea_orm::sea_query::Expr;

/// Tells a routed connection where a query is to run. Harmless on every other connection.
///
/// ```
/// use rr_seaorm::RouteHints;
/// use sea_orm::{DbBackend, EntityTrait, QueryTrait};
/// # mod user {
/// #     use sea_orm::entity::prelude::*;
/// #     #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
/// #     #[sea_orm(table_name = "user")]
/// #     pub struct Model { #[sea_orm(primary_key)] pub id: i32 }
/// #     #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
/// #     pub enum Relation {}
/// #     impl ActiveModelBehavior for ActiveModel {}
/// # }
///
/// let query = user::Entity::find_by_id(7).use_primary();
/// assert!(query.build(DbBackend::Postgres).sql.ends_with(r#""user"."id" = $1 AND (/*rr:primary*/ 1=1)"#));
/// ```
pub trait RouteHints: QueryFilter {
    /// Runs it on the primary.
    #[must_use]
    fn use_primary(self) -> Self {
        self.filter(Expr::cust("/*rr:primary*/ 1=1"))
    }

    /// Runs it on a replica, where the handle would use the primary for no other reason than
    /// [`use_primary`](crate::RoutedConnection::use_primary). What a replica has not yet got still comes from the primary.
    #[must_use]
    fn use_replica(self) -> Self {
        self.filter(Expr::cust("/*rr:replica*/ 1=1"))
    }

    /// Reads at this level, whatever that of the handle, the scope or the router is. A query that asks for several levels
    /// goes to the primary.
    #[must_use]
    fn consistency(self, level: Consistency) -> Self {
        self.filter(Expr::cust(format!("/*rr:consistency={level}*/ 1=1")))
    }
}

impl<Q: QueryFilter> RouteHints for Q {}
