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
    /// What a hook of the settings demands of TLS, in place of the URL.
    demanded: Option<PgSslMode>,
    /// They may have hooks, which cannot be seen.
    hooked: bool,
}

impl Template {
    /// Has SeaORM make a pool of these settings, without connecting. What the settings want done after connecting is
    /// done now.
    pub(crate) async fn of(options: &ConnectOptions) -> Result<Self, DbErr> {
        // SeaORM's own error would show the URL, with its password.
        let plain = PgConnectOptions::from_str(options.get_url()).map_err(|_| error::bad_url())?;
        let mut lazy = options.clone();
        // A pool that keeps connections open begins to open them, and this one is not used.
        lazy.connect_lazy(true).min_connections(0);
        let made = SqlxPostgresConnector::connect(lazy).await?;
        let pool = made.get_postgres_connection_pool();
        let connect = PgConnectOptions::clone(&pool.connect_options());
        let url = options.get_url().trim().to_owned();
        let mode = connect.get_ssl_mode();
        let demanded = (strictness(mode) != strictness(plain.get_ssl_mode())).then_some(mode);
        let (options, pool) = (options.clone(), pool.options().clone());
        Ok(Self { url, options, connect, pool, demanded, hooked: true })
    }

    /// As [`of`](Self::of), for a replica, which need not be there: nothing is done after connecting.
    pub(crate) async fn of_replica(options: &ConnectOptions) -> Result<Self, DbErr> {
        Self::of(&quiet(options)).await
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

    /// The settings of a text, if they are one, have no hooks.
    pub(crate) fn of_text(self, is_text: bool) -> Self {
        Self { hooked: !is_text, ..self }
    }

    /// Whether something may be done with a connection before each use.
    pub(crate) const fn may_have_hooks(&self) -> bool {
        self.hooked
    }

    /// Whether a connection is to be asked whether it lives before it is used.
    pub(crate) fn tests_before_acquire(&self) -> bool {
        self.pool.get_test_before_acquire()
    }

    /// The sizes and limits that were set: by the options, which tell whether they were, or by a hook, where that has changed
    /// anything.
    pub(crate) fn overrides(&self) -> PoolOverrides {
        let (given, set, default) = (&self.options, &self.pool, PgPoolOptions::new());
        let limit = |limit: Option<Duration>| limit.unwrap_or(Duration::MAX);
        let (waits, connects) = (given.get_acquire_timeout(), given.get_connect_timeout());
        let mut pool = PoolOverrides::default();
        pool.max =
            said(given.get_max_connections(), set.get_max_connections(), default.get_max_connections());
        pool.min = Some(set.get_min_connections())
            .filter(|hooked| *hooked > 0)
            .or_else(|| given.get_min_connections());
        pool.checkout_timeout =
            said(waits.or(connects), set.get_acquire_timeout(), default.get_acquire_timeout());
        // SeaORM has one limit for both, unless both are set. What may be waited for is not waited for any longer there.
        let shared = || pool.checkout_timeout.map(|limit| limit.min(PoolConfig::default().connect_timeout));
        pool.connect_timeout = connects.or_else(shared);
        pool.idle_timeout =
            said(given.get_idle_timeout(), set.get_idle_timeout(), default.get_idle_timeout()).map(limit);
        pool.max_lifetime =
            said(given.get_max_lifetime(), set.get_max_lifetime(), default.get_max_lifetime()).map(limit);
        pool
    }

    /// These settings for the server that `url` names.
    fn at(&self, url: &str, own: PgConnectOptions) -> Result<PgConnectOptions, ConnectorError> {
        if url == self.url {
            return Ok(self.connect.clone());
        }
        if self.connect.get_socket().is_some() && own.get_socket().is_none() {
            return self.beside(url, own);
        }
        let mut options = self.connect.clone().host(own.get_host()).port(own.get_port());
        if let Some(socket) = own.get_socket() {
            options = options.socket(socket);
        }
        if let Some(database) = own.get_database() {
            options = options.database(database);
        }
        let password = password(&own);
        if own.get_username() != self.connect.get_username() || password.is_some() {
            options = options.username(own.get_username()).password(password.as_deref().unwrap_or_default());
        }
        self.own(url, &own, options)
    }

    /// A socket cannot be taken back: what these settings say is inherited as far as it can be read. That is not the case for
    /// the files of TLS.
    fn beside(&self, url: &str, own: PgConnectOptions) -> Result<PgConnectOptions, ConnectorError> {
        let mut options = own.clone().ssl_mode(self.connect.get_ssl_mode());
        if let (None, Some(database)) = (own.get_database(), self.connect.get_database()) {
            options = options.database(database);
        }
        if let Some(name) = self.connect.get_application_name() {
            options = options.application_name(name);
        }
        if let Some(inherited) = self.connect.get_options() {
            options = options.options(settings(inherited)?);
        }
        if let Some(capacity) = capacity(self.connect.to_url_lossy().as_str()) {
            options = options.statement_cache_capacity(capacity);
        }
        Ok(self.logged(self.own(url, &own, options)?))
    }

    /// What a URL says itself. What the driver has from the environment instead (`PGAPPNAME`, `PGOPTIONS`) is no node's own.
    fn own(
        &self,
        url: &str,
        own: &PgConnectOptions,
        mut options: PgConnectOptions,
    ) -> Result<PgConnectOptions, ConnectorError> {
        if let Some(name) = values(url, "application_name").last() {
            options = options.application_name(&name);
        }
        if let Some(capacity) = capacity(url) {
            options = options.statement_cache_capacity(capacity);
        }
        for text in values(url, "options") {
            options = options.options(settings(&text)?);
        }
        let says_mode = values(url, "sslmode").chain(values(url, "ssl-mode")).next().is_some();
        if says_mode && self.demanded.is_none() {
            options = options.ssl_mode(own.get_ssl_mode());
        }
        Ok(options)
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

fn capacity(url: &str) -> Option<usize> {
    values(url, "statement-cache-capacity").last()?.parse().ok()
}

/// The values that a URL has for a parameter.
fn values<'a>(url: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let text = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (text(key) == name).then(|| text(value))
    })
}

