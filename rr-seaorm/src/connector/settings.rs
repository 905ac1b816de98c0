//! What a node's connections and pool are opened with.
//!
//! SeaORM's `ConnectOptions` has settings and hooks that cannot be read back. SeaORM itself turns them into a pool that
//! has not connected yet (the [`Template`]); what that pool would be opened with is what all nodes' pools are opened with.

use std::fs::File;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rr_core::config::{PoolConfig, PoolOverrides, SslMode, TlsConfig};
use rr_core::connector::Target;
use rr_core::topology::Role;
use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sea_orm::{ConnectOptions, DbErr, SqlxPostgresConnector};

use super::ConnectorError;
use super::startup::settings;
use crate::error;

/// What SeaORM's settings come to.
#[derive(Clone)]
pub(crate) struct Template {
    /// The server that they are for.
    url: String,
    options: ConnectOptions,
    connect: PgConnectOptions,
    pool: PgPoolOptions,
}

impl Template {
    /// Has SeaORM make a pool of these settings, without connecting. What the settings want done after connecting is
    /// done now.
    pub(crate) async fn of(options: &ConnectOptions) -> Result<Self, DbErr> {
        // SeaORM's own error would show the URL, with its password.
        PgConnectOptions::from_str(options.get_url()).map_err(|_| error::bad_url())?;
        let mut lazy = options.clone();
        lazy.connect_lazy(true);
        let made = SqlxPostgresConnector::connect(lazy).await?;
        let pool = made.get_postgres_connection_pool();
        let connect = PgConnectOptions::clone(&pool.connect_options());
        let url = options.get_url().trim().to_owned();
        Ok(Self { url, options: options.clone(), connect, pool: pool.options().clone() })
    }

    /// As [`of`](Self::of), for settings whose URL is a list of servers without parameters. SeaORM reads it as one URL, in which
    /// everything after the first server belongs to the name of the database.
    pub(crate) async fn of_first(options: &ConnectOptions, first: &str) -> Result<Self, DbErr> {
        let bad_list = || error::bad_settings(ConnectorError::List);
        let whole = PgConnectOptions::from_str(options.get_url()).map_err(|_| bad_list())?;
        let own = PgConnectOptions::from_str(first).map_err(|_| error::bad_url())?;
        let place =
            |of: &PgConnectOptions| (of.get_host().to_owned(), of.get_port(), of.get_socket().cloned());
        if place(&whole) != place(&own) {
            return Err(bad_list());
        }
        let mut connect = Self::of(&quiet(options)).await?.connect;
        // What a hook has put there instead stays.
        if connect.get_database() == whole.get_database() {
            connect = connect.database(own.get_database().unwrap_or_else(|| own.get_username()));
        }
        if password(&connect) == password(&whole)
            && let Some(own) = password(&own)
        {
            connect = connect.password(&own);
        }
        let mut settled = options.clone();
        settled.map_sqlx_postgres_opts(move |_| connect.clone());
        Ok(Self { url: first.to_owned(), ..Self::of(&settled).await? })
    }

    /// Whether a connection is to be asked whether it lives before it is used.
    pub(crate) fn tests_before_acquire(&self) -> bool {
        self.pool.get_test_before_acquire()
    }

    /// The sizes and limits that were set.
    pub(crate) fn overrides(&self) -> PoolOverrides {
        let (set, default) = (&self.pool, PgPoolOptions::new());
        let limit = |limit: Option<Duration>| limit.unwrap_or(Duration::MAX);
        let mut pool = PoolOverrides::default();
        pool.max = changed(set.get_max_connections(), default.get_max_connections());
        pool.min = changed(set.get_min_connections(), default.get_min_connections());
        pool.checkout_timeout = changed(set.get_acquire_timeout(), default.get_acquire_timeout());
        // SeaORM has one limit for both.
        pool.connect_timeout =
            pool.checkout_timeout.map(|limit| limit.min(PoolConfig::default().connect_timeout));
        pool.idle_timeout = changed(set.get_idle_timeout(), default.get_idle_timeout()).map(limit);
        pool.max_lifetime = changed(set.get_max_lifetime(), default.get_max_lifetime()).map(limit);
        pool
    }

