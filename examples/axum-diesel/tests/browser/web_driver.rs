//! A browser, driven as W3C WebDriver says: HTTP and JSON, of which a test needs ten requests.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use rr_example::Client;
use rr_tests::guarded::{Ending, Guarded};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::{PATIENCE, Result};

/// The key under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const ABSENT: &str = "Chromium and its driver are needed to look at the page: install them (Debian: `apt-get install chromium \
                      chromium-driver`, Ubuntu: Google Chrome and its driver, since snaps see no files of ours, Fedora: \
                      chromium and chromedriver, Homebrew: `brew install --cask chromium chromedriver`), or let \
                      RR_TEST_CHROMIUM and RR_TEST_CHROMEDRIVER name the two programs";

/// Where systems that keep them off the PATH have them.
const BROWSERS: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const DRIVERS: [&str; 3] =
    ["chromedriver", "/usr/lib/chromium-browser/chromedriver", "/usr/lib64/chromium-browser/chromedriver"];

/// Whether there is no browser to be had; that nothing is looked at then is printed. `scripts/setup.sh` installs one where it can.
pub(crate) fn is_absent() -> bool {
    let absent = driver().is_none() || browser().is_none();
    if absent {
        println!("skipped: {ABSENT}");
    }
    absent
}

fn driver() -> Option<PathBuf> {
    program("RR_TEST_CHROMEDRIVER", &DRIVERS)
}

fn browser() -> Option<PathBuf> {
    program("RR_TEST_CHROMIUM", &BROWSERS)
}

/// A headless browser with a fresh profile.
pub(crate) struct Browser {
    client: Client,
    session: String,
    driver: Option<Guarded>,
    /// Removed when the browser has ended.
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Result<Self> {
        let driver = driver().ok_or(ABSENT)?;
        let browser = browser().ok_or(ABSENT)?;
        let profile = tempfile::Builder::new().prefix("rr-browser-").tempdir()?;
        let mut command = Command::new(driver);
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = Guarded::start(command, Ending::Killed(profile.path()))?;
        let mut said = BufReader::new(driver.stdout().ok_or("no standard output")?).lines();
        let port = async {
            while let Some(line) = said.next_line().await? {
                if let Some((_, port)) = line.rsplit_once("successfully on port ") {
                    return Result::Ok(port.trim_end_matches('.').parse::<u16>()?);
                }
            }
            Err("chromedriver has ended".into())
        };
        let port = tokio::time::timeout(PATIENCE, port).await.map_err(|_| "chromedriver says no port")??;
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let mut arguments: Vec<String> = [
            "--headless",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        // Its sandbox needs what root in a container does not have; it visits nothing but this example.
        arguments.push("--no-sandbox".to_owned());
        let options = json!({ "binary": browser, "args": arguments });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let mut made = Self {
            client: Client::new(),
            session: format!("http://127.0.0.1:{port}/session"),
            driver: Some(driver),
            _profile: profile,
        };
        let session = made.post("", json!({ "capabilities": { "alwaysMatch": wanted } })).await?;
        write!(made.session, "/{}", session["sessionId"].as_str().ok_or("a session")?)?;
        Ok(made)
    }

    pub(crate) async fn open(&self, url: &str) -> Result {
        self.post("/url", json!({ "url": url })).await.map(drop)
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Scrolls to what the selector finds, and presses it as a user would: it has to be in nobody's way.
    pub(crate) async fn press(&self, selector: &str) -> Result {
        let to = serde_json::to_string(selector)?;
        self.run(&format!(
            "document.querySelector({to})?.scrollIntoView({{ block: 'center', behavior: 'instant' }})"
        ))
        .await?;
        let element = self.find(selector).await?;
        self.post(&format!("/element/{element}/click"), json!({})).await.map(drop)
    }

    /// Types into what the selector finds. `\u{e007}` is Enter.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) -> Result {
        let element = self.find(selector).await?;
        self.post(&format!("/element/{element}/value"), json!({ "text": text })).await.map(drop)
    }

    /// Presses the Tab key.
    pub(crate) async fn tab(&self) -> Result {
        let strokes = ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": "\u{e004}" }));
        let keys = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("/actions", json!({ "actions": [keys] })).await.map(drop)
    }

    async fn find(&self, selector: &str) -> Result<String> {
        let found = self.post("/element", json!({ "using": "css selector", "value": selector })).await?;
        Ok(found[ELEMENT].as_str().ok_or("an element")?.to_owned())
    }

    /// How large the window is, and which colours the system prefers.
    pub(crate) async fn view(&self, width: u32, height: u32, colours: &str) -> Result {
        self.view_scaled(width, height, 1, colours).await
    }

    async fn view_scaled(&self, width: u32, height: u32, scale: u8, colours: &str) -> Result {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500 });
        self.tool("Emulation.setDeviceMetricsOverride", metrics).await?;
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": colours }] });
        self.tool("Emulation.setEmulatedMedia", feature).await.map(drop)
    }

    /// The system prefers that nothing moves.
    pub(crate) async fn calm(&self) -> Result {
        let feature = json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
        self.tool("Emulation.setEmulatedMedia", feature).await.map(drop)
    }

    /// A picture of the whole page, in this width and these colours.
    pub(crate) async fn picture(&self, file: &Path, width: u32, colours: &str) -> Result {
        self.view(width, 900, colours).await?;
        let height = self.run("return document.documentElement.scrollHeight").await?;
        let height = u32::try_from(height.as_u64().ok_or("a height")?)?;
        self.view_scaled(width, height, 2, colours).await?;
        // What has a new size is drawn with the picture of the screen after the next.
        let drawn = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))";
        self.post("/execute/async", json!({ "script": drawn, "args": [] })).await?;
        let shot = self.tool("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let png =
            base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().ok_or("a picture")?)?;
        tokio::fs::write(file, png).await?;
        println!("screenshot: {}", file.display());
        Ok(())
    }

    /// What the page has complained about on its console since the last look.
    pub(crate) async fn complaints(&self) -> Result<Vec<String>> {
        let entries = self.post("/se/log", json!({ "type": "browser" })).await?;
        let severe = entries.as_array().into_iter().flatten().filter(|entry| entry["level"] != "INFO");
        Ok(severe.map(|entry| entry["message"].to_string()).collect())
    }

    /// Ends the browser, and waits until it is gone.
    pub(crate) async fn quit(mut self) -> Result {
        self.ask(Method::DELETE, "", &Value::Null).await?;
        match self.driver.take() {
            Some(driver) => Ok(driver.end().await?),
            None => Ok(()),
        }
    }

    async fn tool(&self, command: &str, parameters: Value) -> Result<Value> {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::POST, path, &body).await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let url = format!("{}{path}", self.session);
        let answer = self.client.send(method, &url, HeaderMap::new(), body);
        let answer =
            tokio::time::timeout(PATIENCE, answer).await.map_err(|_| "the driver does not answer")??;
        let mut told: Value = serde_json::from_slice(&answer.body)?;
        let value = told["value"].take();
        match answer.status.is_success() {
            true => Ok(value),
            false => Err(format!("{path}: {}: {}", value["error"], value["message"]).into()),
        }
    }
}

/// The program that a variable names, or the first of these that there is.
fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os(variable).map(PathBuf::from);
    let found = |name: &&str| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    named.or_else(|| names.iter().find_map(found))
}
