//! Rules for what is to outlive the process.

use std::collections::BTreeMap;

use rr_core::position::{Lsn, Timeline};
use rr_core::time::Moment;
use rr_core::world::Memory;

use super::Oracle;

impl Oracle {
    /// The world wants this to be known again after a restart.
    pub(in crate::simulation) fn remembering(&mut self, now: Moment, memory: Memory) {
        if let Err(why) = self.may_remember(&memory) {
            self.object(now, format!("{memory:?} is to be remembered: {why}"));
        }
        self.remembered = Some(memory);
    }

    fn may_remember(&self, memory: &Memory) -> Result<(), String> {
        match Memory::from_text(&memory.to_text()) {
            Ok(read) if read == *memory => {}
            other => return Err(format!("read back it is {other:?}")),
        }
        if let Some(before) = &self.remembered {
            if (before.system, before.highest) > (memory.system, memory.highest) {
                return Err(format!("before it was {}", before.highest));
            }
            let moved_up = |(newer, past): (&Timeline, &BTreeMap<Timeline, Lsn>)| {
                let old = before.forks.get(newer);
                old.is_some_and(|old| {
                    past.iter().any(|(older, at)| old.get(older).is_none_or(|known| at > known))
                })
            };
            if memory.forks.iter().any(moved_up) {
                return Err("a fork that was known has moved up".to_owned());
            }
        }
        if memory.system == self.system && Some(memory.highest.get()) > self.highest {
            return Err(format!("the highest that anybody has shown is {:?}", self.highest));
        }
        Ok(())
    }
}
