//! A lease in a file, for processes of one machine: a second implementation beside the core's own.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rr_core::failover::{BoxFuture, Grant, Lease, LeaseError};
use rr_core::time::Clock;

/// A lease in a file. The file has the token of its last holder and when it expires, on the machine's monotonic clock; a lock
/// on it makes each change one step.
#[derive(Debug)]
pub struct FileLease {
    path: PathBuf,
    lasts: Duration,
    clock: Clock,
}

/// The token that was granted last, and until when.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    token: u64,
    until: u64,
}

impl FileLease {
    /// A handle for the lease in this file, whose grants last so long.
    #[must_use]
    pub fn new(path: impl AsRef<Path>, lasts: Duration) -> Self {
        Self { path: path.as_ref().to_owned(), lasts, clock: Clock::of_process() }
    }

    /// Takes it away from whoever has it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn steal(&self) -> Result<(), LeaseError> {
        self.change(|entry, _| {
            *entry = Entry { token: entry.token + 1, until: u64::MAX };
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Entry, u64) -> T) -> Result<T, LeaseError> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(LeaseError::new)?;
        file.lock().map_err(LeaseError::new)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(LeaseError::new)?;
        let mut numbers = text.split(' ').map(|word| word.parse().unwrap_or_default());
        let mut entry =
            Entry { token: numbers.next().unwrap_or_default(), until: numbers.next().unwrap_or_default() };
        let result = change(&mut entry, self.clock.now().as_nanos());
        file.rewind().and_then(|()| file.set_len(0)).map_err(LeaseError::new)?;
        write!(file, "{} {}", entry.token, entry.until).map_err(LeaseError::new)?;
        Ok(result)
    }

    fn end(&self, now: u64) -> u64 {
        now.saturating_add(u64::try_from(self.lasts.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Lease for FileLease {
    fn acquire(&self) -> BoxFuture<'_, Result<Option<Grant>, LeaseError>> {
        Box::pin(async {
            self.change(|entry, now| {
                (entry.until <= now).then(|| {
                    *entry = Entry { token: entry.token + 1, until: self.end(now) };
                    Grant::new(entry.token, Some(self.lasts))
                })
            })
        })
    }

    fn renew(&self, grant: Grant) -> BoxFuture<'_, Result<Option<Grant>, LeaseError>> {
        Box::pin(async move {
            self.change(|entry, now| {
                (entry.token == grant.token && now < entry.until).then(|| {
                    entry.until = self.end(now);
                    grant
                })
            })
        })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async move {
            self.change(|entry, now| {
                if entry.token == grant.token {
                    entry.until = now;
                }
            })
        })
    }
}
