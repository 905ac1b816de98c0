//! Explanations: where a statement would go, and why, without running it.

use rr_core::RouteReason;
use sea_orm::{EntityTrait, Statement};

use crate::support::{Result, boot, connect, note};

#[tokio::test]
async fn a_statement_is_explained_and_not_run() -> Result {
    let cluster = boot(1).await?;
    let db = connect(&cluster).await?;
    let before = db.router().routed("primary", RouteReason::Write);
    let read = db.explain_query(&note::Entity::find());
    assert_eq!(read.outcome.as_ref().ok(), Some(&RouteReason::Replica), "{read}");
    let delete = db.explain_query(&note::Entity::delete_many());
    assert!(delete.to_string().contains("DELETE: `DELETE` at byte 0 decides"), "{delete}");
    assert_eq!(delete.outcome.as_ref().ok(), Some(&RouteReason::Write), "{delete}");
    let on_primary = db.use_primary().explain_query(&note::Entity::find());
    assert_eq!(on_primary.outcome.as_ref().ok(), Some(&RouteReason::PrimaryRequired), "{on_primary}");
    let locked = Statement::from_string(sea_orm::DbBackend::Postgres, "SELECT * FROM note FOR UPDATE");
    let locked = db.explain_route(&locked).to_string();
    assert!(locked.contains("SELECT: `UPDATE` at byte 23 decides"), "{locked}");
    assert_eq!(db.router().routed("primary", RouteReason::Write), before, "nothing was routed");
    Ok(())
}
