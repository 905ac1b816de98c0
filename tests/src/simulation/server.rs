//! One simulated PostgreSQL server: what it holds, what it does, and what it answers to a probe.

use rr_core::engine::{Engine, Log, Observation};
use rr_core::position::{Lsn, Timeline};
use rr_core::time::Moment;

use super::wal::{BranchId, Content, SEGMENT, Wal};

/// How a standby applies what it has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replay {
    Prompt,
    Slow,
    Paused,
}

/// A server with its data folder.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) system: u64,
    pub(super) alive: bool,
    /// It takes writes; otherwise it is a standby.
    pub(super) writable: bool,
    /// What it has applied; on a primary, all it has.
    pub(super) content: Content,
    /// What it has on disk and may not have applied yet.
    pub(super) received: Content,
    /// The server that it is told to follow.
    pub(super) upstream: Option<usize>,
    /// Its WAL receiver runs until then unless the stream goes on.
    pub(super) receiver_until: Moment,
    pub(super) replay: Replay,
    /// The timeline in its control file: as of the last restartpoint.
    pub(super) control_timeline: u32,
    /// The highest timeline that it has heard of; a promotion takes the next number.
    pub(super) known_timeline: u32,
    /// `pg_last_wal_replay_lsn()`: survives a promotion, but not a restart, which leaves the end of crash recovery.
    pub(super) last_replay: Option<u64>,
    /// Whether `pg_last_wal_receive_lsn()` is set: it has tried to receive as a standby since it started.
    pub(super) tried_to_receive: bool,
    /// Whether `pg_last_xact_replay_timestamp()` is set: it has applied a commit as a standby since it started.
    pub(super) applied_commit: bool,
    /// How often its data was replaced: what was known of it before is void.
    pub(super) incarnation: u32,
    /// It has begun a new timeline, and is in recovery until what it does at the end of that is done.
    pub(super) ending: bool,
    /// It was told to take over, and will in a moment.
    pub(super) told: bool,
    /// It was this router that made it a primary, and nobody else.
    pub(super) ours: bool,
    /// Somebody keeps it from running.
    pub(super) fenced: bool,
    /// It refuses writes.
    pub(super) frozen: bool,
    /// How often it was started.
    pub(super) starts: u32,
}

impl Server {
    /// A running primary.
    pub(super) fn primary(system: u64, wal: &Wal, branch: BranchId) -> Self {
        let content = wal.tip(branch);
        Self {
            system,
            alive: true,
            writable: true,
            content,
            received: content,
            upstream: None,
            receiver_until: Moment::ORIGIN,
            replay: Replay::Prompt,
            control_timeline: wal.timeline(branch),
            known_timeline: wal.timeline(branch),
            last_replay: None,
            tried_to_receive: false,
            applied_commit: false,
            incarnation: 0,
            ending: false,
            told: false,
            ours: false,
            fenced: false,
            frozen: false,
            starts: 0,
        }
    }

    /// A running standby of `upstream`, made from a base backup at `content`.
    pub(super) fn standby(system: u64, wal: &Wal, content: Content, upstream: Option<usize>) -> Self {
        let mut server = Self::primary(system, wal, content.branch);
        server.writable = false;
        server.upstream = upstream;
        server.load(wal, content);
        server
    }

    /// Replaces its data.
    pub(super) fn load(&mut self, wal: &Wal, content: Content) {
        self.content = content;
        self.received = content;
        self.control_timeline = wal.timeline(content.branch);
        self.known_timeline = self.known_timeline.max(self.control_timeline);
        (self.tried_to_receive, self.applied_commit) = (false, false);
        self.last_replay = None;
        self.incarnation += 1;
        (self.ending, self.told, self.fenced, self.frozen) = (false, false, false, false);
    }

    /// Starts it (again). A crash is followed by recovery from its own log; a standby starts where it was, with a control
    /// file that a clean stop has brought up to date.
    pub(super) fn start(&mut self, wal: &Wal, crashed: bool) {
        if self.fenced {
            return;
        }
        self.alive = true;
        // Whoever starts has forgotten what it was told. That it is a standby no more is on disk.
        self.told = false;
        self.be_primary();
        self.starts += 1;
        (self.tried_to_receive, self.applied_commit) = (false, false);
        self.receiver_until = Moment::ORIGIN;
        self.last_replay = (self.writable && crashed).then(|| wal.tip(self.content.branch).lsn);
        if !crashed {
            self.checkpoint(wal);
        }
    }

