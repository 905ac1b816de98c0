//! What goes wrong, what an operator does about it, and the peace at the end.

use rr_core::engine::Fault;
use rr_core::time::Moment;
use rr_core::topology::NodeId;

use super::cluster::Links;
use super::monitor::Told;
use super::plan::{between, ms, one_in, pick};
use super::run::{Action, Simulation};
use super::server::{Replay, Server};
use super::trace::note;

/// What puts something right again.
#[derive(Debug)]
pub(super) enum Mend {
    Links(usize),
    Replay(usize),
    Start {
        server: usize,
        crashed: bool,
    },
    /// An operator points the standbys to the new primary.
    Repoint {
        to: usize,
    },
    /// Somebody looks at a node that may have taken over.
    Doubt(NodeId),
    /// A server that was fenced becomes a standby of the present primary.
    Unfence(usize),
    /// A foreign server goes, and the old one returns to its address.
    Return {
        server: usize,
        old: Box<Server>,
    },
    /// A server that is down since then gets other data. That takes so long that the monitor misses it.
    Replace {
        server: usize,
        since: Moment,
        with: Data,
    },
}

/// What a server's data is replaced by.
#[derive(Debug)]
pub(super) enum Data {
    /// A backup of the present primary, so many records old, to be its standby; by a rewind there is none missing.
    Backup { records: usize },
    /// Another server, which was there before or is a stranger.
    Server(Box<Server>),
}

impl Simulation {
    pub(super) fn fault(&mut self) {
        if self.peace {
            return;
        }
        self.stats.happened.faults += 1;
        let server = self.rng.usize(0..self.truth.servers.len());
        let leader = self.truth.leader();
        match self.rng.u32(0..25) {
            0..=2 => self.kill(leader.unwrap_or(server)),
            3 => self.kill(server),
            4 | 5 => self.operator_promotes(),
            6 => self.cut(server, Links { monitor: true, ..Links::default() }),
            7 | 8 => self.cut(server, Links { peers: true, ..Links::default() }),
            9 => self.cut(server, Links { clients: true, ..Links::default() }),
            10 => self.isolate(leader.unwrap_or(server)),
            11 | 12 => self.hold_replay(server),
            13 | 14 => self.restart(server),
            15 => self.rejoin(server),
            16 => self.rebuild_old(server),
            17 => self.foreigner(server),
            18 | 19 => self.stall(),
            20 => self.membership(server),
            21 => {
                note!(self, "db{server} writes its control file");
                self.truth.servers[server].checkpoint(&self.truth.wal);
            }
            22 => self.burst(server),
            23 => self.hidden_succession(),
            _ => {
                // Now and then to a standby, or to somebody who is nobody's primary any more.
                let to = if one_in(&mut self.rng, 4) { server } else { leader.unwrap_or(server) };
                self.repoint(to);
            }
        }
        let calm = self.plan.calm;
        let next = self.soon(2 * calm);
        self.agenda.add(next, Action::Fault);
    }

    fn later(&mut self, from: u64, to: u64, mend: Mend) {
        let at = self.now + between(&mut self.rng, from, to);
        self.agenda.add(at, Action::Mend(mend));
    }

    /// A server dies. It may come back as it was, or as a standby; somebody may be promoted in the meantime.
    fn kill(&mut self, server: usize) {
        note!(self, "db{server} dies");
        let was_primary = self.truth.servers[server].writable;
        self.truth.servers[server].alive = false;
        if was_primary && self.rng.u32(0..4) > 0 {
            self.promotion_of_another(server);
        }
        match self.rng.u32(0..3) {
            0 => self.replace(server, 2_500, Data::Backup { records: 2 }),
            _ => self.later(20, 2_500, Mend::Start { server, crashed: true }),
        }
    }

    fn promotion_of_another(&mut self, dead: usize) {
        if let Some(server) = self.candidate(dead) {
            let at = self.now + between(&mut self.rng, 20, 1_000);
            self.agenda.add(at, Action::Promote { server, ours: false });
        }
    }

    /// Usually the standby that has most, sometimes any.
    fn candidate(&mut self, except: usize) -> Option<usize> {
        let standbys: Vec<usize> = (0..self.truth.servers.len())
            .filter(|&index| {
                let server = &self.truth.servers[index];
                index != except && server.alive && !server.writable && server.system == self.truth.system
            })
            .collect();
        if standbys.is_empty() {
            return None;
        }
        if one_in(&mut self.rng, 3) {
            return Some(pick(&mut self.rng, &standbys));
        }
        standbys
            .into_iter()
            .max_by_key(|&index| (self.truth.timeline(index), self.truth.servers[index].received.lsn))
    }

    /// Somebody promotes a standby while the primary lives: the old one goes on as a zombie.
    pub(super) fn operator_promotes(&mut self) {
        let nobody = self.truth.servers.len();
        if let Some(server) = self.candidate(nobody) {
            self.promote(server, false);
        }
    }

