//! Where this machine has Prometheus' programs, and what promtool says.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Result;

const ABSENT: &str = "Prometheus and promtool are needed to look at the metrics: run `scripts/setup.sh prometheus`, or install them \
                      (Debian, Ubuntu and Arch: prometheus, Fedora: golang-github-prometheus, Homebrew: `brew install prometheus`), \
                      or let RR_PROMETHEUS and RR_PROMTOOL name the two programs";

pub(super) fn prometheus() -> Result<PathBuf> {
    program("RR_PROMETHEUS", "prometheus")
}

/// What the environment names, else what is on the `PATH`, else what `scripts/setup.sh` has unpacked.
fn program(variable: &str, name: &str) -> Result<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).map(|folder| folder.join(name));
    let unpacked =
        Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools/prometheus/usr/bin").join(name);
    let found = named.into_iter().chain(folders).chain([unpacked]).find(|program| program.is_file());
    Ok(found.ok_or(ABSENT)?)
}

/// Runs promtool in a folder. What it has to say is the error when it is not content.
pub(super) async fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(program("RR_PROMTOOL", "promtool")?);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn()?;
    let mut stdin = running.stdin.take().ok_or("no standard input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let Output { status, stdout, stderr } = running.wait_with_output().await?;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(said) } else { Err(format!("promtool {arguments:?}:\n{said}").into()) }
}
