//! The commented example: every key with its default, written from the table of keys.

use core::fmt::Write as _;

use crate::config::keys::{Fallback, KEYS};

/// The text of `examples/riskweir.yaml`.
pub fn text() -> String {
    let mut out = String::from(
        "# Riskweir's configuration: every key with its default.\n\
         #\n\
         # Later layers win: defaults, this file, RISKWEIR__SECTION__KEY variables, flags (--set section.key=value).\n\
         # ${env:NAME} and ${file:/path} are filled in inside texts, in every layer; $${ means the text itself.\n\
         # A key that is commented out has no default; the comment says what holds without it.\n\n",
    );
    let mut open: Vec<&str> = Vec::new();
    for key in KEYS {
        let parts: Vec<&str> = key.path.split('.').collect();
        let (name, sections) = parts.split_last().map_or(("", &[][..]), |(last, s)| (*last, s));
        let shared = open.iter().zip(sections).take_while(|(a, b)| a == b).count();
        open.truncate(shared);
        if shared < sections.len() && shared == 0 {
            out.push('\n');
        }
        for (depth, section) in sections.iter().enumerate().skip(shared) {
            write_line(&mut out, depth, &format!("{section}:"));
            open.push(section);
        }
        for line in wrapped(key.doc, 110) {
            write_line(&mut out, sections.len(), &format!("# {line}"));
        }
        let line = match key.fallback {
            Fallback::Value(value) => format!("{name}: {value}"),
            Fallback::Required(value) => format!("{name}: {value}  # required"),
            Fallback::Unset(meaning) => format!("# {name}:  # without it: {meaning}"),
        };
        write_line(&mut out, sections.len(), &line);
    }
    out
}

fn write_line(out: &mut String, depth: usize, line: &str) {
    // WHY: writing to a String cannot fail.
    _ = writeln!(out, "{:indent$}{line}", "", indent = depth * 2);
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full = lines.last().is_some_and(|l| !l.is_empty() && l.len() + word.len() + 1 > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
