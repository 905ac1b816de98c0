//! As whom to connect, where the nodes' URLs alone do not say.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rr_core::config::NodeConfig;

use crate::connector::{BoxError, ConnectError};

/// What is asked before each connect.
pub(super) type BeforeConnect = dyn Fn(NodeConfig, Login) -> Result<Login, BoxError> + Send + Sync;

/// As whom to connect. What is not set is what the node's URL says.
///
/// From [`NodeConnector::before_connect`](super::NodeConnector::before_connect).
#[derive(Clone, Default)]
pub struct Login {
    user: Option<String>,
    password: Option<String>,
    application_name: Option<String>,
}

impl Login {
    /// The user.
    pub fn user(&mut self, user: impl Into<String>) -> &mut Self {
        self.user = Some(user.into());
        self
    }

    /// The password, or a token in its place.
    pub fn password(&mut self, password: impl Into<String>) -> &mut Self {
        self.password = Some(password.into());
        self
    }

    /// The name that the server shows for the connection.
    pub fn application_name(&mut self, name: impl Into<String>) -> &mut Self {
        self.application_name = Some(name.into());
        self
    }

    /// For the monitor's driver.
    pub(super) fn set(self, settings: &mut tokio_postgres::Config) {
        let Self { user, password, application_name } = self;
        if let Some(user) = user {
            settings.user(user);
        }
        if let Some(password) = password {
            settings.password(password);
        }
        if let Some(name) = application_name {
            settings.application_name(name);
        }
    }

    /// For libpq, in whose URLs parameters override what stands before them.
    fn write_into(&self, url: &mut String) {
        let each = [
            ("user", &self.user),
            ("password", &self.password),
            ("application_name", &self.application_name),
        ];
        for (name, value) in each {
            let Some(value) = value else { continue };
            push_parameter(url, name, value);
        }
    }
}

/// Adds a parameter to a URL.
pub(super) fn push_parameter(url: &mut String, name: &str, value: &str) {
    url.push(if url.contains('?') { '&' } else { '?' });
    url.push_str(name);
    url.push('=');
    url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("application_name", &self.application_name)
            .finish()
    }
}

/// What to connect to, and as whom.
pub(super) struct Door {
    pub(super) address: String,
    /// Who is asked before each connect, and about which node.
    pub(super) ask: Option<(NodeConfig, Arc<BeforeConnect>)>,
}

impl Door {
    /// What to establish the next connection with.
    pub(super) fn address(&self) -> Result<String, ConnectError> {
        let mut address = self.address.clone();
        if let Some((node, ask)) = &self.ask {
            let login = ask(node.clone(), Login::default()).map_err(ConnectError::Hook)?;
            login.write_into(&mut address);
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_overrides_the_urls_own_and_hides_its_password() {
        let mut login = Login::default();
        login.user("a b").password("p&?=/%");
        let mut url = "postgres://me:old@h/d?sslmode=disable".to_owned();
        login.write_into(&mut url);
        assert_eq!(url, "postgres://me:old@h/d?sslmode=disable&user=a%20b&password=p%26%3F%3D%2F%25");
        assert!(!format!("{login:?}").contains("p&"));
    }
}
