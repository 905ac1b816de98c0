//! Bars as SVG, readable on light and on dark pages.

use std::fmt::Write as _;

use crate::report::Chart;

const WIDTH: f64 = 720.0;
/// Where the bars begin: the names of the rows are left of it.
const LEFT: f64 = 250.0;
/// Room for the number behind the longest bar.
const RIGHT: f64 = 80.0;
const TOP: f64 = 44.0;
const BAR: f64 = 18.0;
const GAP: f64 = 12.0;

/// Names of their colours in the style.
const SERIES: [&str; 3] = ["a", "b", "c"];

/// No background of its own; the colours follow what the reader's system prefers.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600}.a{fill:#0969da}.b{fill:#bc4c00}\
    .c{fill:#1a7f37}.l{stroke:#8c959f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a{fill:#58a6ff}.b{fill:#f0883e}\
    .c{fill:#3fb950}.l{stroke:#6e7681}}";

pub(crate) fn svg(chart: &Chart) -> String {
    let bars = || chart.rows.iter().flat_map(|(_, values)| values).copied().filter(|value| value.is_finite());
    let longest = bars().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let legend = if chart.series.is_empty() { 0.0 } else { BAR + GAP / 2.0 };
    let mut at = TOP + legend;
    let mut body = String::new();
    for (name, values) in &chart.rows {
        let begun = at;
        for (n, value) in values.iter().enumerate() {
            let length = (WIDTH - LEFT - RIGHT) * (value / longest).clamp(0.0, 1.0);
            let class = SERIES[n % SERIES.len()];
            let (behind, base) = (LEFT + length + 6.0, at + BAR - 5.0);
            let _infallible = writeln!(
                body,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{at:.1}\" width=\"{length:.1}\" height=\"{:.1}\"/>\
                 <text x=\"{behind:.1}\" y=\"{base:.1}\">{} {}</text>",
                BAR - 2.0,
                number(*value),
                escaped(&chart.unit),
            );
            at += BAR;
        }
        let middle = f64::midpoint(begun, at) + 4.0;
        let (right, name) = (LEFT - 10.0, escaped(name));
        let _infallible =
            writeln!(body, "<text x=\"{right}\" y=\"{middle:.1}\" text-anchor=\"end\">{name}</text>");
        at += GAP;
    }
    let mut keys = String::new();
    for (series, (class, left)) in
        chart.series.iter().zip(SERIES.into_iter().zip([LEFT, LEFT + 150.0, LEFT + 300.0]))
    {
        let (text, series) = (left + 18.0, escaped(series));
        let _infallible = writeln!(
            keys,
            "<rect class=\"{class}\" x=\"{left}\" y=\"{TOP}\" width=\"12\" height=\"12\"/>\
             <text x=\"{text}\" y=\"{}\">{series}</text>",
            TOP + 11.0
        );
    }
    let (title, foot) = (escaped(&chart.title), at - GAP / 2.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {at:.0}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>{STYLE}</style>\n<text class=\"t\" x=\"10\" y=\"24\">{title}</text>\n{keys}{body}\
         <line class=\"l\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{:.1}\" y2=\"{foot:.1}\"/>\n</svg>\n",
        TOP + legend - GAP / 2.0
    )
}

/// Three digits or so.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(rows: Vec<(String, Vec<f64>)>) -> String {
        let series = vec![String::from("healthy"), String::from("slow")];
        svg(&Chart {
            name: String::new(),
            title: String::from("a < b"),
            unit: String::from("ms"),
            series,
            rows,
        })
    }

    #[test]
    fn the_longest_bar_fills_the_width_and_the_others_are_in_proportion() {
        let drawn = chart(vec![(String::from("p2c"), vec![1.0, 4.0])]);
        assert!(drawn.contains("width=\"390.0\"") && drawn.contains("width=\"97.5\""), "{drawn}");
        assert!(drawn.contains("4.00 ms") && drawn.contains("a &lt; b"), "{drawn}");
    }

    #[test]
    fn nothing_and_no_number_are_drawn_too() {
        assert!(chart(Vec::new()).ends_with("</svg>\n"));
        assert!(chart(vec![(String::from("none"), vec![0.0, f64::NAN])]).contains("0.00 ms"));
    }
}
