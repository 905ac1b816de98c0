//! The environment over a configuration.
//!
//! Every scalar has a variable: its path in capitals with `_` between the parts, after `RR_`
//! (`pool.replica.max` is `RR_POOL_REPLICA_MAX`). The list of keys comes from the structs (see `keys`), so a new
//! field has its variable at once. URLs and secrets never pass through the generic way: it writes the configuration out
//! and reads it back, and what is written out is redacted.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::builder::ConfigBuilder;
use super::error::{ConfigError, ConfigErrors};
use super::keys::{
    DISCOVERY_MAP, FAILOVER_PASSWORD, GROUP, Key, Keys, Kind, PREFIX, REPLICA, REPLICA_URLS, SESSION_KEYS,
    Target, variable_form,
};
use super::node::{NodeConfig, replica_name};
use super::secret::Secret;
use super::url::DatabaseUrl;
use super::{Config, NotifyConfig, text};
use crate::discovery::PlaceMap;

const DATABASE_URL: &str = "DATABASE_URL";
const PRIMARY_URL: &str = "RR_PRIMARY_URL";

/// Not settings, although they begin like ours: where PostgreSQL's programs are, what this repository's scripts and tests go
/// by, and what users call their own.
fn is_reserved(name: &str) -> bool {
    name == "RR_PG_BIN" || name.starts_with("RR_TEST_")
}

impl Config {
    /// The defaults with this process's environment over them; see [`overlay_env`](Self::overlay_env).
    ///
    /// # Errors
    /// As [`Config::overlay_env`].
    pub fn from_env() -> Result<Self, ConfigErrors> {
        Self::default().overlay_process_env()
    }

    /// This configuration with this process's environment over it; see [`overlay_env`](Self::overlay_env).
    ///
    /// # Errors
    /// As [`Config::overlay_env`].
    pub fn overlay_process_env(self) -> Result<Self, ConfigErrors> {
        self.overlay_env(process_env()?)
    }

    /// This configuration with this process's environment over it and these nodes; see
    /// [`overlay_env_for`](Self::overlay_env_for).
    ///
    /// # Errors
    /// As [`Config::overlay_env_for`].
    pub fn overlay_process_env_for(self, urls: &str) -> Result<Self, ConfigErrors> {
        self.overlay_env_for(urls, process_env()?)
    }

    /// This configuration with these environment variables over it and these nodes: what an application gets that connects
    /// to `urls`, the primary and perhaps, after commas, replicas.
    ///
    /// A list has all nodes. A single URL may have replicas in the environment, unless that speaks of another database: by
    /// the primary that it names, or where it names none by the database that a replica's URL names.
    ///
    /// # Errors
    /// As [`Config::overlay_env`], and when the configuration is wrong.
    pub fn overlay_env_for(
        self,
        urls: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut each = DatabaseUrl::list(urls);
        let primary = each.next().unwrap_or_default();
        let replicas: Vec<&str> = each.collect();
        // What the environment calls the database need not be one, where the application says which it is.
        let is_known = |url: &str| DatabaseUrl::parse(url).is_ok();
        let variables = variables.into_iter().filter(|(name, value)| name != DATABASE_URL || is_known(value));
        let mut config = self.overlay_env(variables)?;
        match DatabaseUrl::parse(primary) {
            _ if !replicas.is_empty() => config.replicas.clear(),
            Ok(url) => config.leave_out_replicas_of_others(&url),
            // It is named among the other mistakes.
            Err(_) => {}
        }
        let builder = ConfigBuilder::from(config).primary(primary);
        replicas.into_iter().fold(builder, ConfigBuilder::replica).build()
    }

    fn leave_out_replicas_of_others(&mut self, url: &DatabaseUrl) {
        let primary = &self.primary.url;
        let is_other = !primary.is_unset() && !url.same_database(primary);
        self.replicas.retain(|replica| {
            let names_other = || !replica.url.is_unset() && !url.same_database_name(&replica.url);
            let left_out = is_other || (primary.is_unset() && names_other());
            if left_out {
                tracing::warn!(target: "rr", replica = %replica.name, "left out: a replica of another database");
            }
            !left_out
        });
    }