fn said<T: PartialEq>(given: Option<T>, set: T, default: T) -> Option<T> {
    (given.is_some() || set != default).then_some(set)
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
        if target.tls.mode != SslMode::default() {
            let mode = ssl_mode(target.tls.mode);
            // What a hook demands is not undone by less.
            let demanded = template.and_then(|template| template.demanded);
            let stricter = demanded.filter(|demanded| strictness(*demanded) > strictness(mode));
            options = options.ssl_mode(stricter.unwrap_or(mode));
        }
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

const fn strictness(mode: PgSslMode) -> u8 {
    match mode {
        PgSslMode::Disable => 0,
        PgSslMode::Allow => 1,
        PgSslMode::Prefer => 2,
        PgSslMode::Require => 3,
        PgSslMode::VerifyCa => 4,
        PgSslMode::VerifyFull => 5,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "postgres://app@db-1/shop";

    async fn overrides(set: impl FnOnce(&mut ConnectOptions)) -> PoolOverrides {
        let mut options = ConnectOptions::new(PRIMARY);
        set(&mut options);
        Template::of(&options).await.unwrap().overrides()
    }

    #[tokio::test]
    async fn what_is_said_is_taken_where_it_is_the_drivers_default_too() {
        let seconds = Duration::from_secs;
        let times = async |set: fn(&mut ConnectOptions)| {
            let pool = overrides(set).await;
            (pool.checkout_timeout, pool.connect_timeout)
        };
        assert_eq!(overrides(|_| {}).await, PoolOverrides::default());
        let set = times(|options| {
            options.acquire_timeout(Duration::from_secs(30));
        })
        .await;
        assert_eq!(set, (Some(seconds(30)), Some(seconds(1))));
        let set = times(|options| {
            options.acquire_timeout(Duration::from_millis(300));
        })
        .await;
        assert_eq!(set, (Some(Duration::from_millis(300)), Some(Duration::from_millis(300))));
        let set = times(|options| {
            options.connect_timeout(Duration::from_secs(8));
        })
        .await;
        assert_eq!(set, (Some(seconds(8)), Some(seconds(8))));
        let both = |options: &mut ConnectOptions| {
            options.connect_timeout(Duration::from_secs(8)).acquire_timeout(Duration::from_secs(2));
        };
        assert_eq!(times(both).await, (Some(seconds(2)), Some(seconds(8))));
        let pool = overrides(|options| {
            let options = options.max_connections(10).min_connections(0);
            options.idle_timeout(seconds(600)).max_lifetime(None);
        });
        let pool = pool.await;
        assert_eq!((pool.max, pool.min), (Some(10), Some(0)));
        assert_eq!((pool.idle_timeout, pool.max_lifetime), (Some(seconds(600)), Some(Duration::MAX)));
        let hooked = |options: &mut ConnectOptions| {
            options.map_sqlx_postgres_pool_opts(|pool| pool.max_connections(3));
        };
        assert_eq!(overrides(hooked).await.max, Some(3));
    }

    /// What a replica's connections are opened with.
    async fn replica(primary: &str, url: &str) -> PgConnectOptions {
        let mut options = ConnectOptions::new(primary);
        options.statement_timeout(Duration::from_secs(33));
        let template = Template::of(&options).await.unwrap();
        template.at(url, PgConnectOptions::from_str(url).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_replica_has_what_its_own_url_says_and_the_primarys_settings_else() {
        let socket = "postgres://app@%2Ftmp/shop";
        for primary in [PRIMARY, socket] {
            let primary = format!(
                "{primary}?sslmode=require&application_name=shop&statement-cache-capacity=7&options=-c%20a.b%3D1"
            );
            let inherited = replica(&primary, "postgres://app@db-2").await;
            assert_eq!(inherited.get_database(), Some("shop"));
            assert_eq!(inherited.get_application_name(), Some("shop"));
            assert_eq!(capacity(inherited.to_url_lossy().as_str()), Some(7));
            assert_eq!(inherited.get_options(), Some("-c a.b=1 -c statement_timeout=33000"));
            assert!(matches!(inherited.get_ssl_mode(), PgSslMode::Require));
            let own = "postgres://app@db-2/other?sslmode=prefer&application_name=a+b&statement-cache-capacity=100\
                       &options=-c%20a.b%3D2";
            let own = replica(&primary, own).await;
            assert_eq!((own.get_host(), own.get_database()), ("db-2", Some("other")));
            assert_eq!(own.get_application_name(), Some("a b"));
            assert_eq!(capacity(own.to_url_lossy().as_str()), Some(100));
            assert!(own.get_options().is_some_and(|options| options.ends_with("-c a.b=2")));
            assert!(matches!(own.get_ssl_mode(), PgSslMode::Prefer));
        }
    }

    #[tokio::test]
    async fn a_replica_may_have_an_address_of_ipv6_and_a_password() {
        let own = replica(PRIMARY, "postgres://a%3Ab:p%40ss@db-2/shop?hostaddr=::1").await;
        assert_eq!((own.get_host(), own.get_username()), ("::1", "a:b"));
        assert_eq!(password(&own).as_deref(), Some("p@ss"));
    }
}
