//! What a user may say.

use std::net::IpAddr;

use clap::Parser;

/// The options of an example.
#[derive(Debug, Parser)]
#[command(
    after_help = "Without --cluster, the environment may name servers: RR_PRIMARY_URL and RR_REPLICA_URLS. Then none are booted."
)]
pub(crate) struct Arguments {
    /// Boot a primary and two replicas in a temporary folder, whatever the environment says
    #[arg(long)]
    pub(crate) cluster: bool,

    /// How many processes to start, each on a port of its own
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(crate) instances: u16,

    /// The port of the first instance; the others take the next ones. 0 takes ports that are free
    #[arg(long, default_value_t = 3000, value_name = "PORT")]
    pub(crate) port: u16,

    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) bind: IpAddr,
}

impl Arguments {
    /// The port of an instance, counted from 0; `None` when there is none of that number.
    pub(crate) const fn port_of(&self, index: u16) -> Option<u16> {
        if self.port == 0 { Some(0) } else { self.port.checked_add(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"example").chain(words))
    }

    #[test]
    fn ports_follow_one_another() {
        let own = parse(&["--port", "65534", "--instances", "3"]).unwrap();
        assert_eq!([0, 1, 2].map(|index| own.port_of(index)), [Some(65534), Some(65535), None]);
        let free = parse(&["--port", "0"]).unwrap();
        assert_eq!([0, 1].map(|index| free.port_of(index)), [Some(0), Some(0)]);
    }

    #[test]
    fn defaults_are_for_a_laptop() {
        let own = parse(&[]).unwrap();
        assert!(!own.cluster && own.bind.is_loopback());
        assert_eq!((own.instances, own.port), (1, 3000));
        assert!(parse(&["--instances", "0"]).is_err());
    }
}
