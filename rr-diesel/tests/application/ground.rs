//! Databases for the application, and what the servers say about who served it.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use rr_core::Config;
use rr_core::config::ReadPreference;
use rr_tests::cluster::{Cluster, Node};
use rr_tests::wait::wait_until;

pub(crate) type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("tests/application/migrations");

pub(crate) const fn migrations() -> EmbeddedMigrations {
    MIGRATIONS
}

const PATIENCE: Duration = Duration::from_secs(20);

/// What the replicas do while the application runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replicas {
    /// They follow as fast as they can, and what they have not got yet the primary serves.
    Follow,
    /// They have the tables, and nothing that is written from then on.
    Stand,
    /// Reads wait for them, however long it takes: a read that is too early is not hidden by going to the primary.
    AreAwaited,
}

/// A primary and two standbys.
pub(crate) struct Ground {
    cluster: Cluster,
    replicas: Replicas,
}

/// A database of its own for one variant of the application.
pub(crate) struct Database<'a> {
    ground: &'a Ground,
    name: &'static str,
}

impl Ground {
    pub(crate) async fn boot(replicas: Replicas) -> Result<Self> {
        Ok(Self { cluster: Cluster::builder().replicas(2).start().await?, replicas })
    }

    pub(crate) async fn database(&self, name: &'static str) -> Result<Database<'_>> {
        self.cluster.primary().admin_sql(&format!("CREATE DATABASE {name} OWNER app")).await?;
        self.cluster.wait_caught_up(PATIENCE).await?;
        Ok(Database { ground: self, name })
    }
}

impl Database<'_> {
    /// The URL of the primary.
    pub(crate) fn url(&self) -> String {
        self.at(&self.ground.cluster.primary().url())
    }

    /// The URLs of all nodes, the primary's first.
    pub(crate) fn urls(&self) -> String {
        let each: Vec<_> = self.ground.cluster.nodes().iter().map(|node| self.at(&node.url())).collect();
        each.join(",")
    }

    pub(crate) fn config(&self) -> Result<Config> {
        let mut config = Config::builder().primary(self.url().as_str());
        for replica in self.ground.cluster.replicas() {
            config = config.replica(self.at(&replica.url()).as_str());
        }
        if self.ground.replicas == Replicas::AreAwaited {
            config = config.with(|config| {
                config.read_preference = ReadPreference::Replica;
                config.causal_wait = PATIENCE;
            });
        }
        Ok(config.build()?)
    }

    pub(crate) fn replicas(&self) -> Replicas {
        self.ground.replicas
    }

    fn at(&self, url: &str) -> String {
        let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    /// To be called when the tables are there, before the story begins.
    pub(crate) async fn is_ready(&self) -> Result {
        self.ground.cluster.wait_caught_up(PATIENCE).await?;
        for replica in self.ground.cluster.replicas() {
            if self.ground.replicas == Replicas::Stand {
                replica.pause_replay().await?;
            }
        }
        Ok(())
    }

    /// Waits until the variant's reads are on a standby, if they are to get there; `look` asks the server that answers.
    pub(crate) async fn wait_for_replicas(&self, look: impl AsyncFn() -> Result<bool>) -> Result {
        let replicas = self.replicas();
        if replicas != Replicas::Follow {
            assert_eq!(look().await?, replicas == Replicas::AreAwaited, "{}", self.name);
            return Ok(());
        }
        Ok(wait_until(PATIENCE, "reads on a standby", || look()).await?)
    }

    /// To be called when all connections of the story were given up: the servers say who served it.
    pub(crate) async fn check(&self, visits: i32) -> Result {
        let cluster = &self.ground.cluster;
        let (mut by_primary, mut by_replicas) = (Scans::default(), Scans::default());
        for node in cluster.nodes() {
            let scans = self.scans(node).await?;
            let sum =
                if node.name() == cluster.primary().name() { &mut by_primary } else { &mut by_replicas };
            *sum = Scans { visits: sum.visits + scans.visits, others: sum.others + scans.others };
        }
        let told = format!("{}: primary {by_primary:?}, replicas {by_replicas:?}", self.name);
        let all = i64::from(visits);
        match self.ground.replicas {
            Replicas::Follow => {
                assert!(by_primary.visits + by_replicas.visits >= all, "{told}");
                assert!(by_replicas.visits > 0, "{told}");
            }
            Replicas::Stand => {
                assert!(by_primary.visits >= all, "{told}");
                assert_eq!(by_replicas.visits, 0, "{told}");
            }
            Replicas::AreAwaited => {
                assert!(by_replicas.visits >= all && by_replicas.others > all, "{told}");
                assert_eq!(by_primary.visits, 0, "{told}");
            }
        }
        for replica in cluster.replicas() {
            if self.ground.replicas == Replicas::Stand {
                replica.resume_replay().await?;
            }
        }
        Ok(())
    }

    /// How often a server has looked through the application's tables, once the sessions that did so have reported it.
    async fn scans(&self, node: &Node) -> Result<Scans> {
        let sessions = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.name
        );
        let ended =
            async || Ok::<_, rr_tests::cluster::ClusterError>(node.admin_query_text(&sessions).await? == "0");
        wait_until(PATIENCE, "all sessions to end", ended).await?;
        let mut conn = AsyncPgConnection::establish(&self.at(&node.direct_url())).await?;
        let sums = "SELECT coalesce(sum(seq_scan) FILTER (WHERE relname = 'visit'), 0)::bigint AS visits, \
                    coalesce(sum(seq_scan + coalesce(idx_scan, 0)) FILTER (WHERE relname <> 'visit'), 0)::bigint AS others \
                    FROM pg_stat_user_tables";
        Ok(sql_query(sums).get_result(&mut conn).await?)
    }
}

#[derive(Debug, Default, QueryableByName)]
struct Scans {
    #[diesel(sql_type = BigInt)]
    visits: i64,
    #[diesel(sql_type = BigInt)]
    others: i64,
}

/// Compares chapter by chapter, so that a difference says where it is.
pub(crate) fn same(variant: &str, told: &crate::models::Story, expected: &crate::models::Story) {
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!(told, expected, "{variant}");
    }
    assert_eq!(told.len(), expected.len(), "{variant}");
}
