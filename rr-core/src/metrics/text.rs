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
