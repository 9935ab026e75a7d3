//! Growth of costs along one axis: a panel for each quantity, both scales logarithmic.

use std::fmt::Write;
use std::ops::Range;

use super::{colour, escape};
use crate::report::{Line, Report, number};

const PANEL_WIDTH: f64 = 380.0;
const PANEL_HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 60.0;
/// From the left of one panel to the left of the next.
const STEP: f64 = LEFT + PANEL_WIDTH + 30.0;

/// A logarithmic scale, from whole decades onto pixels.
#[derive(Debug)]
struct Scale {
    decades: Range<i32>,
    pixels: Range<f64>,
}

/// One panel and the lines of the report that are its points.
struct Panel<'a> {
    left: f64,
    x: Scale,
    y: Scale,
    lines: Vec<&'a Line>,
}

/// The axes along which the report has points, each once.
pub(crate) fn axes(report: &Report) -> Vec<&'static str> {
    let mut axes = Vec::new();
    for axis in report
        .lines()
        .iter()
        .filter_map(|line| Some(line.position?.axis))
    {
        if !axes.contains(&axis) {
            axes.push(axis);
        }
    }
    axes
}

/// An SVG image of all quantities along `axis`.
pub(crate) fn svg(report: &Report, axis: &str) -> String {
    let lines = report.lines();
    let along = |line: &&Line| line.position.is_some_and(|p| p.axis == axis);
    let lines: Vec<&Line> = lines.iter().filter(along).collect();
    let mut quantities: Vec<&str> = lines.iter().map(|line| line.quantity).collect();
    quantities.sort_unstable();
    quantities.dedup();
    let (width, height) = (
        STEP * quantities.len() as f64 + 20.0,
        TOP + PANEL_HEIGHT + 60.0,
    );
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, (name, _)) in report.contestants.iter().enumerate() {
        let x = LEFT + index as f64 * 150.0;
        push(
            &mut text,
            format_args!(
                "<rect x=\"{x}\" y=\"10\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"20\">{}</text>",
                colour(index),
                x + 18.0,
                escape(name)
            ),
        );
    }
    for (index, quantity) in quantities.iter().enumerate() {
        let own = lines.iter().copied().filter(|l| l.quantity == *quantity);
        let panel = Panel::new(LEFT + STEP * index as f64, own.collect());
        panel.push_grid(&mut text, axis, quantity);
        for contestant in 0..report.contestants.len() {
            panel.push_points(&mut text, contestant);
        }
    }
    text.push_str("</svg>\n");
    text
}

impl<'a> Panel<'a> {
    fn new(left: f64, lines: Vec<&'a Line>) -> Self {
        let xs = lines.iter().filter_map(|line| Some(line.position?.x));
        let ys = lines.iter().flat_map(|line| line.medians.iter().copied());
        Self {
            left,
            x: Scale::over(xs, left..left + PANEL_WIDTH),
            y: Scale::over(ys, TOP + PANEL_HEIGHT..TOP),
            lines,
        }
    }

    /// A line and a number for each decade, and what the panel shows.
    fn push_grid(&self, text: &mut String, axis: &str, quantity: &str) {
        let (left, right, bottom) = (self.left, self.left + PANEL_WIDTH, TOP + PANEL_HEIGHT);
        for (value, x) in self.x.grid() {
            push(
                text,
                format_args!(
                    "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    bottom + 16.0,
                    tick(value)
                ),
            );
        }
        for (value, y) in self.y.grid() {
            push(
                text,
                format_args!(
                    "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    left - 6.0,
                    y + 4.0,
                    tick(value)
                ),
            );
        }
        push(
            text,
            format_args!(
                "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>\
             <text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                TOP - 10.0,
                escape(quantity),
                bottom + 34.0,
                escape(axis)
            ),
        );
    }

    /// One contestant's line, a dot and a number at each of its points.
    fn push_points(&self, text: &mut String, contestant: usize) {
        let mut points: Vec<(f64, f64)> = self
            .lines
            .iter()
            .filter_map(|line| Some((line.position?.x, line.medians[contestant])))
            .filter(|(_, y)| y.is_finite() && *y > 0.0)
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut path = String::new();
        for (x, y) in &points {
            let pen = if path.is_empty() { 'M' } else { 'L' };
            let (at_x, at_y) = (self.x.place(*x), self.y.place(*y));
            // Writing to a string does not fail.
            let _ = write!(path, "{pen}{at_x:.1} {at_y:.1}");
            push(
                text,
                format_args!(
                    "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#555\" font-size=\"9\">{}</text>",
                    colour(contestant),
                    at_x + 4.0,
                    at_y - 4.0,
                    number(*y)
                ),
            );
        }
        push(
            text,
            format_args!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>",
                colour(contestant)
            ),
        );
    }
}

impl Scale {
    /// Whole decades around all values that have a logarithm; one decade where there is none.
    fn over(values: impl Iterator<Item = f64>, pixels: Range<f64>) -> Self {
        let logs: Vec<f64> = values
            .filter(|v| v.is_finite() && *v > 0.0)
            .map(f64::log10)
            .collect();
        let least = logs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let decades = match logs.is_empty() {
            true => 0..1,
            false => {
                let start = least.floor() as i32;
                start..(most.ceil() as i32).max(start + 1)
            }
        };
        Self { decades, pixels }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.decades.start)) / self.decades.len() as f64;
        self.pixels.start + share * (self.pixels.end - self.pixels.start)
    }

    /// Each decade's value and place.
    fn grid(&self) -> Vec<(f64, f64)> {
        (self.decades.start..=self.decades.end)
            .map(|decade| 10_f64.powi(decade))
            .map(|value| (value, self.place(value)))
            .collect()
    }
}

fn tick(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{value:e}"),
        value => format!("{value}"),
    }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;
    use crate::rows::Position;

    #[test]
    fn points_stand_at_their_logarithms() {
        let scale = Scale::over([1.0, 1000.0].into_iter(), 0.0..300.0);
        assert_eq!(scale.decades, 0..3);
        assert!((scale.place(10.0) - 100.0).abs() < 1e-9);
        assert_eq!(scale.grid().len(), 4);
    }

    #[test]
    fn an_axis_has_a_panel_for_each_quantity() {
        let mut report = example();
        for sample in &mut report.samples {
            sample.position = Some(Position {
                axis: "channels",
                x: 100.0,
            });
        }
        assert_eq!(axes(&report), ["channels"]);
        let text = svg(&report, "channels");
        assert_eq!(text.matches("font-weight").count(), 1);
        assert_eq!(text.matches("<circle").count(), 2, "{text}");
        assert!(text.contains("&lt;OpenSSH&gt;"));
    }

    #[test]
    fn without_points_there_is_no_axis() {
        assert!(axes(&example()).is_empty());
    }
}
