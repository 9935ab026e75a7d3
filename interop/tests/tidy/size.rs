//! Size of files and functions, as a reader meets them: every line counts.

/// Lines of a file, unless it says at its top why it has more.
const MAX_FILE_LINES: usize = 600;
/// Opening of that reason, in a line of the file's `//!`.
const REASON: &str = "//! Longer than 600 lines: ";
/// Lines of a function from its head to its closing brace. clippy's `too_many_lines` leaves out comments and blank lines.
const MAX_FUNCTION_LINES: usize = 60;

/// The fault of a file that is too long and does not say why.
pub(crate) fn too_long(text: &str) -> Option<String> {
    let lines = text.lines().count();
    let mut top = text.lines().take_while(|line| line.starts_with("//!"));
    let has_reason = top.any(|line| line.starts_with(REASON) && line.len() > REASON.len());
    (lines > MAX_FILE_LINES && !has_reason)
        .then(|| format!("1: {lines} lines, and no line \"{REASON}…\" at its top"))
}

/// The functions that are too long: first line, and number of lines.
pub(crate) fn long_functions(text: &str) -> Vec<String> {
    functions(text)
        .into_iter()
        .filter(|function| function.lines > MAX_FUNCTION_LINES)
        .map(|long| format!("{}: a function of {} lines", long.first, long.lines))
        .collect()
}

/// A function, by its first line and its number of lines.
struct Function {
    first: usize,
    lines: usize,
}

/// The functions with a body in rustfmt's layout: a head that begins a line, and a closing brace as far in as the head.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if !is_head(line.trim_start()) {
            continue;
        }
        // A head ends in `{`, or in `;` when a trait only declares it, or has its whole body on the line.
        let rest = &lines[index..];
        let Some(opening) = rest.iter().position(|l| l.ends_with(['{', ';', '}'])) else {
            continue;
        };
        if rest[opening].ends_with(';') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let count = if rest[opening].ends_with('}') {
            opening
        } else {
            rest.iter().position(|l| *l == closing).unwrap_or(0)
        };
        found.push(Function {
            first: index + 1,
            lines: count + 1,
        });
    }
    found
}

/// True if a line, without its indent, begins a function.
fn is_head(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words
        .by_ref()
        .find(|word| {
            let qualifier = ["pub", "async", "const", "unsafe", "extern"].contains(word);
            !qualifier && !word.starts_with("pub(") && !word.starts_with('"')
        })
        .is_some_and(|word| word == "fn")
}

#[test]
fn functions_are_measured_from_head_to_closing_brace() {
    let text = "//! x\nimpl X {\n    pub(crate) async fn a(\n        b: u8,\n    ) {\n        c();\n    }\n}\n\
                fn d() {}\ntrait T {\n    fn e(&self);\n    fn f(&self) {\n        g()\n    }\n}\n";
    let found: Vec<_> = functions(text).iter().map(|f| (f.first, f.lines)).collect();
    assert_eq!(found, [(3, 5), (9, 1), (12, 3)]);
}

#[test]
fn function_of_sixty_one_lines_is_too_long() {
    let function = |body: usize| format!("fn a() {{\n{}}}\n", "    b();\n".repeat(body));
    assert!(long_functions(&function(58)).is_empty());
    assert_eq!(long_functions(&function(59)), ["1: a function of 61 lines"]);
}

#[test]
fn file_of_six_hundred_and_one_lines_needs_a_reason_at_its_top() {
    let file = |top: &str| format!("//! x\n{top}\n{}", "\n".repeat(599));
    assert!(too_long(&file("//! Longer than 600 lines: one table.")).is_none());
    for top in [
        "",
        "//! Longer than 600 lines: ",
        "// Longer than 600 lines: x",
    ] {
        assert!(too_long(&file(top)).is_some(), "{top}");
    }
    assert!(too_long(&"\n".repeat(600)).is_none());
}