    /// Somebody promotes a standby that the monitor cannot see, standbys follow it, and then one of those is promoted:
    /// what the monitor sees of it comes from the middle of the story.
    fn hidden_succession(&mut self) {
        let nobody = self.truth.servers.len();
        let Some(hidden) = self.candidate(nobody) else { return };
        self.cut(hidden, Links { monitor: true, ..Links::default() });
        self.promote(hidden, false);
        self.later(0, 60, Mend::Repoint { to: hidden });
        let followers = self.truth.servers.len();
        let next = (hidden + self.rng.usize(1..followers)) % followers;
        let at = self.now + between(&mut self.rng, 100, 600);
        self.agenda.add(at, Action::Promote { server: next, ours: false });
    }

    /// What an operator usually does after a promotion.
    pub(super) fn follow_up(&mut self, leader: usize) {
        if self.rng.u32(0..4) > 0 {
            self.later(0, 800, Mend::Repoint { to: leader });
        }
    }

    fn cut(&mut self, server: usize, links: Links) {
        note!(self, "db{server} is cut off: {links:?}");
        let cut = &mut self.truth.cut[server];
        cut.monitor |= links.monitor;
        cut.clients |= links.clients;
        cut.peers |= links.peers;
        let happened = &mut self.stats.happened;
        happened.cuts_from_monitor += u64::from(links.monitor);
        happened.cuts_from_clients += u64::from(links.clients);
        happened.cuts_from_peers += u64::from(links.peers);
        self.later(50, 2_000, Mend::Links(server));
    }

    /// Nobody reaches the server, except perhaps the application.
    fn isolate(&mut self, server: usize) {
        self.stats.happened.isolations += 1;
        let clients = self.rng.bool();
        self.cut(server, Links { monitor: true, clients, peers: true });
        if self.rng.bool() {
            self.promotion_of_another(server);
        }
    }

    fn hold_replay(&mut self, server: usize) {
        let replay = if self.rng.bool() { Replay::Paused } else { Replay::Slow };
        note!(self, "db{server} replays: {replay:?}");
        self.truth.servers[server].replay = replay;
        self.later(50, 2_500, Mend::Replay(server));
    }

    fn restart(&mut self, server: usize) {
        let crashed = self.rng.bool();
        note!(self, "db{server} restarts (crashed: {crashed})");
        self.truth.servers[server].alive = false;
        self.later(5, 150, Mend::Start { server, crashed });
    }

    /// A server becomes a standby of the present primary, by rewinding or by a base backup.
    fn rejoin(&mut self, server: usize) {
        if self.truth.leader().is_some_and(|leader| leader != server) {
            note!(self, "db{server} goes down to follow the leader");
            self.replace(server, 400, Data::Backup { records: 2 });
        }
    }

    /// A standby is rebuilt from an old backup.
    fn rebuild_old(&mut self, server: usize) {
        if !self.truth.servers[server].writable {
            let records = self.rng.usize(0..60);
            note!(self, "db{server} goes down for a backup {records} records old");
            self.replace(server, 400, Data::Backup { records });
        }
    }

    /// A server of another cluster answers at one of our addresses.
    fn foreigner(&mut self, server: usize) {
        let one_already = self.truth.servers.iter().any(|server| server.system != self.truth.system);
        if self.plan.foreigners && !one_already {
            let (timeline, writable) = (self.rng.u32(1..12), self.rng.bool());
            note!(self, "a foreign server comes to db{server}: timeline {timeline}, writable {writable}");
            let foreigner = self.truth.foreign(timeline, writable);
            self.replace(server, 400, Data::Server(Box::new(foreigner)));
        }
    }

    /// An address was configured that is another cluster's; somebody notices after a while.
    pub(super) fn stranger_from_the_start(&mut self, server: usize) {
        let (timeline, writable) = (self.rng.u32(1..12), self.rng.bool());
        note!(
            self,
            "db{server} is a foreign server from the start: timeline {timeline}, writable {writable}"
        );
        let foreigner = self.truth.foreign(timeline, writable);
        let old = std::mem::replace(&mut self.truth.servers[server], foreigner);
        self.later(100, 1_500, Mend::Return { server, old: Box::new(old) });
    }

    /// Takes a server down and gives it other data after a while.
    fn replace(&mut self, server: usize, longest: u64, with: Data) {
        self.truth.servers[server].alive = false;
        let since = self.now;
        self.later(20, longest, Mend::Replace { server, since, with });
    }

    fn stall(&mut self) {
        let longest = if one_in(&mut self.rng, 4) { 2_500 } else { 400 };
        self.stalled_until = self.soon(longest).min(self.peace_at);
        self.stats.happened.stalls += 1;
        note!(self, "the monitor stalls until {:?}", self.stalled_until);
    }

    fn membership(&mut self, server: usize) {
        let current = self.members.iter().find(|member| member.server == server && !member.left);
        let told = match current.map(|member| (member.id, member.draining)) {
            None => Told::Joined(server),
            Some((node, false)) => Told::Draining(node),
            Some((node, true)) => Told::Left(node),
        };
        self.agenda.add(self.now, Action::Hear(told));
    }

