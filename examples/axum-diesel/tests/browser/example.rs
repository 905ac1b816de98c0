//! The example as a user starts it.

use std::process::Stdio;

use rr_tests::guarded::{Ending, Guarded};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::{PATIENCE, Result};

pub(crate) struct Example {
    process: Guarded,
    /// Where its instances are.
    pub(crate) urls: Vec<String>,
}

impl Example {
    /// Boots servers, and so many instances on free ports.
    pub(crate) async fn start(instances: u16) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rr-axum-diesel"));
        command.args(["--cluster", "--port", "0", "--instances", &instances.to_string()]);
        // What another application is configured by.
        for name in ["RR_PRIMARY_URL", "RR_REPLICA_URLS", "DATABASE_URL"] {
            command.env_remove(name);
        }
        let mut process = Guarded::start(
            {
                command.stdout(Stdio::piped());
                command
            },
            Ending::Asked,
        )?;
        let mut said = BufReader::new(process.stdout().ok_or("no standard output")?).lines();
        let mut urls = Vec::new();
        let ready = async {
            while let Some(line) = said.next_line().await? {
                if line == "ready" {
                    return Result::Ok(());
                }
                urls.extend(
                    line.strip_prefix("instance ").and_then(|line| Some(line.split_once(' ')?.1.to_owned())),
                );
            }
            Err("the example has ended".into())
        };
        tokio::time::timeout(PATIENCE, ready).await.map_err(|_| "the example is not ready")??;
        // What it says from now on is for people, and must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Ok(Self { process, urls })
    }

    pub(crate) async fn stop(self) -> Result {
        Ok(self.process.end().await?)
    }
}
