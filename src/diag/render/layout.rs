//! One source line in columns: what is shown, and where the marks stand under it.

use crate::diag::render::{floor, line_start};
use crate::diag::{Source, Span};

/// Most columns of a source line that are shown; longer lines are cut around the marks.
const MAX_COLUMNS: usize = 120;

/// Columns that stay visible before the marks when a long line is cut.
const COLUMNS_BEFORE: usize = 40;

const TAB_COLUMNS: usize = 4;

/// A line as it is shown, and the place of the marks in columns.
pub(super) struct Layout {
    /// The line, escaped, tabs expanded, maybe cut.
    pub(super) line: String,
    /// Columns before the marks.
    pub(super) indent: usize,
    /// Columns that are marked, at least one.
    pub(super) width: usize,
    /// Characters that are cut off at the left.
    pub(super) cut: usize,
}

/// One character as it is shown.
struct Cell {
    shown: String,
    columns: usize,
    marked: bool,
}

impl Layout {
    /// Lays out the line in which a span begins. A span over several lines is marked to the end of the first.
    pub(super) fn of(source: &Source, span: Span) -> Self {
        let (start, end) = (floor(&source.text, span.start as usize), span.end as usize);
        let (line_at, _) = line_start(&source.text, start);
        let rest = source.text.get(line_at..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let mut column = 0;
        let mut cells: Vec<Cell> = Vec::new();
        for (at, c) in line.char_indices() {
            let at = line_at + at;
            let shown = shown(c, column);
            let columns = if shown.chars().count() == 1 { columns(c) } else { shown.len() };
            cells.push(Cell { shown, columns, marked: (start..end).contains(&at) });
            column += columns;
        }
        let before = line.get(..start - line_at).unwrap_or(line).chars().count();
        Self::cut(&cells, before)
    }

    /// Joins the cells; `first` is the first marked one.
    fn cut(cells: &[Cell], first: usize) -> Self {
        let total: usize = cells.iter().map(|cell| cell.columns).sum();
        let mut from = 0;
        let mut indent: usize = cells.iter().take(first).map(|cell| cell.columns).sum();
        if total > MAX_COLUMNS && indent > COLUMNS_BEFORE {
            while let Some(cell) = cells.get(from).filter(|_| indent > COLUMNS_BEFORE) {
                indent -= cell.columns;
                from += 1;
            }
        }
        let mut line = String::new();
        if from > 0 {
            line.push('…');
            indent += 1;
        }
        let (mut used, mut width) = (0, 0);
        for cell in cells.iter().skip(from) {
            if used + cell.columns > MAX_COLUMNS {
                line.push('…');
                break;
            }
            line.push_str(&cell.shown);
            used += cell.columns;
            width += if cell.marked { cell.columns } else { 0 };
        }
        Self { line: line.trim_end().to_owned(), indent, width: width.max(1), cut: from }
    }
}

/// A character as it is shown at a column.
fn shown(c: char, column: usize) -> String {
    match c {
        '\t' => " ".repeat(TAB_COLUMNS - column % TAB_COLUMNS),
        _ if is_unsafe(c) => format!("\\u{{{:x}}}", u32::from(c)),
        _ => c.to_string(),
    }
}

/// Characters that move the cursor, hide or reorder what is shown.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e0000}'..='\u{e007f}')
}

/// Text of a message, with everything that would act on the terminal escaped.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if is_unsafe(c) => out.push_str(&shown(c, 0)),
            _ => out.push(c),
        }
    }
    out
}

/// Columns that a character takes in a terminal: 0 for combining marks, 2 for wide characters.
///
/// # Source
/// The blocks of Unicode Standard Annex 11 with property Wide, coarsely; a wrong guess shifts a caret, no more.
fn columns(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x1ab0..=0x1aff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
