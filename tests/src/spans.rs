//! What a process tells its `tracing` subscriber: the spans of statements, and every word of everything else.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::wait::PATIENCE;

/// The fields of a span, as text.
pub type Fields = BTreeMap<&'static str, String>;

#[derive(Debug, Default)]
struct Recorded {
    open: BTreeMap<u64, Fields>,
    ended: Vec<Fields>,
    text: String,
}

/// Records all that a process traces at DEBUG and above, on whatever thread.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Recorded>>);

impl Recorder {
    /// Records from now on. A process has one.
    ///
    /// # Errors
    /// When it has a subscriber already.
    pub fn install() -> Result<Self, TryInitError> {
        let this = Self::default();
        tracing_subscriber::registry().with(LevelFilter::DEBUG).with(this.clone()).try_init()?;
        Ok(this)
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spans of statements on nodes whose names begin like this that have ended since the last call.
    #[must_use]
    pub fn take(&self, nodes: &str) -> Vec<Fields> {
        let mut recorded = self.recorded();
        let (wanted, others) = std::mem::take(&mut recorded.ended)
            .into_iter()
            .partition(|span| span.get("rr.node").is_some_and(|node| node.starts_with(nodes)));
        recorded.ended = others;
        wanted
    }

    /// The spans of the so many statements on these nodes that have ended since the last call, once they have. A write may end
    /// a moment after its answer.
    ///
    /// # Errors
    /// When there are fewer or more.
    pub async fn ended<const N: usize>(&self, nodes: &str) -> Result<[Fields; N], String> {
        let mut all = Vec::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while all.len() < N && tokio::time::Instant::now() < deadline {
            all.extend(self.take(nodes));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        all.try_into().map_err(|all: Vec<Fields>| format!("{} spans, and not {N}: {all:#?}", all.len()))
    }

    /// Every field of every span and event so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.recorded().text.clone()
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut words = Words::default();
        attributes.record(&mut words);
        let metadata = attributes.metadata();
        let mut recorded = self.recorded();
        recorded.enter(metadata.level(), metadata.target(), &words);
        if metadata.target() == "rr::statement" {
            recorded.open.insert(id.into_u64(), words.0);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut words = Words::default();
        values.record(&mut words);
        let mut recorded = self.recorded();
        if let Some(metadata) = context.metadata(id) {
            recorded.enter(metadata.level(), metadata.target(), &words);
        }
        if let Some(fields) = recorded.open.get_mut(&id.into_u64()) {
            fields.extend(words.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let metadata = event.metadata();
        self.recorded().enter(metadata.level(), metadata.target(), &words);
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut recorded = self.recorded();
        let ended = recorded.open.remove(&id.into_u64());
        recorded.ended.extend(ended);
    }
}

impl Recorded {
    fn enter(&mut self, level: &Level, target: &str, words: &Words) {
        // A string takes everything.
        let _ = writeln!(self.text, "{level} {target} {:?}", words.0);
    }
}

#[derive(Default)]
struct Words(Fields);

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