    /// This configuration with these environment variables over it.
    ///
    /// - `RR_PRIMARY_URL`, or else `DATABASE_URL`, is the primary.
    /// - `RR_REPLICA_URLS` replaces the list of replicas: URLs separated by commas (a comma inside of a URL is
    ///   written `%2C`). Empty, it removes them all.
    /// - `RR_REPLICA_<n>_URL`, `RR_REPLICA_<n>_WEIGHT` and so on change the n-th replica (from 1), or add one when
    ///   there are fewer; numbers may be left out. They cannot be mixed with `RR_REPLICA_URLS`.
    /// - `RR_NOTIFY_<n>_URL` and so on change the n-th notifier (from 1), or add one when there are fewer.
    /// - `RR_GROUP_<NAME>_FALLBACK` and `RR_GROUP_<NAME>_EXCLUSIVE` are the rules of a group.
    /// - Every other key has its path as its name, such as `RR_POOL_REPLICA_MAX`; lists are separated by commas.
    ///
    /// Any other empty variable counts as not set. An unknown name that begins with `RR_` is refused, except for
    /// `RR_PG_BIN` and names that begin with `RR_TEST_`. Names that do not begin with `RR_` are ignored.
    ///
    /// # Errors
    /// Everything that is wrong with the variables, at once. What only the whole configuration can tell is
    /// found by [`validate`](Self::validate).
    pub fn overlay_env(
        self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .map(|(name, value)| (name, value.trim().to_owned()))
            .filter(|(name, value)| !value.is_empty() || name == REPLICA_URLS)
            .filter(|(name, _)| name == DATABASE_URL || (name.starts_with(PREFIX) && !is_reserved(name)))
            .collect();
        let mut overlay = Overlay::over(self);
        overlay.list_replicas(&variables);
        // Groups last: their names are known from the nodes.
        let (groups, others): (Vec<_>, Vec<_>) =
            variables.iter().partition(|(name, _)| name.starts_with(GROUP));
        for (name, value) in others.into_iter().chain(groups) {
            if name != REPLICA_URLS && !(name == DATABASE_URL && variables.contains_key(PRIMARY_URL)) {
                overlay.read(name, value);
            }
        }
        overlay.finish()
    }
}

/// The variables of this process that may be meant for us.
fn process_env() -> Result<Vec<(String, String)>, ConfigErrors> {
    let ours = |name: &str| name.starts_with(PREFIX) || name == DATABASE_URL;
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| ours(name)) else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name.to_owned(), value)),
            Err(_) if is_reserved(name) => {}
            Err(_) => return Err(wrong(name, "is not UTF-8").into()),
        }
    }
    Ok(variables)
}

/// A configuration while variables are laid over it.
struct Overlay {
    keys: Keys,
    /// All but the nodes and the secrets.
    cluster: Draft<Config>,
    secrets: Vec<Secret>,
    /// Where discovery finds nodes; URLs, and secrets in them.
    places: PlaceMap,
    password: Option<Secret>,
    primary: Node,
    replicas: Vec<Node>,
    /// Which of the replicas a number speaks of.
    numbers: BTreeMap<u32, usize>,
    /// By number.
    notifiers: BTreeMap<u32, Notifier>,
    errors: Vec<ConfigError>,
}

/// All but the secrets, and the secrets by key.
struct Notifier {
    settings: Draft<NotifyConfig>,
    secrets: BTreeMap<&'static str, Secret>,
}

impl Notifier {
    const SECRETS: [&'static str; 3] = ["url", "authorization", "routing_key"];

    fn over(mut config: NotifyConfig) -> Self {
        let secrets = [config.url.take(), config.authorization.take(), config.routing_key.take()];
        let secrets = Self::SECRETS.into_iter().zip(secrets).filter_map(|(key, secret)| Some((key, secret?)));
        Self { secrets: secrets.collect(), settings: Draft::of(config) }
    }

    fn set(&mut self, key: &Key, text: &str) -> Result<(), String> {
        match Self::SECRETS.into_iter().find(|secret| key.path == [*secret]) {
            Some(secret) => drop(self.secrets.insert(secret, text.into())),
            None => self.settings.set(key, text)?,
        }
        Ok(())
    }

    fn finish(mut self) -> NotifyConfig {
        let [url, authorization, routing_key] = Self::SECRETS.map(|key| self.secrets.remove(key));
        NotifyConfig { url, authorization, routing_key, ..self.settings.value }
    }
}

struct Node {
    /// All but the URL, which must not be written out and read back.
    settings: Draft<NodeConfig>,
    url: DatabaseUrl,
}

impl Node {
    fn over(mut node: NodeConfig) -> Self {
        let url = std::mem::take(&mut node.url);
        Self { settings: Draft::of(node), url }
    }

