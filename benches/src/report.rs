//! What a benchmark found, as data, beside what it prints.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The figures of one benchmark.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// As they were printed, line by line.
    pub(crate) lines: Vec<Line>,
    pub(crate) charts: Vec<Chart>,
    /// The versions of what was measured, other than rr.
    pub(crate) versions: Vec<String>,
}

/// Figures that were printed in one line: `name=value name=value`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Whose they are, where several lines have the same figures.
    pub(crate) of: Option<String>,
    pub(crate) figures: Vec<Figure>,
}

/// A number and how exact it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) decimals: usize,
}

/// Bars that start at zero: a group for each row, in it a bar for each series.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chart {
    /// Of its file, without the ending.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    /// One name for each bar of a group; a single series needs none.
    pub(crate) series: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<f64>)>,
}

impl Report {
    /// Prints a line of figures, each with its decimals, and keeps it.
    pub(crate) fn line(&mut self, of: Option<&str>, figures: &[(&str, f64, usize)]) {
        let figure = |&(name, value, decimals): &(&str, f64, usize)| Figure {
            name: String::from(name),
            value,
            decimals,
        };
        let line = Line { of: of.map(String::from), figures: figures.iter().map(figure).collect() };
        println!("{line}");
        self.lines.push(line);
    }

    /// A figure by its name, and by whose it is.
    pub(crate) fn figure(&self, of: Option<&str>, name: &str) -> Option<f64> {
        let line = self.lines.iter().filter(|line| line.of.as_deref() == of);
        line.flat_map(|line| &line.figures).find(|figure| figure.name == name).map(|figure| figure.value)
    }

    pub(crate) fn chart(&mut self, chart: Chart) {
        self.charts.push(chart);
    }

    pub(crate) fn save(&self, file: &Path) -> Result<(), Error> {
        Ok(std::fs::write(file, serde_json::to_vec(self)?)?)
    }

    pub(crate) fn load(file: &Path) -> Result<Self, Error> {
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(of) = &self.of {
            write!(f, "{of}: ")?;
        }
        for (n, figure) in self.figures.iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{figure}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={:.*}", self.name, self.decimals, self.value)
    }
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "nothing is counted that often")]
pub(crate) const fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed_with_the_decimals_of_each_figure() {
        let mut report = Report::default();
        report.line(None, &[("route_ns", 73.24, 1), ("allocs", 0.0, 0)]);
        report.line(Some("remote_apply"), &[("max", 3.0, 2)]);
        let lines: Vec<_> = report.lines.iter().map(Line::to_string).collect();
        assert_eq!(lines, ["route_ns=73.2 allocs=0", "remote_apply: max=3.00"]);
        assert_eq!(report.figure(Some("remote_apply"), "max"), Some(3.0));
        assert_eq!(report.figure(None, "max"), None);
    }
}
