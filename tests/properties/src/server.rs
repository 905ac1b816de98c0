//! A last opinion: what a real PostgreSQL server says. Parsers of SQL take texts that no server does.
//!
//! `RR_TEST_FUZZ_SERVER` is the URL of a server that is there for nothing else: texts are run on it. Without it nobody is asked.

use rr_core::sql::Dialect;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, NoTls};

/// Long enough for a statement to be refused, which happens before it runs.
const LIMITS: &str = "SET statement_timeout = '1s'; BEGIN READ ONLY";

/// Whether the server does not even understand this text, or refuses it for its form.
///
/// # Panics
/// When the server that is to be asked cannot be.
#[must_use]
pub fn refuses(sql: &str, dialect: Dialect) -> bool {
    let Ok(url) = std::env::var("RR_TEST_FUZZ_SERVER") else { return false };
    if dialect != Dialect::Postgres {
        return false;
    }
    if sql.contains('\0') {
        return true;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map(|runtime| runtime.block_on(ask(&url, sql)));
    match asked {
        Ok(Ok(refused)) => refused,
        Ok(Err(error)) => panic!("RR_TEST_FUZZ_SERVER cannot be asked: {error}"),
        Err(error) => panic!("RR_TEST_FUZZ_SERVER cannot be asked: {error}"),
    }
}

async fn ask(url: &str, sql: &str) -> Result<bool, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    // All of a text is parsed before its first statement runs, and this one ends it.
    let understood = client.simple_query(&format!("SELECT 1 / 0; {sql}")).await;
    let is_form = |error: &Error| {
        matches!(error.code(), Some(&SqlState::SYNTAX_ERROR | &SqlState::FEATURE_NOT_SUPPORTED))
    };
    let refused = match understood {
        Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
            client.batch_execute(LIMITS).await?;
            client.simple_query(sql).await.is_err_and(|error| is_form(&error))
        }
        Err(error) if error.code().is_some() => true,
        Err(error) => return Err(error),
        // It cannot be: but a text that ends the division is no text to judge by.
        Ok(_) => false,
    };
    connection.abort();
    Ok(refused)
}
