//! A real Prometheus, on a free port and in a folder of its own, and promtool.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::guarded::{Ending, Guarded};
use crate::wait::{PATIENCE, WaitError, wait_until};

mod programs;

pub use programs::promtool;

/// Prometheus does not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrometheusError {
    /// Its programs are not there.
    #[error(
        "Prometheus and promtool are needed to look at the metrics: run `scripts/setup.sh prometheus`, or install them \
         (Debian, Ubuntu and Arch: prometheus, Fedora: golang-github-prometheus, Homebrew: `brew install prometheus`), \
         or let RR_TEST_PROMETHEUS and RR_TEST_PROMTOOL name the two programs"
    )]
    Absent,
    /// It cannot be started, or spoken to.
    #[error("Prometheus cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// It has ended instead of listening.
    #[error("Prometheus has ended:\n{0}")]
    Ended(String),
    /// It does not get ready.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Its answer is not understood, or it refused to give one.
    #[error("Prometheus answers {path} with {answer}")]
    Answer {
        /// What was asked.
        path: String,
        /// What it said.
        answer: String,
    },
    /// What promtool has against what it was shown.
    #[error("promtool says:\n{0}")]
    NotContent(String),
}

/// It scrapes an application, and evaluates the alerts of `deploy/`, as fast as it can.
#[derive(Debug)]
pub struct Prometheus {
    address: String,
    _process: Guarded,
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes this address. Its alerts lack the patience that they have with trouble that goes away by itself.
    ///
    /// # Errors
    /// When it is not there or does not get ready.
    pub async fn start(target: &str) -> Result<Self, PrometheusError> {
        let folder = tempfile::Builder::new().prefix("rr-prometheus-").tempdir()?;
        let deployed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/rules.yml");
        let rules = tokio::fs::read_to_string(deployed).await?;
        let rules: Vec<_> = rules.lines().filter(|line| !line.trim_start().starts_with("for: ")).collect();
        tokio::fs::write(folder.path().join("rules.yml"), rules.join("\n")).await?;
        let settings = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: app\n    static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        tokio::fs::write(&settings, text).await?;
        let mut command = Command::new(programs::program("RR_TEST_PROMETHEUS", "prometheus")?);
        command.arg(format!("--config.file={}", settings.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Guarded::start(command, Ending::Killed(folder.path()))?;
        let stderr = process.stderr().ok_or_else(|| PrometheusError::Ended(String::new()))?;
        let mut said = BufReader::new(stderr).lines();
        let mut all = String::new();
        let listening = async {
            while let Some(line) = said.next_line().await? {
                all.push_str(&line);
                all.push('\n');
                if line.contains("Listening on") {
                    let address = line.split_once("address=").map(|(_, rest)| rest.trim_matches('"'));
                    return Ok(address.map(str::to_owned));
                }
            }
            Ok::<_, std::io::Error>(None)
        };
        let listening = tokio::time::timeout(PATIENCE, listening).await;
        let address = listening.map_err(|slow| PrometheusError::Io(slow.into()))??;
        let address = address.ok_or(PrometheusError::Ended(all))?;
        // What it says from now on must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let this = Self { address, _process: process, _folder: folder };
        let ready = async || Ok::<_, PrometheusError>(this.get("/-/ready").await?.0 == "200");
        wait_until(PATIENCE, "Prometheus to be ready", ready).await?;
        Ok(this)
    }

    /// The status, and the body.
    async fn get(&self, path: &str) -> Result<(String, String), PrometheusError> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let asked = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        match answer.split_once("\r\n\r\n") {
            Some((_, body)) => Ok((status, body.to_owned())),
            None => Err(PrometheusError::Answer { path: path.to_owned(), answer }),
        }
    }

    /// What its HTTP API answers: an array under this name.
    async fn api(&self, path: &str, name: &str) -> Result<Vec<Value>, PrometheusError> {
        let (status, answer) = self.get(&format!("/api/v1/{path}")).await?;
        let json: Option<Value> = serde_json::from_str(&answer).ok().filter(|_| status == "200");
        let found = json.as_ref().and_then(|json| json["data"][name].as_array());
        found.cloned().ok_or_else(|| PrometheusError::Answer { path: path.to_owned(), answer })
    }

    /// The alerts that fire, by name, with the value of one of their labels.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn firing(&self, label: &str) -> Result<Vec<(String, String)>, PrometheusError> {
        let alerts = self.api("alerts", "alerts").await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let named = |alert: &Value| (text(&alert["labels"]["alertname"]), text(&alert["labels"][label]));
        Ok(alerts.iter().filter(|alert| alert["state"] == "firing").map(named).collect())
    }

    /// The value that an expression has now, if it has exactly one.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn query(&self, expression: &str) -> Result<Option<f64>, PrometheusError> {
        let escaped = expression.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let found = self.api(&format!("query?query={escaped}"), "result").await?;
        let [one] = &found[..] else { return Ok(None) };
        Ok(one["value"][1].as_str().and_then(|value| value.parse().ok()))
    }
}
