//! What is counted for the whole router.

use opentelemetry::KeyValue;

use super::Watch;
use crate::connector::Connector;
use crate::consistency::Consistency;
use crate::tally::{Failovers, Fallback, Loss, Retry, Step, WriteStep};
use crate::world::Severity;

impl<C: Connector> Watch<'_, C> {
    pub(super) fn counts(&self) {
        self.reads();
        self.troubles();
        self.counter(
            ("rr.tokens", "{token}", "Session tokens issued, resumed, and refused by kind"),
            |shared, tell| {
                for (outcome, count) in shared.tally.tokens().filter(|(_, count)| *count > 0) {
                    tell(count, &[KeyValue::new("rr.outcome", outcome)]);
                }
            },
        );
        self.counter(
            (
                "rr.writes",
                "{write}",
                "Writes that found no primary to connect to or were not answered, by what came of it",
            ),
            |shared, tell| {
                for step in WriteStep::ALL {
                    tell(shared.tally.writes(step), &[KeyValue::new("rr.step", step.as_str())]);
                }
            },
        );
    }

    fn reads(&self) {
        self.counter(
            ("rr.causal", "{read}", "Reads that no replica could serve at once, by what came of it"),
            |shared, tell| {
                for step in Step::ALL {
                    tell(shared.tally.get(step), &[KeyValue::new("rr.step", step.as_str())]);
                }
            },
        );
        self.counter(
            (
                "rr.upgrades",
                "{read}",
                "Reads on the primary because no replica had what their level asks for",
            ),
            |shared, tell| {
                for (level, count) in Consistency::KINDS.into_iter().zip(shared.tally.upgrades()) {
                    tell(count, &[KeyValue::new("rr.level", level)]);
                }
            },
        );
        self.counter(
            (
                "rr.fallbacks",
                "{read}",
                "Reads that wanted a replica and were left to the primary, by outcome",
            ),
            |shared, tell| {
                for fallback in Fallback::ALL {
                    let labels = [
                        KeyValue::new("rr.reason", fallback.reason().as_str()),
                        KeyValue::new("rr.outcome", fallback.outcome()),
                    ];
                    tell(shared.tally.fallbacks(fallback), &labels);
                }
            },
        );
        self.counter(
            ("rr.retries", "{statement}", "Reads and transactions that failed on a node, by what came of it"),
            |shared, tell| {
                for retry in Retry::all() {
                    let labels = [
                        KeyValue::new("rr.kind", retry.what.as_str()),
                        KeyValue::new("rr.outcome", retry.outcome.as_str()),
                    ];
                    tell(shared.tally.retries(retry), &labels);
                }
            },
        );
        self.counter(
            ("rr.misroutes", "{statement}", "Statements that looked like reads, and that a replica refused"),
            |shared, tell| {
                shared.connector.misroutes().into_iter().for_each(|count| tell(count, &[]));
            },
        );
    }

    fn troubles(&self) {
        self.counter(
            ("rr.failovers", "{failover}", "Changes of primary, by reason and outcome"),
            |shared, tell| {
                for (kind, outcome) in Failovers::ALL {
                    let labels = [
                        KeyValue::new("rr.reason", kind.as_str()),
                        KeyValue::new("rr.outcome", outcome.as_str()),
                    ];
                    tell(shared.tally.failovers.get(kind, outcome), &labels);
                }
            },
        );
        self.counter(
            ("rr.alerts", "{alert}", "Notices that begin a condition or tell of an event, by severity"),
            |shared, tell| {
                for severity in Severity::ALL {
                    tell(shared.tally.alerts(severity), &[KeyValue::new("rr.level", severity.as_str())]);
                }
            },
        );
        self.counter(
            ("rr.lost_writes", "{write}", "Writes that a failover has lost, by who was told"),
            |shared, tell| {
                for loss in Loss::ALL {
                    tell(shared.tally.losses(loss), &[KeyValue::new("rr.kind", loss.as_str())]);
                }
            },
        );
    }
}
