//! Processes that end with the test, however it ends.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

/// What ends a process.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ending<'a> {
    /// It ends itself when it is asked to, and cleans up behind itself.
    Asked,
    /// It ends itself when it is asked to, and this folder of its is removed.
    AskedAndRemoved(&'a Path),
    /// It is killed, with all that it has started, and this folder of its is removed.
    Killed(&'a Path),
}

/// A process that ends when this is dropped, when the test panics, and when the test is killed: a shell waits for the end
/// of a pipe whose other end is here, and which the kernel closes in any case.
#[derive(Debug)]
pub struct Guarded {
    process: Child,
    guardian: std::process::Child,
}

impl Guarded {
    /// Starts it in a process group of its own, so that what it starts can be found.
    ///
    /// # Errors
    /// When it, or a shell, cannot be started.
    pub fn start(mut command: Command, ending: Ending<'_>) -> std::io::Result<Self> {
        let process = command.process_group(0).stdin(Stdio::null()).spawn()?;
        let pid = process.id().unwrap_or_default();
        let (signal, target, folder) = match ending {
            Ending::Asked => ("TERM", pid.to_string(), Path::new("")),
            Ending::AskedAndRemoved(folder) => ("TERM", pid.to_string(), folder),
            Ending::Killed(folder) => ("KILL", format!("-{pid}"), folder),
        };
        let script = "trap '' HUP INT TERM; read -r _; kill -s \"$1\" -- \"$2\"; \
                      [ -z \"$3\" ] || for _ in 1 2 3 4 5; do rm -rf -- \"$3\" && break; done; exit 0";
        let mut guardian = std::process::Command::new("/bin/sh");
        guardian.args(["-c", script, "guardian", signal, &target]).arg(folder);
        std::os::unix::process::CommandExt::process_group(&mut guardian, 0);
        let guardian = guardian.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { process, guardian })
    }

    /// What it writes to its standard output, if that is piped.
    pub const fn stdout(&mut self) -> Option<tokio::process::ChildStdout> {
        self.process.stdout.take()
    }

    /// What it writes to its standard error, if that is piped.
    pub const fn stderr(&mut self) -> Option<tokio::process::ChildStderr> {
        self.process.stderr.take()
    }

    /// Ends it and waits until it is gone.
    ///
    /// # Errors
    /// When somebody else has waited for it.
    pub async fn end(mut self) -> std::io::Result<()> {
        self.tell();
        self.process.wait().await.map(drop)
    }

    fn tell(&mut self) {
        drop(self.guardian.stdin.take());
        let _told = self.guardian.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.tell();
    }
}
