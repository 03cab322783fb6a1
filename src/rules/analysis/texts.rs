//! What is certain of texts: what small letters hold no capitals, what begins with a text holds it, and what is one of a few
//! texts is asked of each of them.
//!
//! A question is about a text as it is or in small letters ([`Text`]). The patterns of `matches` are looked into for capitals
//! only, and otherwise asked of known texts.

use core::iter;
use std::collections::BTreeMap;

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::rules::analysis::logic::{Claim, Say};
use crate::rules::analysis::windows::Scene;
use crate::rules::program::{Constant, Function, NodeId, Op};
use crate::rules::syntax::ast::CompareOp;

/// Most characters of a class that are looked at one by one.
const MAX_CLASS: u32 = 512;

/// A text that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    of: NodeId,
    in_small_letters: bool,
}

impl Text {
    /// The text of a node.
    fn of(scene: Scene<'_>, node: NodeId) -> Self {
        let mut text = Self { of: node, in_small_letters: false };
        while let Some(Op::Call(Function::Lower, list)) = scene.op(text.of)
            && let [inner] = list[..]
        {
            text = Self { of: inner, in_small_letters: true };
        }
        text
    }

    /// The text of which a node is the length.
    pub(super) fn of_length(scene: Scene<'_>, node: NodeId) -> Option<Self> {
        match scene.op(node) {
            Some(Op::Call(Function::Length, list)) => list.first().map(|of| Self::of(scene, *of)),
            _ => None,
        }
    }
}

/// What is asked of a text.
#[derive(Clone, Debug)]
enum Asked<'p> {
    Holds(&'p str),
    Begins(&'p str),
    Is(Vec<&'p str>),
    Matches(&'p str),
}

/// A question with its answer.
#[derive(Clone, Debug)]
pub(super) struct Saying<'p> {
    text: Text,
    asked: Asked<'p>,
    truth: bool,
}

impl Saying<'_> {
    /// Whether it wants a capital among small letters.
    fn has_capital(&self) -> bool {
        self.truth && self.text.in_small_letters && self.asked.needs_capital()
    }
}

/// What the atoms that are decided say of texts.
pub(super) fn sayings<'p>(scene: Scene<'p>, truths: &BTreeMap<NodeId, bool>) -> Vec<Saying<'p>> {
    truths.iter().filter_map(|(atom, truth)| saying(scene, *atom, *truth)).collect()
}

fn saying(scene: Scene<'_>, atom: NodeId, truth: bool) -> Option<Saying<'_>> {
    let constant = |id: NodeId| match scene.op(id) {
        Some(Op::Constant(Constant::Text(text))) => Some(text.as_str()),
        _ => None,
    };
    let (of, asked, truth) = match scene.op(atom)? {
        Op::Contains(of, part) => (*of, Asked::Holds(constant(*part)?), truth),
        Op::StartsWith(of, part) => (*of, Asked::Begins(constant(*part)?), truth),
        Op::Matches(of, pattern) => (*of, Asked::Matches(pattern), truth),
        Op::InSet(of, set) => {
            let texts = set.iter().map(|member| match member {
                Constant::Text(text) => Some(text.as_str()),
                _ => None,
            });
            (*of, Asked::Is(texts.collect::<Option<_>>()?), truth)
        }
        Op::Compare(op @ (CompareOp::Eq | CompareOp::Ne), a, b) => {
            let (of, text) = match (constant(*a), constant(*b)) {
                (None, Some(text)) => (*a, text),
                (Some(text), None) => (*b, text),
                _ => return None,
            };
            (of, Asked::Is(vec![text]), (*op == CompareOp::Eq) == truth)
        }
        _ => return None,
    };
    Some(Saying { text: Text::of(scene, of), asked, truth })
}

/// Whether a claim asks for capitals where there are small letters only.
pub(super) fn asks_for_capitals(scene: Scene<'_>, claim: Claim) -> bool {
    let truth = matches!(claim.say, Say::True | Say::NotFalse);
    saying(scene, claim.node, truth).is_some_and(|saying| saying.has_capital())
}

/// Whether no text is as all of this says.
pub(super) fn contradict(sayings: &[Saying<'_>]) -> bool {
    sayings.iter().any(Saying::has_capital)
        || sayings.iter().any(|saying| is_none_of_its_texts(saying, sayings))
        || parts_contradict(sayings)
}

/// Whether a text would have to be one of a few, and none of those is as it must be.
fn is_none_of_its_texts(one_of: &Saying<'_>, sayings: &[Saying<'_>]) -> bool {
    let (Asked::Is(texts), true) = (&one_of.asked, one_of.truth) else { return false };
    let fits = |text: &&str| {
        sayings.iter().all(|saying| {
            let Saying { text: about, asked, truth } = saying;
            let answer = match (one_of.text.in_small_letters, about.in_small_letters) {
                _ if about.of != one_of.text.of => None,
                (false, true) => asked.answer(&text.to_lowercase()),
                // Of what a text is in small letters nobody knows what it is.
                (true, false) => None,
                _ => asked.answer(text),
            };
            answer.is_none_or(|answer| answer == *truth)
        })
    };
    !texts.iter().any(fits)
}

/// Whether parts that a text holds, or begins with, are what it must not hold, or cannot all begin it.
fn parts_contradict(sayings: &[Saying<'_>]) -> bool {
    // What a text holds as it is it holds in small letters. A sigma is another one at the end of a word.
    let small = |saying: &Saying<'_>, part: &str| {
        (!saying.text.in_small_letters && !part.contains('Σ')).then(|| part.to_lowercase())
    };
    let mut held: Vec<(Text, String, bool)> = Vec::new();
    for saying in sayings.iter().filter(|saying| saying.truth) {
        let (part, begins) = match saying.asked {
            Asked::Holds(part) => (part, false),
            Asked::Begins(part) => (part, true),
            Asked::Is(_) | Asked::Matches(_) => continue,
        };
        held.push((saying.text, part.to_owned(), begins));
        let text = Text { in_small_letters: true, ..saying.text };
        held.extend(small(saying, part).map(|part| (text, part, begins)));
    }
    let refused = |saying: &Saying<'_>| {
        held.iter().filter(|(text, ..)| *text == saying.text).any(|(_, part, begins)| match saying
            .asked
        {
            Asked::Holds(refused) => part.contains(refused),
            Asked::Begins(refused) => *begins && part.starts_with(refused),
            Asked::Is(_) | Asked::Matches(_) => false,
        })
    };
    let parted = held.iter().enumerate().any(|(at, (text, part, begins))| {
        held.iter().skip(at).any(|(other_text, other, other_begins)| {
            text == other_text
                && *begins
                && *other_begins
                && !part.starts_with(other.as_str())
                && !other.starts_with(part.as_str())
        })
    });
    parted || sayings.iter().any(|saying| !saying.truth && refused(saying))
}

