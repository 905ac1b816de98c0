//! PostgreSQL through libpq.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use diesel::PgConnection;
use diesel::connection::{DefaultLoadingMode, LoadConnection, SimpleConnection};
use diesel::expression::QueryMetadata;
use diesel::pg::{Pg, PgRowByRowLoadingMode};
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use rr_core::config::{SslMode, TlsConfig};
use rr_core::connector::Target;
use rr_core::outcome::TransactionId;
use rr_core::position::Position;
use rr_core::sql::Dialect;
use rr_core::topology::Role;

use super::{Routable, RoutedLoad, attached};
use crate::blocking::login::push_parameter;
use crate::capture::{self, Ask, AskTransaction};
use crate::connector::{ConnectError, without_tls};

/// libpq takes whole seconds, and no fewer.
const SHORTEST_CONNECT: u64 = 2;

impl Routable for PgConnection {
    const DIALECT: Dialect = Dialect::Postgres;

    fn address(target: &Target) -> Result<String, ConnectError> {
        let mut url = without_tls(target.node.url.expose());
        let parameters = tls(&target.tls).chain(limit(&url, target.pool.connect_timeout));
        for (name, value) in parameters.collect::<Vec<_>>() {
            push_parameter(&mut url, name, &value);
        }
        Ok(url)
    }

    fn set_up(&mut self, role: Role, limit: Option<Duration>) -> QueryResult<()> {
        let read_only = (role == Role::Replica).then(|| "SET default_transaction_read_only = on".to_owned());
        let limit = limit.map(|limit| format!("SET statement_timeout = {}", limit.as_millis().max(1)));
        let settings: Vec<String> = read_only.into_iter().chain(limit).collect();
        if settings.is_empty() { Ok(()) } else { self.batch_execute(&settings.join("; ")) }
    }

    fn position(&mut self, segment: &AtomicU64) -> Option<Position> {
        // There is no place beside the connection to keep its timeline in: it is asked for each time.
        let asked = LoadConnection::<DefaultLoadingMode>::load(self, Ask::<true>);
        match asked.and_then(|mut rows| rows.next().transpose()) {
            Ok(row) => capture::read(&row?, &OnceLock::new(), segment),
            Err(error) => {
                capture::unknown(&error);
                None
            }
        }
    }

    fn transaction_id(&mut self, segment: &AtomicU64) -> Option<TransactionId> {
        let asked = LoadConnection::<DefaultLoadingMode>::load(self, AskTransaction);
        match asked.and_then(|mut rows| rows.next().transpose()) {
            Ok(row) => capture::read_transaction(&row?, segment),
            Err(error) => {
                tracing::debug!(target: "rr", %error, "the number of a transaction is not known");
                None
            }
        }
    }
}

impl RoutedLoad<DefaultLoadingMode> for PgConnection {
    const DETACHED: bool = true;

    fn load_detached<'conn, 'query, T>(
        &mut self,
        source: T,
    ) -> QueryResult<<Self as LoadConnection<DefaultLoadingMode>>::Cursor<'conn, 'query>>
    where
        Self: 'conn,
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        LoadConnection::<DefaultLoadingMode>::load(self, source)
    }
}

attached!(PgConnection, PgRowByRowLoadingMode);

fn tls(tls: &TlsConfig) -> impl Iterator<Item = (&'static str, String)> {
    let mode = match tls.mode {
        SslMode::Disable => "disable",
        SslMode::Prefer => "prefer",
        SslMode::Require => "require",
        SslMode::VerifyCa => "verify-ca",
        // A mode that is not known yet can only be stricter.
        _ => "verify-full",
    };
    let file = |name, file: &Option<std::path::PathBuf>| {
        file.as_ref().map(|file| (name, file.to_string_lossy().into_owned()))
    };
    let files = [
        file("sslrootcert", &tls.root_cert),
        file("sslcert", &tls.client_cert),
        file("sslkey", &tls.client_key),
    ];
    std::iter::once(("sslmode", mode.to_owned())).chain(files.into_iter().flatten())
}

/// Our own limit does not stop libpq, so that it should stop by itself.
fn limit(url: &str, limit: Duration) -> Option<(&'static str, String)> {
    let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
    (!url.contains("connect_timeout="))
        .then(|| ("connect_timeout", seconds.max(SHORTEST_CONNECT).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rr_core::config::NodeConfig;
    use rr_core::engine::Engine;
    use rr_core::topology::Epoch;

    #[test]
    fn the_settings_of_a_target_are_in_its_address() {
        for (url, expected) in [
            ("postgres://h/d", "postgres://h/d?sslmode=prefer&connect_timeout=2"),
            (
                "postgres://h/d?sslmode=verify-full&sslrootcert=/a%20b&connect_timeout=9",
                "postgres://h/d?connect_timeout=9&sslmode=verify%2Dfull&sslrootcert=%2Fa%20b",
            ),
            (
                "postgres://u:p%3Fq@h/d?sslmode=disable&application_name=x",
                "postgres://u:p%3Fq@h/d?application_name=x&sslmode=disable&connect_timeout=2",
            ),
        ] {
            let config = rr_core::Config::new(url).unwrap();
            let node = NodeConfig::new(url).unwrap();
            let target = Target::new(&config, &node, Engine::Postgres, Role::Primary, Epoch::default());
            assert_eq!(PgConnection::address(&target).unwrap(), expected);
        }
    }
}
