//! What can be wrong with discovery.

use std::time::Duration;

use super::{Check, engine_name, time};
use crate::config::error::ConfigError;
use crate::config::{Config, DiscoveryConfig, DiscoveryKind};
use crate::discovery::{Place, Rule};
use crate::engine::Engine;

impl Check {
    pub(super) fn discovery(&mut self, config: &Config) {
        let discovery = &config.discovery;
        let (blink, minute, hour) =
            (Duration::from_millis(100), Duration::from_secs(60), Duration::from_secs(60 * 60));
        self.range("discovery.interval", discovery.interval, blink, hour);
        self.range("discovery.timeout", discovery.timeout, Duration::from_millis(10), minute);
        self.range("discovery.min_ttl", discovery.min_ttl, blink, hour);
        if discovery.max_ttl < discovery.min_ttl {
            let (key, other) = ("discovery.max_ttl".to_owned(), "discovery.min_ttl".to_owned());
            self.order(key, time(discovery.max_ttl), "at least", other, time(discovery.min_ttl));
        }
        self.not_zero("discovery.port".to_owned(), discovery.port == Some(0), "is no port; use 1 to 65535");
        if discovery.host.as_deref().is_some_and(|host| !Rule::is_host(host)) {
            self.errors.push(ConfigError::HostRule { key: "discovery.host".to_owned() });
        }
        if let Some(name) = &discovery.name
            && !matches!(Place::parse(name), Ok(Place::Host { port: None, .. }))
        {
            self.errors.push(ConfigError::HostName { key: "discovery.name".to_owned() });
        }
        self.places(config);
        self.kind(discovery, config.primary.url.engine());
    }

    fn places(&mut self, config: &Config) {
        for (name, place) in config.discovery.map.iter() {
            let Place::Url(url) = place else { continue };
            let key = format!("discovery.map.{}", super::text::key(name));
            match (url.engine(), config.primary.url.engine()) {
                (Some(engine), Some(primary)) if engine != primary => {
                    let (engine, primary) = (engine_name(engine), engine_name(primary));
                    self.errors.push(ConfigError::MixedEngines { key, engine, primary });
                }
                _ if url.has_redacted_password() => self.errors.push(ConfigError::HiddenPassword { key }),
                _ => {}
            }
        }
    }

    fn kind(&mut self, discovery: &DiscoveryConfig, engine: Option<Engine>) {
        let key = || "discovery.kind".to_owned();
        match discovery.kind {
            DiscoveryKind::Static => {}
            DiscoveryKind::Replication => {
                if discovery.host.is_none() && discovery.map.is_empty() {
                    let other = "discovery.host or discovery.map".to_owned();
                    self.errors.push(ConfigError::Needs { key: key(), other });
                }
                if let Some(engine) = engine.filter(|engine| *engine != Engine::Postgres) {
                    self.errors.push(ConfigError::NoReplication { key: key(), engine: engine_name(engine) });
                }
            }
            DiscoveryKind::Dns => {
                if discovery.name.is_none() {
                    let other = "discovery.name".to_owned();
                    self.errors.push(ConfigError::Needs { key: key(), other });
                }
                if !cfg!(feature = "dns") {
                    self.errors.push(ConfigError::NoFeature { key: key(), feature: "dns" });
                }
            }
        }
    }
}
