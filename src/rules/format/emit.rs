//! Writes the lines: indentation, spaces, comments, and the breaks of lines that are too wide.

use crate::rules::format::MAX_WIDTH;
use crate::rules::format::lines::{Above, Layout, Line, open_brackets};
use crate::rules::format::sheet::Sheet;

/// Spaces between the code and a comment behind it.
const BEFORE_COMMENT: &str = "  ";

/// How much deeper parts of parts stand.
const DEEPER: usize = 2;

/// How deep a comment below the last clause of an item stands.
const INSIDE: usize = 2;

/// The whole text.
pub(super) fn emit(sheet: &Sheet<'_>, lines: &Layout) -> String {
    let mut writer = Writer { sheet, lines, out: String::new(), column: 0, brackets: 0 };
    let end = sheet.words.len().saturating_sub(1);
    for (index, line) in lines.lines.iter().enumerate() {
        let next = lines.lines.get(index + 1).map_or(end, |next| next.start);
        writer.line(line, next);
    }
    // Comments behind the last item hang on the end of the file.
    writer.comments_above(end, 0, Above::AsWritten);
    writer.out
}

struct Writer<'s, 'a> {
    sheet: &'s Sheet<'a>,
    lines: &'s Layout,
    out: String,
    column: usize,
    brackets: usize,
}

impl Writer<'_, '_> {
    fn line(&mut self, line: &Line, end: usize) {
        self.comments_above(line.start, line.indent, line.above);
        self.brackets = 0;
        self.indent(line.indent);
        self.stretch(line.start, end, line.hang);
        self.out.push('\n');
    }

    /// The comments above a word, and the blank lines among them. The cursor stands at the beginning of a line.
    fn comments_above(&mut self, at: usize, indent: usize, above: Above) {
        let Some(word) = self.sheet.words.get(at) else { return };
        let at_item = indent == 0;
        let mut inside = at_item && !self.out.is_empty();
        let mut owed = above == Above::Blank;
        let blank = |out: &mut String, written: bool, owed: &mut bool| {
            let wanted = core::mem::take(owed) || (written && above != Above::Nothing);
            if wanted && !out.is_empty() {
                out.push('\n');
            }
        };
        for (index, comment) in word.above.iter().enumerate() {
            inside = inside && comment.indented && !comment.blank_above;
            if inside {
                self.out.push_str(&" ".repeat(INSIDE));
            } else {
                // WHY: between comments a blank line is the author's, also where none stands above the first.
                let first = index == 0;
                if first || !comment.blank_above {
                    blank(&mut self.out, comment.blank_above, &mut owed);
                } else {
                    owed = false;
                    self.out.push('\n');
                }
                self.out.push_str(&" ".repeat(indent));
            }
            self.out.push_str(comment.text);
            self.out.push('\n');
        }
        let is_end = at + 1 == self.sheet.words.len();
        if !is_end {
            if word.above.is_empty() || inside {
                blank(&mut self.out, word.blank_above, &mut owed);
            } else if word.blank_above {
                self.out.push('\n');
            }
        }
    }

    fn indent(&mut self, indent: usize) {
        self.out.push_str(&" ".repeat(indent));
        self.column = indent;
    }

    /// Words from the cursor on; where they do not fit, broken at the parts that are least deep.
    fn stretch(&mut self, start: usize, end: usize, hang: usize) {
        let fits = self.column + self.lines.width(self.sheet, start, end) <= MAX_WIDTH;
        let inner = self.lines.breaks.range(start + 1..end.max(start + 1));
        let least = inner.clone().map(|(_, depth)| *depth).min();
        let Some(least) = least.filter(|_| !fits || self.is_interrupted(start, end)) else {
            return self.words(start, end, hang);
        };
        let parts: Vec<usize> =
            inner.filter(|(_, depth)| **depth == least).map(|(at, _)| *at).collect();
        let mut from = start;
        for part in parts.into_iter().chain([end]) {
            self.stretch(from, part, hang + DEEPER);
            if part < end {
                self.new_line(part, hang);
            }
            from = part;
        }
    }

    /// Whether a comment stands inside of a stretch.
    fn is_interrupted(&self, start: usize, end: usize) -> bool {
        (start..end).any(|at| {
            let Some(word) = self.sheet.words.get(at) else { return false };
            (at > start && !word.above.is_empty()) || (at + 1 < end && word.behind.is_some())
        })
    }

    /// Ends the line and begins one for a word in the middle of a clause, with the comments above it.
    fn new_line(&mut self, at: usize, hang: usize) {
        self.out.push('\n');
        if let Some(word) = self.sheet.words.get(at) {
            for comment in &word.above {
                self.out.push_str(&" ".repeat(hang));
                self.out.push_str(comment.text);
                self.out.push('\n');
            }
        }
        self.indent(hang);
    }

    /// Words on one line, but for comments that end it.
    fn words(&mut self, start: usize, end: usize, hang: usize) {
        let mut commented = false;
        for at in start..end {
            let Some(word) = self.sheet.words.get(at) else { return };
            if at > start {
                if commented || !word.above.is_empty() {
                    self.new_line(at, hang);
                } else {
                    let gap = self.lines.gap(self.sheet, at, self.brackets);
                    self.out.push_str(&" ".repeat(gap));
                    self.column += gap;
                }
            }
            self.out.push_str(&word.text);
            self.column += word.width();
            self.brackets = open_brackets(self.brackets, word.kind);
            commented = word.behind.is_some();
            if let Some(comment) = word.behind {
                self.out.push_str(BEFORE_COMMENT);
                self.out.push_str(comment);
            }
        }
    }
}
