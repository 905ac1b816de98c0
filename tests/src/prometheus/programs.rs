//! Where this machine has Prometheus' programs, and what promtool says.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::PrometheusError;

/// What the environment names, else what is on the `PATH`, else what `scripts/setup.sh` has unpacked below the folder that the
/// running test is in.
pub(super) fn program(variable: &str, name: &str) -> Result<PathBuf, PrometheusError> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).map(|folder| folder.join(name));
    let test = std::env::current_exe()?;
    let unpacked = test.ancestors().map(|folder| folder.join("tools/prometheus/usr/bin").join(name));
    let mut found = named.into_iter().chain(folders).chain(unpacked);
    found.find(|program| program.is_file()).ok_or(PrometheusError::Absent)
}

/// Runs promtool in a folder, with this input, and says what it has said.
///
/// # Errors
/// What it has to say when it is not content.
pub async fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Result<String, PrometheusError> {
    let mut command = Command::new(program("RR_TEST_PROMTOOL", "promtool")?);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn()?;
    if let Some(mut stdin) = running.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let Output { status, stdout, stderr } = running.wait_with_output().await?;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(said) } else { Err(PrometheusError::NotContent(said)) }
}
