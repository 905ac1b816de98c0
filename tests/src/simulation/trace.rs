//! What happened in a run, as text for people and as a hash for "same seed, same trace".

use std::fmt::{self, Write};

use rr_core::time::Moment;

/// How much of a run is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Nothing: many runs, as fast as can be.
    #[default]
    Off,
    /// Only the hash of what would be written.
    Hash,
    /// Every line.
    Text,
}

#[derive(Debug)]
pub(super) struct Trace {
    recording: Recording,
    hash: Fnv,
    lines: Vec<String>,
}

impl Trace {
    pub(super) fn new(recording: Recording) -> Self {
        Self { recording, hash: Fnv(0xcbf2_9ce4_8422_2325), lines: Vec::new() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.recording != Recording::Off
    }

    pub(super) fn line(&mut self, at: Moment, what: fmt::Arguments<'_>) {
        // Writing into a hash cannot fail.
        let _ = writeln!(self.hash, "{} {what}", at.as_nanos());
        if self.recording == Recording::Text {
            let millis = at.as_nanos() / 1_000_000;
            let micros = at.as_nanos() / 1_000 % 1_000;
            self.lines.push(format!("{millis:>6}.{micros:03} ms  {what}"));
        }
    }

    pub(super) fn finish(self) -> (u64, Vec<String>) {
        (self.hash.0, self.lines)
    }
}

/// Writes a line of the trace; its arguments are not even looked at when nothing is recorded.
macro_rules! note {
    ($sim:expr, $($what:tt)*) => {
        if $sim.trace.is_on() {
            $sim.trace.line($sim.now, format_args!($($what)*));
        }
    };
}

pub(super) use note;

/// FNV-1a: a hash that is the same on every machine and in every version.
#[derive(Debug)]
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