/// How many characters a text has at least and, where that is certain, at most.
pub(super) fn length(text: Text, sayings: &[Saying<'_>]) -> (usize, Option<usize>) {
    let (mut least, mut most) = (0, None::<usize>);
    for saying in sayings.iter().filter(|saying| saying.truth && saying.text == text) {
        let chars = |text: &str| text.chars().count();
        match &saying.asked {
            Asked::Holds(part) | Asked::Begins(part) => least = least.max(chars(part)),
            Asked::Is(texts) => {
                least = least.max(texts.iter().map(|text| chars(text)).min().unwrap_or(0));
                let longest = texts.iter().map(|text| chars(text)).max();
                most = most.into_iter().chain(longest).min();
            }
            Asked::Matches(_) => {}
        }
    }
    (least, most)
}

impl Asked<'_> {
    /// Whether a text is so; `None` where nobody can say.
    fn answer(&self, text: &str) -> Option<bool> {
        match self {
            Self::Holds(part) => Some(text.contains(part)),
            Self::Begins(part) => Some(text.starts_with(part)),
            Self::Is(texts) => Some(texts.contains(&text)),
            Self::Matches(pattern) => {
                regex::Regex::new(pattern).ok().map(|pattern| pattern.is_match(text))
            }
        }
    }

    /// Whether only a text with a letter that is not small is so.
    fn needs_capital(&self) -> bool {
        match self {
            Self::Holds(part) | Self::Begins(part) => !part.chars().all(is_small),
            Self::Is(texts) => texts.iter().all(|text| !text.chars().all(is_small)),
            Self::Matches(pattern) => {
                regex_syntax::Parser::new().parse(pattern).is_ok_and(|tree| capital_in(&tree))
            }
        }
    }
}

/// Whether a character may stand in a text in small letters.
fn is_small(letter: char) -> bool {
    letter.to_lowercase().eq(iter::once(letter))
}

/// Whether every text that a pattern fits has a letter that is not small. The depth is bounded by the parser.
fn capital_in(tree: &Hir) -> bool {
    match tree.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => false,
        HirKind::Literal(literal) => {
            core::str::from_utf8(&literal.0).is_ok_and(|text| !text.chars().all(is_small))
        }
        HirKind::Class(Class::Unicode(class)) => {
            let n_letters = class.iter().map(|range| range.end() as u32 - range.start() as u32 + 1);
            n_letters.sum::<u32>() <= MAX_CLASS
                && class.iter().all(|range| !(range.start()..=range.end()).any(is_small))
        }
        HirKind::Repetition(repetition) => repetition.min > 0 && capital_in(&repetition.sub),
        HirKind::Capture(capture) => capital_in(&capture.sub),
        HirKind::Concat(list) => list.iter().any(capital_in),
        HirKind::Alternation(list) => list.iter().all(capital_in),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the proof about small letters rests on: of all characters of Unicode, and of the one whose small letter depends
    /// on what stands around it.
    #[test]
    fn small_letters_stay_small() {
        for letter in '\0'..=char::MAX {
            assert!(letter.to_lowercase().all(is_small), "{letter:?}");
        }
        assert!("ΑΣ ΑΣΑ".to_lowercase().chars().all(is_small));
    }

    #[test]
    fn a_pattern_needs_a_capital_where_every_way_through_it_has_one() {
        let needs = ["B", "^[A-Z]{2}", "x(A|B)y", "(?:aB)+", "Bitcoin|Ether"];
        let does_not = ["b", "[A-Za-z]", "x(A|b)y", "A*", "(?i)bitcoin", "\\w", "[^a]", "."];
        for pattern in needs {
            assert!(Asked::Matches(pattern).needs_capital(), "{pattern}");
        }
        for pattern in does_not {
            assert!(!Asked::Matches(pattern).needs_capital(), "{pattern}");
        }
    }
}
