//! The picture beside a report: for each line of the table, a bar for each contestant.

use std::fmt::Write;

use super::{colour, escape};
use crate::report::{Line, Report, number};

const LABEL_WIDTH: usize = 380;
const BAR_WIDTH: f64 = 420.0;
const BAR_HEIGHT: usize = 13;
const GAP: usize = 9;
const TOP: usize = 44;

/// An SVG image. The bars of a line are scaled to its longest: only they can be compared.
pub(crate) fn svg(report: &Report) -> String {
    let lines = report.lines();
    let group = report.contestants.len() * BAR_HEIGHT + GAP;
    let (width, height) = (LABEL_WIDTH + 520, TOP + lines.len() * group + 10);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, (name, _)) in report.contestants.iter().enumerate() {
        let (x, colour) = (LABEL_WIDTH + index * 150, colour(index));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"24\">{}</text>",
            x + 18,
            escape(name)
        );
    }
    for (index, line) in lines.iter().enumerate() {
        push_line(&mut text, line, TOP + index * group);
    }
    text.push_str("</svg>\n");
    text
}

fn push_line(text: &mut String, line: &Line, top: usize) {
    let label = format!("{}: {}, {}", line.row, line.case, line.quantity);
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        LABEL_WIDTH - 8,
        top + line.medians.len() * BAR_HEIGHT / 2 + 4,
        escape(&label)
    );
    let longest = line
        .medians
        .iter()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    for (index, value) in line
        .medians
        .iter()
        .enumerate()
        .filter(|(_, v)| v.is_finite())
    {
        let (y, width) = (
            top + index * BAR_HEIGHT,
            value.max(0.0) / longest * BAR_WIDTH,
        );
        let _ = writeln!(
            text,
            "<rect x=\"{LABEL_WIDTH}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            BAR_HEIGHT - 2,
            colour(index),
            LABEL_WIDTH as f64 + width + 5.0,
            y + BAR_HEIGHT - 3,
            number(*value)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_numbers() {
        let text = svg(&crate::report::tests::example());
        assert!(text.contains("width=\"420.0\""), "{text}");
        assert!(text.contains("width=\"210.0\""), "{text}");
        assert!(text.contains("&lt;OpenSSH&gt;"));
        assert!(text.ends_with("</svg>\n"));
    }
}
