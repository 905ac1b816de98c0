//! SeaORM over rr's router: a pool of SeaORM's own for every node.
//!
//! This version holds the [`SeaOrmConnector`]: with it a [`Router`](rr_core::Router) watches a cluster over SeaORM's
//! driver and hands out [`DatabaseConnection`](sea_orm::DatabaseConnection)s of the node that a statement belongs to. The
//! connection that is used like a `DatabaseConnection` and routes by itself stands on top of it, and is not here yet.
//!
//! ```no_run
//! use rr_core::{Config, Outcome, Request, Router};
//! use rr_seaorm::SeaOrmConnector;
//! use sea_orm::ConnectionTrait;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::builder().primary("postgres://app@db-1/app").replica("postgres://app@db-2/app").build()?;
//! let router = Router::builder(SeaOrmConnector::new()).config(config).start().await?;
//!
//! let route = router.route(&Request::read(router.requirement(None, None)))?;
//! route.pool().execute_unprepared("SELECT 1").await?;
//! route.finish(Outcome::Answered);
//! # Ok(())
//! # }
//! ```

mod connector;

pub use connector::{ConnectorError, SeaOrmConnector, fault};
