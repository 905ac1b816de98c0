//! From a node's URL to the driver's settings.

use rr_core::connector::Target;
use rr_core::topology::Role;
use tokio_postgres::Config;

use super::ConnectError;
use super::tls::Tls;

/// Parameters of TLS, which the driver does not know and which are in [`Target::tls`] already.
const TLS_PARAMETERS: [&str; 5] = ["sslmode", "sslrootcert", "sslca", "sslcert", "sslkey"];

/// Whatever a misrouted statement tries on a replica, also where the server would take writes.
const READ_ONLY: &str = "-c default_transaction_read_only=on";

/// The settings of a session on the node in its role.
pub(crate) fn settings(target: &Target) -> Result<Config, ConnectError> {
    let mut settings: Config = without_tls(target.node.url.expose()).parse().map_err(ConnectError::Url)?;
    Tls::demand(target.tls.mode, &mut settings);
    settings.connect_timeout(target.pool.connect_timeout);
    if target.role == Role::Replica {
        let options = match settings.get_options() {
            // The last one wins.
            Some(own) => format!("{own} {READ_ONLY}"),
            None => READ_ONLY.to_owned(),
        };
        settings.options(options);
    }
    Ok(settings)
}

pub(crate) fn without_tls(url: &str) -> String {
    let Some((front, query)) = url.split_once('?') else { return url.to_owned() };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            let simple = name.replace(['-', '_'], "").to_ascii_lowercase();
            !pair.is_empty() && !TLS_PARAMETERS.contains(&simple.as_str())
        })
        .collect();
    if kept.is_empty() { front.to_owned() } else { format!("{front}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rr_core::config::NodeConfig;
    use rr_core::engine::Engine;
    use rr_core::topology::Epoch;

    fn target(url: &str, role: Role) -> Target {
        let config = rr_core::Config::new(url).unwrap();
        Target::new(&config, &NodeConfig::new(url).unwrap(), Engine::Postgres, role, Epoch::default())
    }

    #[test]
    fn parameters_of_tls_are_taken_out_and_all_others_stay() {
        for (url, kept) in [
            ("postgres://h/d?sslmode=require", "postgres://h/d"),
            ("postgres://h/d?a=b&ssl_mode=require&sslrootcert=/x&c=d", "postgres://h/d?a=b&c=d"),
            ("postgres://u:p%3Fq@h/d", "postgres://u:p%3Fq@h/d"),
        ] {
            assert_eq!(without_tls(url), kept);
        }
    }

    #[test]
    fn replica_sessions_are_read_only_whatever_the_url_says() {
        let url = "postgres://h/d?options=-c%20default_transaction_read_only%3Doff&application_name=me";
        let replica = settings(&target(url, Role::Replica)).unwrap();
        let options = replica.get_options().unwrap();
        assert!(options.starts_with("-c default_transaction_read_only=off "), "{options}");
        assert!(options.ends_with(READ_ONLY), "{options}");
        assert_eq!(replica.get_application_name(), Some("me"));
        let primary = settings(&target(url, Role::Primary)).unwrap();
        assert_eq!(primary.get_options(), Some("-c default_transaction_read_only=off"));
    }
}
