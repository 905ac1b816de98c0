//! Opens SeaORM's pools, and says what SeaORM's errors mean for a node.

use std::str::FromStr;

use rr_core::Connector;
use rr_core::config::{PoolConfig, SslMode};
use rr_core::connector::Target;
use rr_core::engine::{Fault, TextRow, postgres};
use rr_core::topology::Role;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sea_orm::sqlx::{self};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector,
};

/// Opens the pools of a router with SeaORM's PostgreSQL driver.
///
/// Each node has a pool of its own, which connects when it is first used. Connections are not asked whether they live
/// before each use: that is a round trip per statement, and the monitor watches the node.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SeaOrmConnector;

/// Why a node cannot be connected to or watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The URL has something that the driver cannot use. (The driver's words may hold the URL, and are left out.)
    #[error("the URL cannot be used; check its parameters")]
    Url,
    /// The database said no, or did not answer.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// A statement of the monitor returned no row.
    #[error("the server returned no row")]
    NoRow,
}

impl SeaOrmConnector {
    /// A connector.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Connector for SeaOrmConnector {
    type Pool = DatabaseConnection;
    type Control = DatabaseConnection;
    type Error = ConnectorError;

    fn pool(&self, target: &Target) -> Result<DatabaseConnection, ConnectorError> {
        let pool = pool_options(&target.pool).connect_lazy_with(options(target)?);
        Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
    }

    async fn control(&self, target: &Target) -> Result<DatabaseConnection, ConnectorError> {
        // One connection that is never replaced behind the monitor's back: when it is gone, that is a finding.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(target.pool.connect_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false);
        let pool: PgPool = pool.connect_with(options(target)?).await.map_err(connect_error)?;
        Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
    }

    async fn run(&self, control: &mut DatabaseConnection, sql: &str) -> Result<TextRow, ConnectorError> {
        let statement = sea_orm::Statement::from_string(control.get_database_backend(), sql);
        let row = control.query_one_raw(statement).await?.ok_or(ConnectorError::NoRow)?;
        let columns = 0..row.column_names().len();
        Ok(columns.map(|column| row.try_get_by_index(column)).collect::<Result<_, DbErr>>()?)
    }

    fn fault(&self, error: &ConnectorError, role: Role) -> Option<Fault> {
        match error {
            ConnectorError::Url | ConnectorError::NoRow => None,
            ConnectorError::Database(error) => fault(error, role),
        }
    }
}

/// What an error of SeaORM says about the node that it came from; `None` when it says nothing about it.
#[must_use]
pub fn fault(error: &DbErr, role: Role) -> Option<Fault> {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => Some(Fault::Timeout),
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => Some(Fault::Lost),
        DbErr::Conn(error) => Some(driver_fault(error, role).unwrap_or(Fault::Refused)),
        DbErr::Exec(error) | DbErr::Query(error) => driver_fault(error, role),
        _ => None,
    }
}

fn driver_fault(error: &RuntimeErr, role: Role) -> Option<Fault> {
    let RuntimeErr::SqlxError(error) = error else { return None };
    match &**error {
        sqlx::Error::Database(error) => {
            error.code().and_then(|code| postgres::fault_of_sqlstate(&code, role == Role::Replica))
        }
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Some(Fault::Refused)
        }
        sqlx::Error::PoolTimedOut => Some(Fault::Timeout),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(Fault::Lost),
        _ => None,
    }
}

fn connect_error(error: sqlx::Error) -> ConnectorError {
    DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()
}

fn pool_options(pool: &PoolConfig) -> PgPoolOptions {
    PgPoolOptions::new()
        .min_connections(pool.min)
        .max_connections(pool.max)
        .acquire_timeout(pool.checkout_timeout)
        .idle_timeout(pool.idle_timeout)
        .max_lifetime(pool.max_lifetime)
        .test_before_acquire(false)
}

fn options(target: &Target) -> Result<PgConnectOptions, ConnectorError> {
    let mut options =
        PgConnectOptions::from_str(target.node.url.expose()).map_err(|_| ConnectorError::Url)?;
    options = options.ssl_mode(ssl_mode(target.tls.mode));
    if let Some(file) = &target.tls.root_cert {
        options = options.ssl_root_cert(file);
    }
    if let Some(file) = &target.tls.client_cert {
        options = options.ssl_client_cert(file);
    }
    if let Some(file) = &target.tls.client_key {
        options = options.ssl_client_key(file);
    }
    if target.role == Role::Replica {
        options = options.options([("default_transaction_read_only", "on")]);
    }
    Ok(options)
}

const fn ssl_mode(mode: SslMode) -> PgSslMode {
    match mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
        _ => PgSslMode::Prefer,
    }
}