    /// The control file comes up to date.
    pub(super) fn checkpoint(&mut self, wal: &Wal) {
        self.control_timeline = wal.timeline(self.content.branch);
    }

    /// Begins a new timeline after applying all that it has, and names it in its control file: it shows that while it is still
    /// in recovery.
    pub(super) fn begin(&mut self, wal: &mut Wal, known_elsewhere: u32) {
        self.apply(wal, usize::MAX);
        self.known_timeline = self.known_timeline.max(known_elsewhere) + 1;
        let fork = self.content;
        let branch = wal.fork(fork, self.known_timeline);
        self.last_replay = Some(fork.lsn);
        self.ending = true;
        self.receiver_until = Moment::ORIGIN;
        self.replay = Replay::Prompt;
        self.content = wal.tip(branch);
        self.received = self.content;
        self.checkpoint(wal);
    }

    /// Leaves recovery, if it has begun a new timeline.
    pub(super) fn end(&mut self, wal: &mut Wal) {
        if self.be_primary() {
            self.content = wal.append(self.content.branch, 48, None);
            self.received = self.content;
        }
    }

    fn be_primary(&mut self) -> bool {
        let begun = std::mem::take(&mut self.ending);
        if begun {
            self.writable = true;
            self.upstream = None;
        }
        begun
    }

    /// Applies up to `records` of what it has received.
    pub(super) fn apply(&mut self, wal: &Wal, records: usize) {
        for _ in 0..records {
            let target = self.received.branch;
            let next = wal.next(self.content, target);
            let Some((next, commit)) = next.filter(|(point, _)| wal.includes(self.received, *point)) else {
                return;
            };
            self.content = next;
            self.applied_commit |= commit;
        }
    }

    /// Whether it is a standby, and nobody has promoted it.
    pub(super) const fn follows(&self) -> bool {
        !self.writable && !self.ending
    }

    /// Whether its WAL receiver shows up in `pg_stat_wal_receiver`.
    pub(super) fn receives(&self, now: Moment) -> bool {
        self.alive && !self.writable && now < self.receiver_until
    }

    /// Answers the monitor's probe. Only a privileged role is shown the timeline that the WAL receiver is on.
    pub(super) fn observe(&self, wal: &Wal, now: Moment, privileged: bool) -> Option<Observation> {
        Engine::Postgres.read_probe(&self.row(wal, now, privileged)).ok()
    }

    /// Answers a promotion's closer look, which tells by the names of files what was received.
    pub(super) fn look(&self, wal: &Wal, now: Moment) -> Option<Observation> {
        let mut seen = self.observe(wal, now, true)?;
        if let (Log::Postgres { timeline, .. }, false) = (&mut seen.log, self.writable) {
            *timeline = (*timeline).max(Timeline::new(wal.timeline(self.received.branch)));
        }
        Some(seen)
    }

    /// Where its timeline began, as far as a primary shows that.
    pub(super) fn shown_beginning(&self) -> Option<u64> {
        self.last_replay.filter(|_| self.writable && (self.applied_commit || self.tried_to_receive))
    }

    /// The row of [`PROBE`](rr_core::engine::postgres::PROBE).
    fn row(&self, wal: &Wal, now: Moment, privileged: bool) -> Vec<Option<String>> {
        let timeline = wal.timeline(self.content.branch);
        let lsn = if self.writable { wal.insert_pointer(self.content.branch) } else { self.content.lsn };
        let standby_timeline = || {
            let received = wal.timeline(self.received.branch);
            let shown = if privileged && self.receives(now) { received } else { 0 };
            shown.max(self.control_timeline).to_string()
        };
        let text = |lsn: u64| Lsn::from_u64(lsn).to_string();
        vec![
            Some((!self.writable).to_string()),
            Some(text(lsn)),
            self.writable.then(|| format!("{timeline:08X}0000000000000003")),
            (!self.writable).then(standby_timeline),
            self.shown_beginning().map(text),
            Some(self.system.to_string()),
            Some(u8::from(self.receives(now)).to_string()),
            Some(SEGMENT.to_string()),
            Some(privileged.to_string()),
            None,
            (!self.writable).then(|| text(self.received.lsn)),
        ]
    }
}
