//! Keeps what is known of timelines in a file.
//!
//! It is written beside, and then put in its place: whoever reads it finds the old text or the new one. It is written by a
//! task of its own, one version at a time, the newest; nobody waits for it but the end of the worker.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{StartError, StateError};
use crate::world::Memory;

/// A file that could not be written is tried again after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes what it is given; without a file, nowhere.
pub(super) struct Keeper(Option<Writer>);

struct Writer {
    newest: watch::Sender<Option<Memory>>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Reads what an earlier process has kept, and begins to keep.
    pub(super) fn open(path: Option<&Path>) -> Result<(Self, Option<Memory>), StartError> {
        let Some(path) = path else { return Ok((Self(None), None)) };
        let memory = read(path).map_err(|source| StartError::State { path: path.to_owned(), source })?;
        let (newest, changes) = watch::channel(None);
        let task = tokio::spawn(write_changes(path.to_owned(), changes));
        Ok((Self(Some(Writer { newest, task })), memory))
    }

    pub(super) fn keep(&self, memory: Memory) {
        if let Some(writer) = &self.0 {
            writer.newest.send_replace(Some(memory));
        }
    }

    /// Ends when everything is written that can be.
    pub(super) async fn end(&mut self) {
        if let Some(Writer { newest, task }) = self.0.take() {
            drop(newest);
            drop(task.await);
        }
    }
}

fn read(path: &Path) -> Result<Option<Memory>, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Memory::from_text(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match folder(path).is_dir() {
            true => Ok(None),
            false => Err(StateError::NoFolder),
        },
        Err(error) => Err(StateError::Unreadable(error)),
    }
}

async fn write_changes(path: PathBuf, mut changes: watch::Receiver<Option<Memory>>) {
    // What was not seen when the other end is dropped is a change as well.
    while changes.changed().await.is_ok() {
        let Some(memory) = changes.borrow_and_update().clone() else { continue };
        let to = path.clone();
        match tokio::task::spawn_blocking(move || write(&to, memory)).await {
            Ok(Ok(())) => tracing::debug!(target: "rr", path = %path.display(), "timelines are kept"),
            Ok(Err(error)) => {
                tracing::error!(target: "rr", path = %path.display(), %error, "failover.state_file: cannot be written");
                let ended = matches!(tokio::time::timeout(AGAIN, changes.changed()).await, Ok(Err(_)));
                if !ended {
                    changes.mark_changed();
                }
            }
            Err(error) => tracing::error!(target: "rr", %error, "failover.state_file: its writer panicked"),
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Puts a text in the file's place that has what is there as well: several processes may share it.
fn write(path: &Path, memory: Memory) -> io::Result<()> {
    let memory = match read(path) {
        Ok(Some(there)) if there.system == memory.system => memory.join(&there),
        _ => memory,
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}-{:x}", std::process::id(), fastrand::u64(..)));
    let beside = PathBuf::from(beside);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(memory.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written?;
    // The new name is durable when its folder is; not every system lets a folder be opened.
    File::open(folder(path)).map_or(Ok(()), |folder| folder.sync_all())
}