    /// These settings for the server that `url` names.
    fn at(&self, url: &str, own: PgConnectOptions) -> Result<PgConnectOptions, ConnectorError> {
        if url == self.url {
            return Ok(self.connect.clone());
        }
        if self.connect.get_socket().is_some() && own.get_socket().is_none() {
            return Ok(self.beside(own));
        }
        let mut options = self.connect.clone().host(own.get_host()).port(own.get_port());
        if let Some(socket) = own.get_socket() {
            options = options.socket(socket);
        }
        if let Some(database) = own.get_database() {
            options = options.database(database);
        }
        if let Some(name) = own.get_application_name() {
            options = options.application_name(name);
        }
        let password = password(&own);
        if own.get_username() != self.connect.get_username() || password.is_some() {
            options = options.username(own.get_username()).password(password.as_deref().unwrap_or_default());
        }
        if let Some(own) = own.get_options() {
            options = options.options(settings(own)?);
        }
        Ok(options)
    }

    /// A socket cannot be taken back: what these settings say is inherited as far as it can be read. That is the case for
    /// what they demand of TLS, but not for the files.
    fn beside(&self, own: PgConnectOptions) -> PgConnectOptions {
        let own = own.ssl_mode(self.connect.get_ssl_mode());
        self.logged(match (own.get_application_name(), self.connect.get_application_name()) {
            (None, Some(name)) => own.application_name(name),
            _ => own,
        })
    }

    /// With the logging of these settings, as SeaORM does it.
    fn logged(&self, options: PgConnectOptions) -> PgConnectOptions {
        if !self.options.get_sqlx_logging() {
            return options.disable_statement_logging();
        }
        let options = options.log_statements(self.options.get_sqlx_logging_level());
        let (slow, limit) = self.options.get_sqlx_slow_statements_logging_settings();
        // Off is not set: then the driver's own holds.
        if slow.to_level().is_none() { options } else { options.log_slow_statements(slow, limit) }
    }
}

/// These settings without what is to be done after connecting.
fn quiet(options: &ConnectOptions) -> ConnectOptions {
    let mut quiet = options.clone();
    quiet.after_connect(|_| Box::pin(async { Ok(()) }));
    quiet
}

/// The driver shows a password in a URL only, and panics where the user and the host make none together: an address of IPv6.
fn password(options: &PgConnectOptions) -> Option<String> {
    let url = options.clone().username("app").host("localhost").to_url_lossy();
    url.password().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
}

fn changed<T: PartialEq>(set: T, default: T) -> Option<T> {
    (set != default).then_some(set)
}

/// What the connections to a node are opened with.
pub(super) fn connect(
    template: Option<&Template>,
    target: &Target,
) -> Result<PgConnectOptions, ConnectorError> {
    let url = target.node.url.expose();
    let own = PgConnectOptions::from_str(url).map_err(|_| ConnectorError::Url)?;
    let mut options = match template {
        Some(template) => template.at(url, own)?,
        None => own,
    };
    // Where nothing is demanded, what the settings' own hooks have demanded stays.
    if target.tls != TlsConfig::default() {
        options = options.ssl_mode(ssl_mode(target.tls.mode));
        if let Some(file) = &target.tls.root_cert {
            options = options.ssl_root_cert(readable("sslrootcert", file)?);
        }
        if let Some(file) = &target.tls.client_cert {
            options = options.ssl_client_cert(readable("sslcert", file)?);
        }
        if let Some(file) = &target.tls.client_key {
            options = options.ssl_client_key(readable("sslkey", file)?);
        }
    }
    if target.role == Role::Replica {
        options = options.options([("default_transaction_read_only", "on")]);
    }
    Ok(options)
}

/// The driver would say of a file that cannot be read only that there is one, and only when it connects.
fn readable<'a>(key: &'static str, file: &'a Path) -> Result<&'a Path, ConnectorError> {
    let opened = File::open(file).map(drop);
    opened.map_err(|source| ConnectorError::File { key, file: file.to_owned(), source })?;
    Ok(file)
}

/// What a node's pool is opened with. Those connections that are to be kept open are [`NodePool::fill`](super::NodePool::fill)'s.
pub(super) fn pool(template: Option<&Template>, pool: &PoolConfig) -> PgPoolOptions {
    template
        .map_or_else(PgPoolOptions::new, |template| template.pool.clone())
        .min_connections(0)
        .max_connections(pool.max)
        .acquire_timeout(pool.checkout_timeout)
        .idle_timeout(pool.idle_timeout)
        .max_lifetime(pool.max_lifetime)
        .test_before_acquire(false)
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
