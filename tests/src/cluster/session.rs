//! Talking with a server: its addresses and the harness's own connections.

use std::time::Duration;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::error::{ClusterError, Result};
use super::node::Node;

/// A whole handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The ordinary role and the database that it owns.
const ORDINARY: &str = "app";
/// The superuser and its database.
const SUPERUSER: &str = "postgres";

impl Node {
    /// The connection URL for the ordinary role `app` and its database, through [`link`](Self::link).
    #[must_use]
    pub fn url(&self) -> String {
        url(ORDINARY, self.link().port())
    }

    /// [`url`](Self::url) past the proxy. The port may change when the server is started anew.
    #[must_use]
    pub fn direct_url(&self) -> String {
        url(ORDINARY, self.port())
    }

    /// The connection URL for the superuser, past the proxy.
    #[must_use]
    pub fn admin_url(&self) -> String {
        url(SUPERUSER, self.port())
    }

    /// A connection of the ordinary role, through the proxy.
    ///
    /// # Errors
    /// When the server or its link does not let us in within ten seconds.
    pub async fn client(&self) -> Result<Client> {
        self.connect(&self.url()).await
    }

    /// A connection of the superuser, past the proxy.
    ///
    /// # Errors
    /// When the server does not let us in within ten seconds.
    pub async fn admin(&self) -> Result<Client> {
        self.connect(&format!("{}?application_name=rr-harness", self.admin_url())).await
    }

    /// A connection of the ordinary role, past the proxy.
    ///
    /// # Errors
    /// When the server does not let us in within ten seconds.
    pub async fn direct(&self) -> Result<Client> {
        self.connect(&self.direct_url()).await
    }

    /// Runs statements as the ordinary role in its database, on a connection of their own past the proxy.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses a statement.
    pub async fn sql(&self, statements: &str) -> Result<()> {
        let client = self.direct().await?;
        client.batch_execute(statements).await.map_err(self.sql_error())
    }

    /// The first value of the first row as text, asked like [`sql`](Self::sql).
    ///
    /// # Errors
    /// As [`sql`](Self::sql), and when there is no row or the value is NULL.
    pub async fn query_text(&self, sql: &str) -> Result<String> {
        let client = self.direct().await?;
        self.text(&client, sql).await
    }

    /// [`sql`](Self::sql) as the superuser, in the superuser's database.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub async fn admin_sql(&self, statements: &str) -> Result<()> {
        self.admin().await?.batch_execute(statements).await.map_err(self.sql_error())
    }

    /// [`query_text`](Self::query_text) as the superuser, in the superuser's database.
    ///
    /// # Errors
    /// As [`query_text`](Self::query_text).
    pub async fn admin_query_text(&self, sql: &str) -> Result<String> {
        self.text(&self.admin().await?, sql).await
    }

    /// Statements of clients that run on this server right now and whose text is like `pattern`.
    ///
    /// # Errors
    /// As [`query_text`](Self::query_text).
    pub async fn running(&self, pattern: &str) -> Result<i64> {
        let sql = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{pattern}' \
             AND pid <> pg_backend_pid()"
        );
        let count = self.admin_query_text(&sql).await?;
        count.parse().map_err(|_| ClusterError::NoValue { node: self.shared.name.clone(), sql })
    }

    pub(crate) async fn text(&self, client: &Client, sql: &str) -> Result<String> {
        let messages = client.simple_query(sql).await.map_err(self.sql_error())?;
        let value = messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
            _ => None,
        });
        value.ok_or_else(|| ClusterError::NoValue { node: self.shared.name.clone(), sql: String::from(sql) })
    }

    pub(crate) fn sql_error(&self) -> impl Fn(tokio_postgres::Error) -> ClusterError {
        let node = self.shared.name.clone();
        move |source| ClusterError::Sql { node: node.clone(), source }
    }

    async fn connect(&self, url: &str) -> Result<Client> {
        let late = |_| ClusterError::ConnectTimeout { node: self.shared.name.clone(), within: HANDSHAKE };
        let connected = tokio::time::timeout(HANDSHAKE, tokio_postgres::connect(url, NoTls)).await;
        let (client, connection) = connected.map_err(late)?.map_err(self.sql_error())?;
        // It ends with its client; an error reaches whoever uses the client.
        tokio::spawn(async { drop(connection.await) });
        Ok(client)
    }
}

fn url(role: &str, port: u16) -> String {
    format!("postgresql://{role}@127.0.0.1:{port}/{role}")
}
