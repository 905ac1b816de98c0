//! Database URLs: which are accepted, what server they speak of, how they print.

use crate::config::{DatabaseUrl, UrlError};
use crate::engine::Engine;

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn scheme_names_the_engine() {
    let rows = [
        ("postgres://h/d", Engine::Postgres),
        ("postgresql://h/d", Engine::Postgres),
        ("POSTGRES://h/d", Engine::Postgres),
        ("mysql://h/d", Engine::MySql),
        ("mariadb://h/d", Engine::MariaDb),
        ("sqlite::memory:", Engine::Sqlite),
        ("sqlite:data.db", Engine::Sqlite),
        ("sqlite://data.db?mode=ro", Engine::Sqlite),
    ];
    for (text, engine) in rows {
        assert_eq!(url(text).engine(), Some(engine), "{text}");
    }
}

#[test]
fn endpoint_is_normalised() {
    let rows = [
        ("postgres://DB-1.Example/d", "db-1.example:5432"),
        ("postgres://u:p@db-1:6432/d", "db-1:6432"),
        ("postgres:///d", "localhost:5432"),
        ("postgres://", "localhost:5432"),
        ("mysql://u@h", "h:3306"),
        ("mariadb://h/d", "h:3306"),
        ("postgres://[::1]/d", "[::1]:5432"),
        ("postgres://[0:0:0:0:0:0:0:1]:5432/d", "[::1]:5432"),
        ("postgres://h/d?host=other&port=6000", "other:6000"),
        ("postgres://h/d?host=other&hostaddr=10.0.0.7", "10.0.0.7:5432"),
        ("postgres://%2Fvar%2Frun%2Fpostgresql/d", "/var/run/postgresql:5432"),
        ("postgres:///d?host=/var/run/postgresql", "/var/run/postgresql:5432"),
        ("postgres://u:p@/d?host=/cloudsql/p:r:i", "/cloudsql/p:r:i:5432"),
        ("mysql://u@localhost/d?socket=/run/mysqld.sock", "/run/mysqld.sock:3306"),
        ("sqlite:///var/lib/a.db", "/var/lib/a.db"),
        ("sqlite://a.db", "a.db"),
        ("sqlite::memory:", ":memory:"),
    ];
    for (text, endpoint) in rows {
        assert_eq!(url(text).endpoint().unwrap().to_string(), endpoint, "{text}");
    }
}

#[test]
fn same_server_ignores_everything_but_the_server() {
    let same = [
        ("postgres://a:b@Host/x", "postgresql://c@host:5432/y?sslmode=require"),
        ("postgres://[::1]/x", "postgres://[0::1]/x"),
        ("postgres:///x", "postgres://localhost/x"),
        ("postgres://h/x?host=other", "postgres://other/x"),
    ];
    for (a, b) in same {
        assert!(url(a).same_server(&url(b)), "{a} {b}");
    }
    let different = [("postgres://h/x", "postgres://h:5433/x"), ("postgres://h/x", "postgres://i/x")];
    for (a, b) in different {
        assert!(!url(a).same_server(&url(b)), "{a} {b}");
    }
    assert!(!DatabaseUrl::default().same_server(&DatabaseUrl::default()));
}

#[test]
fn what_is_no_database_url_is_refused() {
    let malformed = |text: &str| UrlError::Malformed(::url::Url::parse(text).unwrap_err());
    let rows = [
        ("", UrlError::Empty),
        ("  \n", UrlError::Empty),
        ("db-1", UrlError::NoScheme),
        ("db-1:5432/shop", UrlError::NoScheme),
        ("user:password@db-1/shop", UrlError::NoScheme),
        ("postgres:db-1", UrlError::NoScheme),
        ("postgers://h/d", UrlError::NoScheme),
        ("http://h/d", UrlError::NoScheme),
        ("postgres://h/a b", UrlError::ControlCharacter),
        ("postgres://h/a\nb", UrlError::ControlCharacter),
        ("postgres://h%0Aost/d", UrlError::ControlCharacter),
        ("postgres://h1,h2/d", UrlError::SeveralHosts),
        ("postgres://u:p,q@h1:5432,h2:5432/d", UrlError::SeveralHosts),
        ("postgres:///d?host=h1,h2", UrlError::SeveralHosts),
        ("postgres://h/d#x", UrlError::Fragment),
        ("sqlite://a#b.db", UrlError::Fragment),
        ("postgres://u:12/34@h/d", UrlError::MisplacedAt),
        ("postgres://u:12?34@h/d", UrlError::MisplacedAt),
        ("postgres://u:12#34@h/d", UrlError::MisplacedAt),
        ("postgres://u@h/d?password=p@ss", UrlError::MisplacedAt),
        ("postgres://h/d?a%20b=c", UrlError::ParameterName),
        ("postgres://h/d?port=x", UrlError::Port),
        ("postgres://h:0/d", UrlError::Port),
        ("postgres://h/d?sslmode=maybe", UrlError::SslMode),
        ("postgres://h:70000/d", malformed("postgres://h:70000/d")),
        ("postgres://[::g]/d", malformed("postgres://[::g]/d")),
        ("postgres://:5432/d", malformed("postgres://:5432/d")),
    ];
    for (text, error) in rows {
        assert_eq!(DatabaseUrl::parse(text), Err(error), "{text}");
    }
}

#[test]
fn only_the_driver_sees_the_text() {
    let rows = [
        ("postgres://u:p%40ss@h:6432/d?sslmode=require", "postgres://u:***@h:6432/d?sslmode=require"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("postgres://:p@h/d", "postgres://:***@h/d"),
        ("postgres://u:@h/d", "postgres://u@h/d"),
        ("postgres://h/d?PassWord=p&a=b", "postgres://h/d?PassWord=***&a=b"),
        ("postgres://h/d?p%61ssword=p", "postgres://h/d?p%61ssword=***"),
        ("postgres://h/d?sslkey=/k.pem&sslpassword=p", "postgres://h/d?sslkey=***&sslpassword=***"),
        ("mysql://u:p@h/d?ssl-key=k", "mysql://u:***@h/d?ssl-key=***"),
        ("sqlite://a.db?key=p", "sqlite://a.db?key=***"),
        ("sqlite::memory:", "sqlite::memory:"),
    ];
    for (text, redacted) in rows {
        let url = url(&format!("  {text}\n"));
        assert_eq!(url.expose(), text);
        assert_eq!(url.to_string(), redacted);
        assert_eq!(format!("{url:?}"), format!("DatabaseUrl({redacted:?})"));
        assert_eq!(serde_json::to_value(&url).unwrap(), redacted);
    }
}

#[test]
fn a_url_for_another_user_is_of_the_same_database() {
    let password = crate::config::Secret::from("p@ss/word");
    for (url, other) in [
        (
            "postgres://app:old@db-1:5433/shop?sslmode=require",
            "postgres://boss:***@db-1:5433/shop?sslmode=require",
        ),
        ("postgres://app@db-1", "postgres://boss:***@db-1/app"),
        ("postgres://db-1/shop?user=app&password=old", "postgres://boss:***@db-1/shop"),
        ("postgres://app@/shop?host=/socket", "postgres://boss:***@localhost/shop?host=/socket"),
    ] {
        let url = DatabaseUrl::parse(url).unwrap();
        let boss = url.as_user("boss", Some(&password)).unwrap();
        assert_eq!(boss.to_string(), other);
        assert!(boss.same_database(&url), "{url}");
        assert!(boss.expose().contains("p%40ss%2Fword") && !boss.expose().contains("old"));
    }
}
