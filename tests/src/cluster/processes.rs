//! The processes of a server, found by their parent and told apart by their titles.

use std::io;

use rustix::process::{Pid, Signal, kill_process};

/// A child of a postmaster.
#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    /// What `ps` shows, such as `postgres: replica-1: walreceiver streaming 0/3000148`.
    title: String,
}

/// A part of a server that a signal can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The postmaster alone: while it is stopped, TCP accepts (the kernel does) and the handshake hangs;
    /// existing sessions go on.
    Postmaster,
    /// The backends of clients: their sessions hang while the kernel keeps every connection alive.
    Clients,
    /// The receiver of WAL on a standby; its sender still sees it `streaming`.
    WalReceiver,
    /// The senders of WAL to standbys.
    WalSenders,
    /// The process that replays WAL on a standby.
    Replay,
    /// The postmaster and all its children, as if the machine stood still.
    Everything,
}

impl Part {
    fn includes(self, title: &str) -> bool {
        match self {
            Self::Postmaster => false,
            Self::Everything => true,
            // Only the title of a backend, and of a WAL sender, has its client's address.
            Self::Clients => title.contains(" 127.0.0.1(") && !title.contains(" walsender "),
            Self::WalReceiver => title.contains(": walreceiver"),
            Self::WalSenders => title.contains(": walsender"),
            Self::Replay => title.contains(": startup"),
        }
    }
}

/// Sends `signal` to a part of the server of this postmaster, and says how many processes got it.
pub(crate) fn signal(postmaster: u32, part: Part, signal: Signal) -> io::Result<usize> {
    let postmaster = i32::try_from(postmaster).map_err(io::Error::other)?;
    let mut targets = Vec::new();
    if matches!(part, Part::Postmaster | Part::Everything) {
        // First, so that it starts no new children.
        targets.push(postmaster);
    }
    if part != Part::Postmaster {
        let children = all()?.into_iter().filter(|process| process.parent == postmaster);
        targets.extend(children.filter(|child| part.includes(&child.title)).map(|child| child.pid));
    }
    let reached = targets.into_iter().filter_map(Pid::from_raw);
    // A child may end between the look and the signal.
    Ok(reached.filter(|pid| kill_process(*pid, signal).is_ok()).count())
}

/// The sessions of a postmaster that wait for their clients.
pub(crate) fn idle_sessions(postmaster: u32) -> io::Result<Vec<i32>> {
    let postmaster = i32::try_from(postmaster).map_err(io::Error::other)?;
    let children = all()?.into_iter().filter(|process| process.parent == postmaster);
    Ok(children.filter(|child| is_idle(&child.title)).map(|child| child.pid).collect())
}

/// Whether any of these sessions still waits for its client.
pub(crate) fn any_idle(sessions: &[i32]) -> io::Result<bool> {
    let mut left = all()?.into_iter().filter(|process| sessions.contains(&process.pid));
    Ok(left.any(|session| is_idle(&session.title)))
}

fn is_idle(title: &str) -> bool {
    Part::Clients.includes(title) && title.trim_end().ends_with(" idle")
}

/// Every process of this machine that can be seen.
#[cfg(target_os = "linux")]
fn all() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // A process may end while we look at it.
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
        // `pid (name) state parent …`, where the name may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        let title = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let title = String::from_utf8_lossy(&title).replace('\0', " ");
        if let Some(parent) = parent {
            found.push(Process { pid, parent, title });
        }
    }
    Ok(found)
}

/// Every process of this machine that can be seen.
#[cfg(not(target_os = "linux"))]
fn all() -> io::Result<Vec<Process>> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,command="]).output()?;
    let parse = |line: &str| {
        let (pid, rest) = line.trim().split_once(' ')?;
        let (parent, title) = rest.trim().split_once(' ')?;
        Some(Process { pid: pid.parse().ok()?, parent: parent.parse().ok()?, title: String::from(title) })
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse).collect())
}

#[cfg(test)]
mod tests {
    use super::{Part, is_idle};

    #[test]
    fn parts_are_told_apart_by_title() {
        let client = "postgres: primary: app app 127.0.0.1(40000) idle ";
        let sender = "postgres: primary: walsender postgres 127.0.0.1(40001) streaming 0/3000148 ";
        let receiver = "postgres: replica-1: walreceiver streaming 0/3000148 ";
        let replay = "postgres: replica-1: startup recovering 000000010000000000000003 ";
        for (part, title) in [
            (Part::Clients, client),
            (Part::WalSenders, sender),
            (Part::WalReceiver, receiver),
            (Part::Replay, replay),
        ] {
            for other in [client, sender, receiver, replay] {
                assert_eq!(part.includes(other), other == title, "{part:?} {other}");
            }
            assert_eq!(is_idle(title), title == client);
            assert!(Part::Everything.includes(title));
            assert!(!Part::Postmaster.includes(title));
        }
    }
}
