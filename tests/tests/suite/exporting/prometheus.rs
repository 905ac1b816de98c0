//! A real Prometheus, on a free port and in a folder of its own.

use std::path::Path;
use std::process::Stdio;

use http::Method;
use rr_tests::guarded::{Ending, Guarded};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Result, programs, wait};

pub(super) struct Prometheus {
    address: String,
    _process: Guarded,
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes this address, and evaluates these rules, as fast as it can.
    pub(super) async fn start(target: &str, rules: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rr-prometheus-").tempdir()?;
        let settings = folder.path().join("prometheus.yml");
        let rules = rules.canonicalize()?;
        let text = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: app\n    static_configs: [{{ targets: [\"{target}\"] }}]\n",
            rules.display()
        );
        tokio::fs::write(&settings, text).await?;
        let mut command = Command::new(programs::prometheus()?);
        command.arg(format!("--config.file={}", settings.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Guarded::start(command, Ending::Killed(folder.path()))?;
        let mut said = BufReader::new(process.stderr().ok_or("no standard error")?).lines();
        let mut all = String::new();
        let listening = async {
            while let Some(line) = said.next_line().await? {
                all.push_str(&line);
                all.push('\n');
                if line.contains("Listening on") {
                    return Ok(line
                        .split_once("address=")
                        .map(|(_, rest)| rest.trim_matches('"').to_owned()));
                }
            }
            Result::Ok(None)
        };
        let address =
            tokio::time::timeout(wait::PATIENCE, listening).await.map_err(|_| "it does not listen")??;
        let address = address.ok_or_else(|| format!("Prometheus has ended:\n{all}"))?;
        // What it says from now on must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let this = Self { address, _process: process, _folder: folder };
        wait::until("Prometheus to be ready", async || Ok(this.get("/-/ready").await?.0 == 200)).await?;
        Ok(this)
    }

    async fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let asked = format!("{} {path} HTTP/1.0\r\nHost: {}\r\n\r\n", Method::GET, self.address);
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let code = answer.split(' ').nth(1).ok_or("a status")?.parse()?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("a body")?;
        Ok((code, body.to_owned()))
    }

    /// What its HTTP API answers.
    async fn api(&self, path: &str) -> Result<Value> {
        let (code, body) = self.get(&format!("/api/v1/{path}")).await?;
        let mut json: Value = serde_json::from_str(&body)?;
        if code == 200 { Ok(json["data"].take()) } else { Err(format!("{path}: {code} {json}").into()) }
    }

    /// The alerts that fire, by name, with the value of one of their labels.
    pub(super) async fn firing(&self, label: &str) -> Result<Vec<(String, String)>> {
        let alerts = self.api("alerts").await?;
        let alerts = alerts["alerts"].as_array().ok_or("alerts")?.iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let named = |alert: &Value| (text(&alert["labels"]["alertname"]), text(&alert["labels"][label]));
        Ok(alerts.filter(|alert| alert["state"] == "firing").map(named).collect())
    }

    /// The value that an expression has now, if it has exactly one.
    pub(super) async fn query(&self, expression: &str) -> Result<Option<f64>> {
        let escaped = expression.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let answer = self.api(&format!("query?query={escaped}")).await?;
        match &answer["result"].as_array().ok_or("a result")?[..] {
            [one] => Ok(Some(one["value"][1].as_str().ok_or("a value")?.parse()?)),
            _ => Ok(None),
        }
    }
}
