//! What is scraped: a meter provider that belongs to one router, and its figures as Prometheus' text.

use std::fmt;

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use super::both;

/// Ends with the router: its callbacks hold the router's state weakly, and it is a part of that state.
pub(super) struct Text {
    registry: Registry,
    provider: SdkMeterProvider,
}

impl Text {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        // The scope is always `rr`, and who the process is says whoever scrapes it.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build();
        let provider = match exporter {
            Ok(exporter) => SdkMeterProvider::builder().with_reader(exporter).build(),
            Err(error) => {
                tracing::error!(target: "rr", %error, "there is no text of metrics");
                SdkMeterProvider::builder().build()
            }
        };
        Self { registry, provider }
    }

    /// A meter that measures for the text and for another one.
    pub(super) fn beside(&self, other: Meter) -> Meter {
        both::meter(other, self.provider.meter("rr"))
    }

    pub(super) fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(target: "rr", %error, "the metrics cannot be written as text");
            String::new()
        })
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;

    use super::*;

    /// Whatever kind of instrument is made, both providers have it, and its name, unit and labels are as Prometheus wants them.
    #[test]
    fn both_providers_have_every_kind_of_instrument() {
        let (own, application) = (Text::new(), Text::new());
        let meter = own.beside(application.provider.meter("rr"));
        let labels = [KeyValue::new("rr.node", "a\"b\\c\nd")];

        meter.u64_counter("rr.c1").with_unit("{statement}").with_description("One").build().add(1, &labels);
        meter.f64_counter("rr.c2").with_unit("s").build().add(0.5, &labels);
        meter.i64_up_down_counter("rr.u1").build().add(-2, &[]);
        meter.f64_up_down_counter("rr.u2").build().add(-0.5, &[]);
        meter.u64_gauge("rr.g1").with_unit("By").build().record(3, &[]);
        meter.i64_gauge("rr.g2").build().record(-3, &[]);
        meter.f64_gauge("rr.g3").with_unit("1").build().record(0.25, &[]);
        meter.u64_histogram("rr.h1").with_boundaries(vec![1.0, 10.0]).build().record(5, &[]);
        let seconds = meter.f64_histogram("rr.h2").with_unit("s").with_boundaries(vec![0.1]).build();
        seconds.record(0.05, &[]);
        seconds.record(7.0, &[]);
        let _ = meter.u64_observable_counter("rr.o1").with_callback(|into| into.observe(4, &[])).build();
        let _ = meter.f64_observable_counter("rr.o2").with_callback(|into| into.observe(4.5, &[])).build();
        let _ =
            meter.i64_observable_up_down_counter("rr.o3").with_callback(|into| into.observe(-4, &[])).build();
        let _ = meter
            .f64_observable_up_down_counter("rr.o4")
            .with_callback(|into| into.observe(-4.5, &[]))
            .build();
        let _ = meter.u64_observable_gauge("rr.o5").with_callback(|into| into.observe(6, &[])).build();
        let _ = meter.i64_observable_gauge("rr.o6").with_callback(|into| into.observe(-6, &[])).build();
        let _ = meter.f64_observable_gauge("rr.o7").with_callback(|into| into.observe(6.5, &[])).build();

        let text = own.render();
        assert_eq!(text, application.render());
        let escaped = r#"{rr_node="a\"b\\c\nd"}"#;
        for line in [
            "# HELP rr_c1_total One",
            "# TYPE rr_c1_total counter",
            &format!("rr_c1_total{escaped} 1"),
            &format!("rr_c2_seconds_total{escaped} 0.5"),
            "# TYPE rr_u1 gauge",
            "rr_u1 -2",
            "rr_u2 -0.5",
            "rr_g1_bytes 3",
            "rr_g2 -3",
            "rr_g3_ratio 0.25",
            r#"rr_h1_bucket{le="1"} 0"#,
            r#"rr_h1_bucket{le="10"} 1"#,
            r#"rr_h1_bucket{le="+Inf"} 1"#,
            "# TYPE rr_h2_seconds histogram",
            r#"rr_h2_seconds_bucket{le="0.1"} 1"#,
            r#"rr_h2_seconds_bucket{le="+Inf"} 2"#,
            "rr_h2_seconds_sum 7.05",
            "rr_h2_seconds_count 2",
            "rr_o1_total 4",
            "rr_o2_total 4.5",
            "rr_o3 -4",
            "rr_o4 -4.5",
            "rr_o5 6",
            "rr_o6 -6",
            "rr_o7 6.5",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }

    #[test]
    fn what_is_observed_no_more_is_told_no_more() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        let there = Arc::new(AtomicBool::new(true));
        let (text, seen) = (Text::new(), Arc::clone(&there));
        let meter = text.provider.meter("rr");
        let _ = meter
            .u64_observable_gauge("rr.lag")
            .with_callback(move |into| {
                if seen.load(Ordering::Relaxed) {
                    into.observe(1, &[]);
                }
            })
            .build();
        assert!(text.render().contains("rr_lag 1"));
        there.store(false, Ordering::Relaxed);
        assert_eq!(text.render(), "");
    }
}
