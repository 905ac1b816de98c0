//! The tests that all examples have in common: they start the real program, with real servers, and talk HTTP to it.

pub mod crossing;
pub mod ending;
pub mod laboratory;
pub mod routes;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use hyper::body::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{BoxError, Client};

/// How a scenario ends.
pub type Result<T = ()> = std::result::Result<T, BoxError>;

/// For whatever a program on a busy machine does within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running example: its launcher and all that belongs to it.
pub(crate) struct Example {
    launcher: Child,
    /// The addresses of its instances.
    pub(crate) urls: Vec<String>,
    /// All that it said until it was ready, and a little more.
    pub(crate) said: Vec<String>,
}

impl Example {
    /// Starts the program with a cluster of its own and waits until all instances can be used.
    pub(crate) async fn start(program: &str, instances: usize) -> Result<Self> {
        let count = instances.to_string();
        Self::start_with(program, &["--cluster", "--port", "0", "--instances", &count], &[]).await
    }

    pub(crate) async fn start_with(
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut launcher = command.spawn()?;
        let mut lines = BufReader::new(launcher.stdout.take().ok_or("no standard output")?).lines();
        let (mut urls, mut said) = (Vec::new(), Vec::new());
        let starting = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(("instance", rest)) = line.split_once(' ') {
                    urls.extend(rest.split_once(' ').map(|(_, url)| url.to_owned()));
                }
                let is_ready = line == "ready";
                said.push(line);
                if is_ready {
                    return Ok(());
                }
            }
            Err::<(), BoxError>(format!("it ended before it was ready: {said:?}").into())
        };
        tokio::time::timeout(PATIENCE, starting).await??;
        // Nobody else reads what it says, and it must not be stopped by that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { launcher, urls, said })
    }

    /// Somebody who uses it, with a cookie jar of their own.
    pub(crate) fn browser(&self, client: &Client) -> Browser {
        Browser { client: client.clone(), urls: self.urls.clone(), jar: BTreeMap::new() }
    }

    fn pid(&self) -> Result<Pid> {
        let id = self.launcher.id().ok_or("the launcher has ended")?;
        Pid::from_raw(i32::try_from(id)?).ok_or_else(|| "no process has this number".into())
    }

    /// Ends it as Ctrl-C does, and waits until it has ended.
    pub(crate) async fn stop(mut self, signal: Signal) -> Result<std::process::ExitStatus> {
        kill_process(self.pid()?, signal)?;
        Ok(tokio::time::timeout(PATIENCE, self.launcher.wait()).await??)
    }
}

/// Somebody who uses an example: the cookies that they were given, and no other state.
#[derive(Clone)]
pub(crate) struct Browser {
    client: Client,
    urls: Vec<String>,
    jar: BTreeMap<String, String>,
}

impl Browser {
    /// Sends a request to an instance and takes in the cookies of the answer.
    pub(crate) async fn send(
        &mut self,
        instance: usize,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value)> {
        let (status, _, json) = self.send_with(instance, method, path, body, HeaderMap::new()).await?;
        Ok((status, json))
    }

    pub(crate) async fn send_with(
        &mut self,
        instance: usize,
        method: Method,
        path: &str,
        body: Option<Value>,
        mut headers: HeaderMap,
    ) -> Result<(StatusCode, HeaderMap, Value)> {
        if !self.jar.is_empty() {
            let cookies: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.insert(COOKIE, cookies.join("; ").parse()?);
        }
        let url = format!("{}{path}", self.urls[instance % self.urls.len()]);
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let answer = self.client.send(method, &url, headers, body).await?;
        for line in answer.headers.get_all(SET_COOKIE) {
            let (pair, attributes) = line.to_str()?.split_once(';').ok_or("a cookie has attributes")?;
            let (name, value) = pair.split_once('=').ok_or("a cookie has a name")?;
            if attributes.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let json = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok((answer.status, answer.headers, json))
    }

    /// What an instance shows; anything but a success is an error.
    pub(crate) async fn get(&mut self, instance: usize, path: &str) -> Result<Value> {
        let (status, json) = self.send(instance, Method::GET, path, None).await?;
        if status.is_success() { Ok(json) } else { Err(format!("GET {path}: {status} {json}").into()) }
    }

    /// Sends something; anything but a success is an error.
    pub(crate) async fn post(&mut self, instance: usize, path: &str, body: Value) -> Result<Value> {
        let (status, json) = self.send(instance, Method::POST, path, Some(body)).await?;
        if status.is_success() { Ok(json) } else { Err(format!("POST {path}: {status} {json}").into()) }
    }

    pub(crate) async fn log_in(&mut self, instance: usize, name: &str) -> Result {
        self.post(instance, "/login", json!({ "name": name })).await.map(drop)
    }

    /// Does something to a server in the laboratory.
    pub(crate) async fn experiment(&mut self, what: &str, body: Value) -> Result<Value> {
        self.post(0, &format!("/lab/{what}"), body).await
    }

    /// Somebody else, who has no cookie.
    pub(crate) fn stranger(&self) -> Self {
        Self { jar: BTreeMap::new(), ..self.clone() }
    }
}

/// Fails with this text unless it holds.
fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(text().into()) }
}

/// Waits until something holds.
async fn until(what: &str, mut check: impl AsyncFnMut() -> Result<bool>) -> Result {
    let looking = async {
        while !check().await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, looking).await.map_err(|_| format!("waited in vain for {what}"))?
}
