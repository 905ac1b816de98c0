//! Servers that speak another language than ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::error::Result;
use super::template::run;
use super::{Builder, Cluster};

/// One that PostgreSQL is fully translated to.
const GERMAN: &str = "de_DE.UTF-8";

impl Builder {
    /// As [`start`](Self::start), with servers that speak German. `None` where they cannot, and why is printed.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_in_german(mut self) -> Result<Option<Cluster>> {
        self.german = true;
        match self.setting("lc_messages", GERMAN).start().await {
            Ok(cluster) => {
                let said = cluster.primary().sql("SELECT 1 / 0").await;
                let speaks = said.is_err_and(|error| format!("{error:?}").contains("Division durch Null"));
                if !speaks {
                    skipped("these server programs came without their translations");
                }
                Ok(speaks.then_some(cluster))
            }
            Err(error) if !has_locale() && !can_make_locales() => {
                skipped(&format!("there is no locale {GERMAN}, and none can be made (`locales`): {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that proves less has to say so")]
fn skipped(why: &str) {
    eprintln!("skipped: no server speaks German here: {why}");
}

/// Where the servers find the locale if the system does not have it: made in the cluster's folder.
pub(crate) fn german(account: &Account, folder: &Path) -> Result<Option<PathBuf>> {
    if has_locale() {
        return Ok(None);
    }
    let script = "mkdir locales && localedef --no-archive -i de_DE -f UTF-8 \"locales/$1\"";
    run(account.shell(script, [GERMAN]).current_dir(folder), "")?;
    Ok(Some(folder.join("locales")))
}

/// Lets a server speak German.
pub(crate) fn speak_german(command: &mut Command, locales: Option<&Path>) {
    command.env("LANGUAGE", "de");
    if let Some(folder) = locales {
        command.env("LOCPATH", folder);
    }
}

fn has_locale() -> bool {
    let listed = Command::new("locale").arg("-a").stdin(Stdio::null()).output();
    let is_it = |name: &str| name.replace('-', "").eq_ignore_ascii_case("de_DE.utf8");
    listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).lines().any(is_it))
}

fn can_make_locales() -> bool {
    let made = Command::new("localedef").arg("--help").stdin(Stdio::null()).output();
    made.is_ok_and(|made| made.status.success()) && Path::new("/usr/share/i18n/locales/de_DE").exists()
}
