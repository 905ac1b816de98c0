//! The same database on another server: who we are and what we ask for stays, where we go changes.

use std::net::IpAddr;

use super::{DatabaseUrl, UrlError};

/// Parameters that say where the server is; they would win over a new host.
const OF_PLACE: [&str; 4] = ["host", "hostaddr", "port", "socket"];

impl DatabaseUrl {
    /// This URL with another host, and with another port if one is given: the same user, password, database and parameters.
    ///
    /// # Errors
    /// When this URL is unset or one of no server, or `host` is neither the name nor the address of one.
    pub fn at_host(&self, host: &str, port: Option<u16>) -> Result<Self, UrlError> {
        self.at(host, None, port)
    }

    /// This URL with another address. Certificates are checked for `host` if that is given (the parameter `hostaddr` of
    /// libpq's URLs), else for the address.
    ///
    /// # Errors
    /// As [`at_host`](Self::at_host).
    pub fn at_address(
        &self,
        host: Option<&str>,
        address: IpAddr,
        port: Option<u16>,
    ) -> Result<Self, UrlError> {
        match host {
            Some(host) => self.at(host, Some(address), port),
            None => self.at(&address.to_string(), None, port),
        }
    }

    fn at(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> Result<Self, UrlError> {
        let parts = self.parts.as_ref().ok_or(UrlError::Empty)?;
        let own_port = parts.endpoint.port().ok_or(UrlError::NoServer)?;
        let mut url = parts.url.clone();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = match bare.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            Ok(IpAddr::V4(address)) => address.to_string(),
            Err(_) if is_name(host) => host.to_owned(),
            Err(_) => return Err(UrlError::HostName),
        };
        url.set_host(Some(&host))?;
        url.set_port(Some(port.unwrap_or(own_port))).map_err(|()| UrlError::Port)?;
        let stays = |pair: &&str| !OF_PLACE.contains(&pair.split('=').next().unwrap_or_default());
        let mut query: Vec<String> = url
            .query()
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter(stays)
            .map(str::to_owned)
            .collect();
        query.extend(address.map(|address| format!("hostaddr={address}")));
        let query = query.join("&");
        url.set_query((!query.is_empty()).then_some(&query));
        Self::parse(url.as_str())
    }
}

/// Whether this can be a host's name. Nothing that ends the host in a URL may be in it: what discovery finds was written by
/// others, and the password goes where it says.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    !host.is_empty() && host.len() <= 253 && host.trim_end_matches('.').split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        DatabaseUrl::parse(text).unwrap()
    }

    #[test]
    fn everything_but_the_place_stays() {
        let rows = [
            ("postgres://u:p%2F@db-1/shop", "db-2", None, "postgres://u:p%2F@db-2:5432/shop"),
            (
                "postgres://u@db-1:7/shop?sslmode=require",
                "db-2",
                None,
                "postgres://u@db-2:7/shop?sslmode=require",
            ),
            ("postgres://u@db-1:7/shop", "db-2", Some(9), "postgres://u@db-2:9/shop"),
            ("postgres://u@db-1/d?host=x&port=8&a=b", "db-2", None, "postgres://u@db-2:8/d?a=b"),
            ("postgres://u@db-1/d", "fe80::1", None, "postgres://u@[fe80::1]:5432/d"),
            ("postgres:///d?user=u&host=/run", "db-2", None, "postgres://db-2:5432/d?user=u"),
        ];
        for (template, host, port, expected) in rows {
            assert_eq!(url(template).at_host(host, port).unwrap().expose(), expected, "{template}");
        }
    }

    #[test]
    fn an_address_keeps_the_name_that_certificates_are_checked_for() {
        let template = url("postgres://u:p@db.internal/shop?sslmode=verify-full");
        let address = "10.0.0.7".parse().unwrap();
        let at = template.at_address(Some("db.internal"), address, Some(6)).unwrap();
        assert_eq!(at.expose(), "postgres://u:p@db.internal:6/shop?sslmode=verify-full&hostaddr=10.0.0.7");
        assert_eq!(at.endpoint().unwrap().to_string(), "10.0.0.7:6");
        let at = template.at_address(None, address, None).unwrap();
        assert_eq!(at.endpoint().unwrap().to_string(), "10.0.0.7:5432");
    }

    #[test]
    fn what_is_no_host_gets_no_password() {
        let template = url("postgres://u:p@db-1/shop");
        for host in
            ["", "evil.test/", "evil.test#.db", "a@evil.test", "a?host=evil.test", "a b", "a,b", "..", "a:1"]
        {
            assert_eq!(template.at_host(host, None), Err(UrlError::HostName), "{host}");
        }
        assert_eq!(url("sqlite:x").at_host("db-2", None), Err(UrlError::NoServer));
        assert_eq!(DatabaseUrl::default().at_host("db-2", None), Err(UrlError::Empty));
    }
}