    fn finish(self) -> NodeConfig {
        NodeConfig { url: self.url, ..self.settings.value }
    }
}

impl Overlay {
    fn over(mut config: Config) -> Self {
        let primary = Node::over(std::mem::take(&mut config.primary));
        let replicas: Vec<_> = std::mem::take(&mut config.replicas).into_iter().map(Node::over).collect();
        let numbers = (1..).zip(0..replicas.len()).collect();
        let secrets = std::mem::take(&mut config.session.keys);
        let notifiers =
            (1..).zip(std::mem::take(&mut config.notify).into_iter().map(Notifier::over)).collect();
        let places = std::mem::take(&mut config.discovery.map);
        let password = config.failover.password.take();
        let (keys, cluster) = (Keys::all(), Draft::of(config));
        Self {
            keys,
            cluster,
            secrets,
            places,
            password,
            primary,
            replicas,
            numbers,
            notifiers,
            errors: Vec::new(),
        }
    }

    /// Decides which replicas there are, before anything is said about one of them.
    fn list_replicas(&mut self, variables: &BTreeMap<String, String>) {
        let mut numbered = BTreeMap::new();
        for name in variables.keys() {
            if let Some(Target::Node(Some(number), _)) = self.keys.target(name) {
                numbered.entry(number).or_insert(name);
            }
        }
        if let Some(list) = variables.get(REPLICA_URLS) {
            if let Some(other) = numbered.into_values().next() {
                return self.errors.push(ConfigError::TwoReplicaLists { other: other.clone() });
            }
            self.replicas.clear();
            for (number, url) in (1..).zip(DatabaseUrl::list(list)) {
                let url = self.url(REPLICA_URLS, url);
                self.add_replica(number, url);
            }
            return;
        }
        for (number, given) in numbered {
            let url = format!("{REPLICA}{number}_URL");
            if self.numbers.contains_key(&number) {
                continue;
            }
            if variables.contains_key(&url) {
                self.numbers.insert(number, self.replicas.len());
                self.add_replica(number, DatabaseUrl::default());
            } else {
                self.errors.push(ConfigError::NoSuchReplica { missing: url, given: given.clone() });
            }
        }
    }

    fn add_replica(&mut self, number: u32, url: DatabaseUrl) {
        let node = NodeConfig::default().with_name(replica_name(number));
        self.replicas.push(Node { settings: Draft::of(node), url });
    }

    fn read(&mut self, name: &str, value: &str) {
        let (node, key) = match self.keys.target(if name == DATABASE_URL { PRIMARY_URL } else { name }) {
            None => return self.refuse(name),
            Some(Target::Cluster(key)) if key.path == SESSION_KEYS => {
                let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                self.secrets = parts.map(Secret::from).collect();
                return;
            }
            Some(Target::Cluster(key)) if key.path == DISCOVERY_MAP => return self.read_places(name, value),
            Some(Target::Cluster(key)) if key.path == FAILOVER_PASSWORD => {
                self.password = Some(Secret::from(value));
                return;
            }
            Some(Target::Cluster(key)) => (None, key.clone()),
            Some(Target::Group(capitals, key)) => {
                let group = self.group_name(capitals);
                let path = ["groups".to_owned(), group].into_iter().chain(key.path.iter().cloned()).collect();
                (None, Key { path, kind: key.kind })
            }
            Some(Target::Notify(number, key)) => {
                let empty = || Notifier::over(NotifyConfig::default());
                let outcome = self.notifiers.entry(number).or_insert_with(empty).set(key, value);
                return self.errors.extend(outcome.map_err(|message| wrong(name, message)).err());
            }
            Some(Target::Node(None, key)) => (Some(&mut self.primary), key.clone()),
            // A number without a place was refused with the list.
            Some(Target::Node(Some(number), key)) => {
                let Some(place) = self.numbers.get(&number) else { return };
                (self.replicas.get_mut(*place), key.clone())
            }
        };
        let outcome = match node {
            Some(node) if key.path == ["url"] => DatabaseUrl::parse(value)
                .map(|url| node.url = url)
                .map_err(|source| ConfigError::Url { key: name.to_owned(), source }),
            Some(node) => node.settings.set(&key, value).map_err(|message| wrong(name, message)),
            None => self.cluster.set(&key, value).map_err(|message| wrong(name, message)),
        };
        self.errors.extend(outcome.err());
    }

