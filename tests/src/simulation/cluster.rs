//! All simulated servers, the links between them, and what an operator does with them.

use std::time::Duration;

use rr_core::time::Moment;

use super::server::{Replay, Server};
use super::wal::{BranchId, Content, Wal};

/// The links of one server that can be cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Links {
    /// To the monitor.
    pub(super) monitor: bool,
    /// To the application's own connections.
    pub(super) clients: bool,
    /// To the other servers.
    pub(super) peers: bool,
}

/// The truth.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) wal: Wal,
    pub(super) servers: Vec<Server>,
    pub(super) cut: Vec<Links>,
    /// History files are archived where every server finds them, so that no timeline number is used twice.
    pub(super) archive: bool,
    /// How long a WAL receiver stays when its primary has fallen silent.
    pub(super) receiver_timeout: Duration,
    /// The identity of the real cluster.
    pub(super) system: u64,
    /// The highest timeline of the real cluster.
    pub(super) highest: u32,
}

impl Cluster {
    /// A primary and its standbys.
    pub(super) fn new(
        system: u64,
        timeline: u32,
        standbys: usize,
        archive: bool,
        receiver_timeout: Duration,
    ) -> Self {
        let mut wal = Wal::default();
        let branch = wal.create(timeline);
        let primary = Server::primary(system, &wal, branch);
        let standby = Server::standby(system, &wal, primary.content, Some(0));
        let mut servers = vec![primary];
        servers.resize(standbys + 1, standby);
        let cut = vec![Links::default(); servers.len()];
        Self { wal, servers, cut, archive, receiver_timeout, system, highest: timeline }
    }

    /// A server of another cluster; it takes the place of one of ours.
    pub(super) fn foreign(&mut self, timeline: u32, writable: bool) -> Server {
        let branch = self.wal.create(timeline);
        let content = self.wal.append(branch, 5_000, None);
        if writable {
            Server::primary(self.system + 1, &self.wal, branch)
        } else {
            Server::standby(self.system + 1, &self.wal, content, None)
        }
    }

    /// The running primary of the highest timeline: the right one.
    pub(super) fn leader(&self) -> Option<usize> {
        let primaries = (0..self.servers.len()).filter(|&index| {
            let server = &self.servers[index];
            server.alive && server.writable && server.system == self.system
        });
        primaries.max_by_key(|&index| (self.timeline(index), std::cmp::Reverse(index)))
    }

    pub(super) fn timeline(&self, server: usize) -> u32 {
        self.wal.timeline(self.servers[server].content.branch)
    }

    /// Whether another branch of the same cluster bears the same number.
    pub(super) fn has_twin(&self, branch: BranchId) -> bool {
        self.wal.named(self.wal.timeline(branch), branch).nth(1).is_some()
    }

    /// Writes on a primary.
    pub(super) fn write(&mut self, server: usize, size: u64, commit: Option<Moment>) -> Content {
        let primary = &mut self.servers[server];
        let end = self.wal.append(primary.content.branch, size, commit);
        primary.content = end;
        primary.received = end;
        end
    }

    /// One step of a standby: what its upstream has streams in, and some of it is applied.
    pub(super) fn replicate(&mut self, server: usize, records: usize, now: Moment) {
        if !self.servers[server].alive || self.servers[server].writable {
            return;
        }
        self.stream(server, now);
        let standby = &mut self.servers[server];
        match standby.replay {
            Replay::Prompt => standby.apply(&self.wal, records),
            Replay::Slow => standby.apply(&self.wal, 1),
            Replay::Paused => {}
        }
    }

    fn stream(&mut self, server: usize, now: Moment) {
        let standby = &self.servers[server];
        // Whoever is to be a primary receives no more, whatever it is told.
        let Some(upstream) = standby.upstream.filter(|_| !standby.ending) else { return };
        self.servers[server].tried_to_receive = true;
        let (standby, source) = (&self.servers[server], &self.servers[upstream]);
        let cut = self.cut[server].peers || self.cut[upstream].peers;
        if cut {
            return;
        }
        if !source.alive || source.system != standby.system || upstream == server {
            // The connection is reset at once.
            self.servers[server].receiver_until = now;
            return;
        }
        // A server streams what the standby lacks only when the standby's log is a beginning of its own; and who has the
        // history of a newer timeline follows that one.
        let is_behind = source.known_timeline < standby.known_timeline;
        if is_behind || !self.wal.includes(source.content, standby.received) {
            self.servers[server].receiver_until = now;
            return;
        }
        let (content, known) = (source.content, source.known_timeline);
        let standby = &mut self.servers[server];
        standby.received = content;
        standby.receiver_until = now + self.receiver_timeout;
        standby.known_timeline = standby.known_timeline.max(known);
    }

    /// Has a running standby begin to be a primary; whether that was possible.
    pub(super) fn promote(&mut self, server: usize) -> bool {
        let standby = &mut self.servers[server];
        if !standby.alive || standby.writable || standby.ending || standby.system != self.system {
            return false;
        }
        let known = if self.archive { self.highest } else { 0 };
        standby.begin(&mut self.wal, known);
        self.highest = self.highest.max(self.timeline(server));
        true
    }

    /// Has it leave recovery.
    pub(super) fn end_recovery(&mut self, server: usize) {
        self.servers[server].end(&mut self.wal);
    }

    /// Makes a server a standby of `upstream`, rewound or copied from `records` before the end of what that holds.
    pub(super) fn rebuild(&mut self, server: usize, upstream: usize, records: usize) {
        let source = &self.servers[upstream];
        let content = self.wal.back(source.content, records);
        let (system, known) = (source.system, source.known_timeline);
        let standby = &mut self.servers[server];
        standby.load(&self.wal, content);
        standby.system = system;
        standby.known_timeline = known;
        standby.writable = false;
        standby.upstream = Some(upstream);
        standby.replay = Replay::Prompt;
        standby.start(&self.wal, false);
    }

    /// Whether a standby could go on from where it is by following `upstream`.
    pub(super) fn can_follow(&self, server: usize, upstream: usize) -> bool {
        self.wal.includes(self.servers[upstream].content, self.servers[server].received)
    }
}
