//! How a routed connection comes to be.

use std::collections::BTreeMap;

use rr_core::Router;
use rr_core::adapter::Turn;
use rr_core::config::{Config, ConfigBuilder, NodeConfig};
use rr_core::route::{Access, Outcome};
use rr_core::router::Builder;
use sea_orm::{ConnectOptions, DbErr};

use super::RoutedConnection;
use super::given::{Given, is_text};
use crate::SeaOrmConnector;
use crate::connector::Template;
use crate::error;

impl RoutedConnection {
    /// Connects as [`Database::connect`](sea_orm::Database::connect) does: to the primary that the URL or the options
    /// name, and to the replicas that the environment names (`RR_REPLICA_URLS`; see
    /// [`Config::overlay_env`](rr_core::Config::overlay_env)). Without any, everything runs on the primary. The URL may also
    /// be a list, separated by commas: the primary, and all replicas. A list that is given as a text may have parameters on each
    /// URL; one inside of options may not, as SeaORM takes all of it for one URL.
    ///
    /// The options hold for the connections to all nodes; what the environment says goes before them. Unless they say
    /// `connect_lazy`, the primary has to be there; replicas need not.
    ///
    /// # Errors
    /// When the settings cannot be used, or there is no connection to the primary.
    pub async fn connect(options: impl Into<ConnectOptions>) -> Result<Self, DbErr> {
        let Given { urls, options, template } = Given::of(options).await?;
        let mut config = Config::default();
        let sizes = template.overrides();
        config.pool.primary = sizes.over(&config.pool.primary);
        config.pool.replica = sizes.over(&config.pool.replica);
        let config = config.overlay_process_env_for(&urls).map_err(error::bad_settings)?;
        let connector = SeaOrmConnector::with_templates(Some(template), BTreeMap::new());
        Self::connected(connector, config, &options).await
    }

    /// As [`connect`](Self::connect), with the replicas and everything else said in code: `configure` gets a
    /// configuration that has the primary. The environment has no say.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        options: impl Into<ConnectOptions>,
        configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Result<Self, DbErr> {
        let (is_text, options) = (is_text(&options), options.into());
        let template = Template::of(&options).await?.of_text(is_text);
        let mut config = Config::default();
        let sizes = template.overrides();
        config.pool.primary = sizes.over(&config.pool.primary);
        config.pool.replica = sizes.over(&config.pool.replica);
        let config = ConfigBuilder::from(config).primary(options.get_url());
        let config = configure(config).build().map_err(error::bad_settings)?;
        Self::connected(SeaOrmConnector::with_templates(Some(template), BTreeMap::new()), config, &options)
            .await
    }

    /// Connects to nodes that each have options of their own: the primary, and the replicas. The environment has no say.
    /// What a replica's options want done after connecting (`after_connect`) is not done: it need not be there.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_nodes<O: Into<ConnectOptions>>(
        primary: impl Into<ConnectOptions>,
        replicas: impl IntoIterator<Item = O>,
    ) -> Result<Self, DbErr> {
        Self::connect_nodes_with(primary, replicas, |config| config).await
    }

    /// As [`connect_nodes`](Self::connect_nodes), with more settings: `configure` gets a configuration of these nodes,
    /// which are called `primary`, `replica-1`, `replica-2` and so on.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_nodes_with<O: Into<ConnectOptions>>(
        primary: impl Into<ConnectOptions>,
        replicas: impl IntoIterator<Item = O>,
        configure: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Result<Self, DbErr> {
        let (is_primary_text, options) = (is_text(&primary), primary.into());
        let template = Template::of(&options).await?.of_text(is_primary_text);
        let mut config = Config::new(options.get_url()).map_err(error::bad_settings)?;
        config.pool.primary = template.overrides().over(&config.pool.primary);
        let mut templates = BTreeMap::new();
        for (number, replica) in (1..).zip(replicas) {
            let (is_replica_text, replica) = (is_text(&replica), replica.into());
            let template = Template::of_replica(&replica).await?.of_text(is_replica_text);
            let name = format!("replica-{number}");
            let mut node = NodeConfig::new(replica.get_url()).map_err(error::bad_settings)?.with_name(&name);
            node.pool = template.overrides();
            config.replicas.push(node);
            templates.insert(name, template);
        }
        let config = configure(ConfigBuilder::from(config)).build().map_err(error::bad_settings)?;
        Self::connected(SeaOrmConnector::with_templates(Some(template), templates), config, &options).await
    }

    /// Starts with this configuration. Connects to nothing that it does not need: no node has to be up.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub async fn start(config: Config) -> Result<Self, DbErr> {
        Self::start_as(config, |router| router).await
    }

    /// As [`start`](Self::start), with a router that `build` has had its say in: notifiers, a balancer of one's own.
    ///
    /// ```no_run
    /// # async fn f(config: rr_core::Config) -> Result<(), sea_orm::DbErr> {
    /// let connection = rr_seaorm::RoutedConnection::start_as(config, |router| {
    ///     router.on_notice(|told| eprintln!("{}: {}", told.severity, told.text))
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub async fn start_as(
        config: Config,
        build: impl FnOnce(Builder<SeaOrmConnector>) -> Builder<SeaOrmConnector>,
    ) -> Result<Self, DbErr> {
        let options = ConnectOptions::new(config.primary.url.expose());
        let template = match config.primary.url.is_unset() {
            true => None,
            false => Some(Template::of(&options).await?.of_text(true)),
        };
        Self::started(SeaOrmConnector::with_templates(template, BTreeMap::new()), config, build).await
    }

    /// Starts with what the environment says; see [`Config::overlay_env`](rr_core::Config::overlay_env).
    ///
    /// # Errors
    /// When the environment says nothing usable.
    pub async fn from_env() -> Result<Self, DbErr> {
        Self::start(Config::from_env().map_err(error::bad_settings)?).await
    }

    async fn started(
        connector: SeaOrmConnector,
        config: Config,
        build: impl FnOnce(Builder<SeaOrmConnector>) -> Builder<SeaOrmConnector>,
    ) -> Result<Self, DbErr> {
        let router = build(Router::builder(connector).config(config));
        Ok(Self::new(router.start().await.map_err(error::bad_settings)?))
    }

    async fn connected(
        connector: SeaOrmConnector,
        config: Config,
        options: &ConnectOptions,
    ) -> Result<Self, DbErr> {
        let connection = Self::started(connector, config, |router| router).await?;
        if !options.get_connect_lazy() {
            connection
                .writer(Access::Write, &mut Turn::new(connection.router()))
                .await?
                .finish(Outcome::Answered);
        }
        // What was done after connecting may have written.
        connection.ledger.wrote(None);
        Ok(connection)
    }
}

impl From<Router<SeaOrmConnector>> for RoutedConnection {
    fn from(router: Router<SeaOrmConnector>) -> Self {
        Self::new(router)
    }
}
