//! The pictures beside a report, in SVG.

pub(crate) mod bars;
pub(crate) mod growth;

/// One for each contestant, in the order of the report.
const COLOURS: [&str; 3] = ["#1f6f8b", "#c9a227", "#9a9a9a"];

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