    /// Statements fail on a server that answers probes.
    fn burst(&mut self, server: usize) {
        let Some(node) = self.node_at(server) else { return };
        let faults = [Fault::Timeout, Fault::Lost, Fault::ShuttingDown, Fault::Conflict, Fault::Overloaded];
        let fault = pick(&mut self.rng, &faults);
        for run in 1..=self.rng.u32(1..12) {
            let at = self.now + ms(u64::from(run));
            self.agenda.add(at, Action::Hear(Told::Faulted { node, fault, run }));
        }
    }

    fn repoint(&mut self, to: usize) {
        for server in 0..self.truth.servers.len() {
            let standby = &self.truth.servers[server];
            if !standby.writable
                && server != to
                && standby.system == self.truth.system
                && !one_in(&mut self.rng, 5)
            {
                note!(self, "db{server} is pointed to db{to}");
                self.truth.servers[server].upstream = Some(to);
            }
        }
    }

    pub(super) fn mend(&mut self, mend: Mend) {
        if self.peace {
            return;
        }
        match mend {
            Mend::Links(server) => {
                note!(self, "db{server} is reached again");
                self.truth.cut[server] = Links::default();
            }
            Mend::Replay(server) => {
                note!(self, "db{server} replays as usual");
                self.truth.servers[server].replay = Replay::Prompt;
            }
            Mend::Start { server, crashed } => {
                note!(self, "db{server} is up");
                self.start(server, crashed);
            }
            Mend::Repoint { to } => self.repoint(to),
            Mend::Doubt(node) => self.clear_doubt(node),
            Mend::Unfence(server) => {
                if self.truth.servers[server].fenced {
                    match self.truth.leader() {
                        Some(_) => self.replace(server, 200, Data::Backup { records: 2 }),
                        None => self.later(50, 300, Mend::Unfence(server)),
                    }
                }
            }
            Mend::Return { server, old } => self.replace(server, 200, Data::Server(old)),
            Mend::Replace { server, since, with } => {
                if self.truth.servers[server].alive {
                    // Somebody else was quicker.
                } else if self.oracle.missed(server, since) {
                    self.put(server, with);
                } else {
                    self.later(5, 20, Mend::Replace { server, since, with });
                }
            }
        }
    }

    fn put(&mut self, server: usize, with: Data) {
        match with {
            Data::Backup { records } => match self.truth.leader() {
                Some(leader) => {
                    note!(self, "db{server} is a standby of db{leader} now");
                    self.truth.rebuild(server, leader, records);
                }
                None => self.start(server, true),
            },
            Data::Server(mut other) => {
                note!(self, "another server is at db{server} now: system {}", other.system);
                other.incarnation = self.truth.servers[server].incarnation + 1;
                other.start(&self.truth.wal, true);
                let was = std::mem::replace(&mut self.truth.servers[server], *other);
                if was.system == self.truth.system {
                    self.later(100, 1_500, Mend::Return { server, old: Box::new(was) });
                }
            }
        }
    }

    fn start(&mut self, server: usize, crashed: bool) {
        let stopped = &mut self.truth.servers[server];
        if !stopped.alive {
            stopped.start(&self.truth.wal, crashed);
        }
    }

    fn node_at(&self, server: usize) -> Option<NodeId> {
        self.members.iter().find(|member| member.server == server && !member.left).map(|member| member.id)
    }

    /// Everything is put right: one primary, on the highest timeline, and standbys that follow it.
    pub(super) fn make_peace(&mut self) {
        note!(self, "peace");
        self.peace = true;
        self.stalled_until = Moment::ORIGIN;
        self.truth.cut.fill(Links::default());
        (0..self.truth.servers.len()).for_each(|server| self.truth.end_recovery(server));
        let truth = &mut self.truth;
        let ours = |server: &Server| server.system == truth.system;
        let order = |index: &usize| {
            let server = &truth.servers[*index];
            (ours(server), truth.timeline(*index), server.alive && server.writable, server.received.lsn)
        };
        let Some(leader) = (0..truth.servers.len()).max_by_key(order) else { return };
        self.start(leader, true);
        let behind = self.truth.timeline(leader) < self.truth.highest;
        if behind || !self.truth.servers[leader].writable {
            self.truth.archive = true;
            self.truth.servers[leader].writable = false;
            self.truth.promote(leader);
        }
        self.truth.end_recovery(leader);
        for server in 0..self.truth.servers.len() {
            let usable = {
                let other = &self.truth.servers[server];
                other.system == self.truth.system && !other.writable && self.truth.can_follow(server, leader)
            };
            if server == leader {
            } else if usable {
                self.start(server, true);
                self.truth.servers[server].upstream = Some(leader);
                self.truth.servers[server].replay = Replay::Prompt;
            } else {
                self.truth.rebuild(server, leader, 0);
            }
            if self.node_at(server).is_none() {
                self.join(server);
            }
        }
        note!(self, "db{leader} leads on timeline {}", self.truth.timeline(leader));
    }
}
