//! Everything else that is parsed: no text makes a parser panic, and what was read is read again from what is printed.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use rr_core::config::DatabaseUrl;
use rr_core::engine::Engine;
use rr_core::position::{GtidSet, Lsn, MariaGtid, PgPosition, Position, ServerUuid, Timeline};
use rr_core::{Config, Consistency};

fn again<T: FromStr + Display + Debug + PartialEq>(text: &str)
where
    T::Err: Debug + Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            assert_eq!(
                printed.parse::<T>().ok().as_ref(),
                Some(&value),
                "{text:?} was printed as {printed:?}"
            );
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Positions of all engines, their parts, and levels.
///
/// # Panics
/// When what is printed is not what was read.
pub fn positions(text: &str) {
    again::<Lsn>(text);
    again::<Timeline>(text);
    again::<PgPosition>(text);
    again::<GtidSet>(text);
    again::<ServerUuid>(text);
    again::<MariaGtid>(text);
    again::<Consistency>(text);
    let _timeline = Timeline::from_wal_file_name(text);
    for engine in [Engine::Postgres, Engine::MySql, Engine::MariaDb, Engine::Sqlite] {
        let Ok(position) = Position::parse(engine, text) else { continue };
        assert!(position.covers(&position), "{text:?}");
        assert_eq!(position.join(&position).as_ref(), Ok(&position), "{text:?}");
        assert_eq!(Position::parse(engine, &position.to_string()), Ok(position), "{text:?}");
    }
}

/// URLs of databases.
///
/// # Panics
/// When a URL is another one the second time.
pub fn url(text: &str) {
    match DatabaseUrl::parse(text) {
        Ok(url) => {
            assert_eq!(DatabaseUrl::parse(url.expose()).as_ref(), Ok(&url), "{text:?}");
            assert!(url.same_server(&url), "{text:?}");
            drop(format!("{url} {url:?}"));
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Configurations: TOML and JSON.
///
/// # Panics
/// When a configuration that was printed is another one.
pub fn config(text: &str) {
    for read in [Config::from_toml, Config::from_json] {
        match read(text) {
            Ok(config) => {
                if let Err(errors) = config.validate() {
                    drop(errors.to_string());
                }
                drop(format!("{config:?}"));
            }
            Err(error) => drop(format!("{error} {error:?}")),
        }
    }
}