    fn read_places(&mut self, name: &str, value: &str) {
        self.places = PlaceMap::default();
        for text in value.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let outcome = self.places.add_text(text).map_err(|message| wrong(name, message));
            self.errors.extend(outcome.err());
        }
    }

    fn refuse(&mut self, name: &str) {
        let known = self.keys.variables(name);
        let closest = text::closest(name, known.iter().map(String::as_str)).map(str::to_owned);
        self.errors.push(ConfigError::UnknownVariable { name: text::key(name), closest });
    }

    /// The URL in a variable; the unset one, and an error, when it is none.
    fn url(&mut self, name: &str, value: &str) -> DatabaseUrl {
        DatabaseUrl::parse(value).unwrap_or_else(|source| {
            self.errors.push(ConfigError::Url { key: name.to_owned(), source });
            DatabaseUrl::default()
        })
    }

    /// The group that is written like this in capitals; a new one gets small letters.
    fn group_name(&self, capitals: &str) -> String {
        let nodes = std::iter::once(&self.primary).chain(&self.replicas);
        let used = nodes.flat_map(|node| &node.settings.value.groups);
        let mut known = self.cluster.value.groups.keys().chain(used);
        let same = known.find(|name| variable_form(name) == capitals);
        same.map_or_else(|| capitals.to_ascii_lowercase(), Clone::clone)
    }

    fn finish(self) -> Result<Config, ConfigErrors> {
        ConfigErrors::check(self.errors)?;
        let replicas = self.replicas.into_iter().map(Node::finish).collect();
        let mut config = Config { primary: self.primary.finish(), replicas, ..self.cluster.value };
        config.session.keys = self.secrets;
        config.notify = self.notifiers.into_values().map(Notifier::finish).collect();
        config.discovery.map = self.places;
        config.failover.password = self.password;
        Ok(config)
    }
}

/// Settings, and how they would stand in a file.
struct Draft<T> {
    value: T,
    /// Settings made in code may not fit into a file: a number above 2⁶³, a path that is not UTF-8.
    table: Result<Table, toml::ser::Error>,
}

impl<T: Serialize + DeserializeOwned> Draft<T> {
    fn of(value: T) -> Self {
        let table = Table::try_from(&value);
        Self { value, table }
    }

    /// Puts a variable's text in its place, if the settings can then still be read.
    fn set(&mut self, key: &Key, text: &str) -> Result<(), String> {
        let unfit = |error| format!("cannot be laid over settings that no file can hold: {error}");
        let mut table = self.table.clone().map_err(unfit)?;
        put(&mut table, &key.path, typed(text, key.kind)?);
        self.value = table.clone().try_into().map_err(|error| text::of_serde(error.message()))?;
        self.table = Ok(table);
        Ok(())
    }
}

fn put(table: &mut Table, path: &[String], value: Value) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        table.insert(first.clone(), value);
    } else if let Value::Table(inner) = table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
        put(inner, rest, value);
    }
}

fn typed(value: &str, kind: Kind) -> Result<Value, String> {
    Ok(match kind {
        Kind::Text => value.into(),
        // Some keys allow a word in place of the number; the key itself knows.
        Kind::Integer => value.parse::<i64>().map_or_else(|_| value.into(), Value::Integer),
        Kind::Boolean => match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true.into(),
            "false" | "0" | "no" | "off" => false.into(),
            _ => return Err("is neither true nor false".to_owned()),
        },
        Kind::List => {
            value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().into()
        }
    })
}

fn wrong(name: &str, message: impl Into<String>) -> ConfigError {
    ConfigError::Variable { name: name.to_owned(), message: message.into() }
}
