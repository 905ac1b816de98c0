//! Misfortunes that only some seeds know: standbys that fall behind one another, and a machine that is suspended.
//!
//! They are drawn by lots of their own, so that all other seeds mean the same weather with them and without them.

use super::faults::Mend;
use super::plan::{between, one_in};
use super::run::{Action, Simulation};
use super::trace::note;

impl Simulation {
    /// One standby falls behind the others, so that it matters who takes over: its link fails, and soon after it perhaps
    /// the primary.
    pub(super) fn straggle(&mut self) {
        if self.peace {
            return;
        }
        let server = self.lots.usize(0..self.truth.servers.len());
        let (link, next) = (between(&mut self.lots, 200, 1_000), between(&mut self.lots, 200, 1_500));
        if !self.truth.servers[server].writable {
            note!(self, "the log does not reach db{server}");
            self.truth.cut[server].peers = true;
            self.agenda.add(self.now + link, Action::Mend(Mend::Links(server)));
            let death = self.now + between(&mut self.lots, 20, 200);
            if let Some(leader) = self.truth.leader().filter(|_| one_in(&mut self.lots, 4)) {
                self.agenda.add(death, Action::Die(leader));
            }
        }
        self.agenda.add(self.now + next, Action::Straggle);
    }

    /// A server dies and stays away for longer than most promotions take.
    pub(super) fn die(&mut self, server: usize) {
        if self.peace || !self.truth.servers[server].alive {
            return;
        }
        note!(self, "db{server} dies");
        self.truth.servers[server].alive = false;
        let start = self.now + between(&mut self.lots, 500, 3_000);
        self.agenda.add(start, Action::Mend(Mend::Start { server, crashed: true }));
    }

    /// Whether servers of this seed may take their time at the end of recovery.
    pub(super) const fn lingers(seed: u64) -> bool {
        seed % 5 == 4
    }

    /// Now, or when its `recovery_end_command` is through.
    pub(super) fn leave_recovery(&mut self, server: usize) {
        if self.lingers && self.lots.bool() {
            self.stats.happened.lingering += 1;
            let at = self.now + between(&mut self.lots, 1, 400);
            return self.agenda.add(at, Action::LeaveRecovery(server));
        }
        self.truth.end_recovery(server);
    }

    /// The machine is suspended: nothing that it waits for or was asked comes in time, and the next moment is minutes later.
    /// The servers go on; somebody may be promoted meanwhile.
    pub(super) fn suspend(&mut self) {
        if self.peace {
            return;
        }
        if self.lots.bool() {
            self.operator_promotes();
        }
        let pause = between(&mut self.lots, 60_000, 900_000);
        note!(self, "the machine is suspended for {pause:?}");
        self.stats.happened.suspensions += 1;
        self.agenda.postpone(pause);
        self.now = self.now + pause;
        self.peace_at = self.peace_at + pause;
        for server in 0..self.truth.servers.len() {
            self.truth.replicate(server, 12, self.now);
        }
    }
}
