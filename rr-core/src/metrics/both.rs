//! A meter that hands everything to two others: the application's, which may export it by OTLP, and our own, which is scraped.
//!
//! OpenTelemetry has one global provider, and it is the application's to set. What a router says must be in the text route
//! without one, and beside one.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    AsyncInstrumentBuilder, Callback, Counter, Gauge, Histogram, HistogramBuilder, InstrumentBuilder,
    InstrumentProvider, Meter, ObservableCounter, ObservableGauge, ObservableUpDownCounter, SyncInstrument,
    UpDownCounter,
};

/// A meter whose instruments are made with both.
pub(super) fn meter(one: Meter, other: Meter) -> Meter {
    Meter::new(Arc::new(Both([one, other])))
}

struct Both([Meter; 2]);

/// The same instrument of both meters.
struct Twins<I>([I; 2]);

macro_rules! measures {
    ($($instrument:ident<$value:ty>: $measure:ident;)*) => {$(
        impl SyncInstrument<$value> for Twins<$instrument<$value>> {
            fn measure(&self, measurement: $value, attributes: &[KeyValue]) {
                for one in &self.0 {
                    one.$measure(measurement, attributes);
                }
            }
        }
    )*};
}

measures! {
    Counter<u64>: add;
    Counter<f64>: add;
    UpDownCounter<i64>: add;
    UpDownCounter<f64>: add;
    Gauge<u64>: record;
    Gauge<i64>: record;
    Gauge<f64>: record;
    Histogram<u64>: record;
    Histogram<f64>: record;
}

macro_rules! measured {
    ($($name:ident: $instrument:ident<$value:ty>;)*) => {$(
        fn $name(&self, asked: InstrumentBuilder<'_, $instrument<$value>>) -> $instrument<$value> {
            $instrument::new(Arc::new(Twins(self.0.each_ref().map(|meter| {
                let mut own = meter.$name(asked.name.clone());
                (own.description, own.unit) = (asked.description.clone(), asked.unit.clone());
                own.build()
            }))))
        }
    )*};
}

macro_rules! distributed {
    ($($name:ident: $value:ty;)*) => {$(
        fn $name(&self, asked: HistogramBuilder<'_, Histogram<$value>>) -> Histogram<$value> {
            Histogram::new(Arc::new(Twins(self.0.each_ref().map(|meter| {
                let mut own = meter.$name(asked.name.clone());
                (own.description, own.unit) = (asked.description.clone(), asked.unit.clone());
                own.boundaries = asked.boundaries.clone();
                own.build()
            }))))
        }
    )*};
}

macro_rules! observed {
    ($($name:ident: $instrument:ident<$value:ty>;)*) => {$(
        fn $name(
            &self,
            asked: AsyncInstrumentBuilder<'_, $instrument<$value>, $value>,
        ) -> $instrument<$value> {
            let callbacks: Arc<[Callback<$value>]> = asked.callbacks.into();
            for meter in &self.0 {
                let callbacks = Arc::clone(&callbacks);
                let mut own = meter.$name(asked.name.clone());
                (own.description, own.unit) = (asked.description.clone(), asked.unit.clone());
                let _ = own.with_callback(move |into| callbacks.iter().for_each(|observe| observe(into))).build();
            }
            $instrument::new()
        }
    )*};
}

/// All of them, so that an instrument of a new kind cannot be lost in silence.
impl InstrumentProvider for Both {
    measured! {
        u64_counter: Counter<u64>;
        f64_counter: Counter<f64>;
        i64_up_down_counter: UpDownCounter<i64>;
        f64_up_down_counter: UpDownCounter<f64>;
        u64_gauge: Gauge<u64>;
        i64_gauge: Gauge<i64>;
        f64_gauge: Gauge<f64>;
    }
    distributed! {
        u64_histogram: u64;
        f64_histogram: f64;
    }
    observed! {
        u64_observable_counter: ObservableCounter<u64>;
        f64_observable_counter: ObservableCounter<f64>;
        i64_observable_up_down_counter: ObservableUpDownCounter<i64>;
        f64_observable_up_down_counter: ObservableUpDownCounter<f64>;
        u64_observable_gauge: ObservableGauge<u64>;
        i64_observable_gauge: ObservableGauge<i64>;
        f64_observable_gauge: ObservableGauge<f64>;
    }
}
