//! Where lines begin, how deep, which columns stand below each other, and where a line that is too wide may be broken.

use std::collections::BTreeMap;

use crate::rules::format::MAX_WIDTH;
use crate::rules::format::sheet::Sheet;
use crate::rules::format::spacing::spaces;
use crate::rules::syntax::ast::{
    Action, ActionKind, ArithmeticOp, Clause, ClauseKind, Event, Expr, ExprKind, File, Item, List,
    Model, ModelClauseKind, Policy, PolicyClauseKind, Test, Text,
};
use crate::rules::syntax::token::Sign;

/// How deep clauses, fields and parts of tests stand.
const INDENT: usize = 2;

/// How deep all actions but the first stand: below the first, behind `then`.
const ACTION_INDENT: usize = 7;

/// How much deeper the rest of a broken line stands.
const HANG: usize = 4;

/// Types that are wider than this do not push the column behind them.
const MAX_TYPE_COLUMN: usize = 20;

/// What stands above a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Above {
    /// No blank line.
    Nothing,
    /// A blank line where the author has one.
    AsWritten,
    /// A blank line.
    Blank,
}

/// A line as it would be if it could be as wide as it likes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Its first word. It goes to the first word of the next line.
    pub(super) start: usize,
    pub(super) indent: usize,
    /// Where its rest stands when it is broken.
    pub(super) hang: usize,
    pub(super) above: Above,
}

/// The layout of a file.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// In order.
    pub(super) lines: Vec<Line>,
    /// Spaces before a word, where they are not what [`spaces`] says.
    pub(super) gaps: BTreeMap<usize, usize>,
    /// Words before which a line may be broken, and how deep in the condition they stand: the least deep go first.
    pub(super) breaks: BTreeMap<usize, usize>,
}

impl Layout {
    pub(super) fn of(tree: &File, sheet: &Sheet<'_>) -> Self {
        let mut planner = Planner { sheet, out: Self::default() };
        let mut before = None;
        for item in &tree.items {
            planner.item(before, item);
            before = Some(item);
        }
        planner.align_neighbours(tree);
        let mut out = planner.out;
        out.lines.sort_by_key(|line| line.start);
        out
    }

    /// Spaces before a word that does not begin a line.
    pub(super) fn gap(&self, sheet: &Sheet<'_>, at: usize, brackets: usize) -> usize {
        if let Some(gap) = self.gaps.get(&at) {
            return *gap;
        }
        let (Some(left), Some(right)) =
            (at.checked_sub(1).and_then(|left| sheet.words.get(left)), sheet.words.get(at))
        else {
            return 0;
        };
        let before = at.checked_sub(2).and_then(|before| sheet.words.get(before));
        spaces(before, left, right, brackets)
    }

    /// Width of some words on one line.
    pub(super) fn width(&self, sheet: &Sheet<'_>, start: usize, end: usize) -> usize {
        let (mut width, mut brackets) = (0, 0_usize);
        for (at, word) in sheet.words.iter().enumerate().take(end).skip(start) {
            if at > start {
                width += self.gap(sheet, at, brackets);
            }
            brackets = open_brackets(brackets, word.kind);
            width += word.width();
        }
        width
    }
}

/// Brackets that are open behind a token.
pub(super) fn open_brackets(before: usize, kind: &crate::rules::syntax::token::TokenKind) -> usize {
    use crate::rules::syntax::token::TokenKind;
    match kind {
        TokenKind::Sign(Sign::LeftParen | Sign::LeftBracket) => before + 1,
        TokenKind::Sign(Sign::RightParen | Sign::RightBracket) => before.saturating_sub(1),
        _ => before,
    }
}

struct Planner<'s, 'a> {
    sheet: &'s Sheet<'a>,
    out: Layout,
}

impl Planner<'_, '_> {
    fn line(&mut self, start: usize, indent: usize, above: Above) {
        self.out.lines.push(Line { start, indent, hang: indent + HANG, above });
    }

    fn item(&mut self, before: Option<&Item>, item: &Item) {
        let span = item.span();
        let start = self.sheet.at(span.start);
        self.line(start, 0, above_item(before, item));
        match item {
            Item::Event(event) => self.event(event),
            Item::Entity(entity) => {
                for path in entity.paths.iter().skip(1) {
                    let bar = self.sheet.at(path.span.start).saturating_sub(1);
                    self.out.breaks.insert(bar, 0);
                }
                let equals = self.sheet.behind(entity.name.span);
                let hang = self.out.width(self.sheet, start, equals) + 1;
                if let Some(line) = self.out.lines.last_mut() {
                    line.hang = hang;
                }
            }
            Item::List(_) | Item::Snooze(_) => {}
            Item::Feature(feature) => self.breaks_of(&feature.expr, 0),
            Item::Rule(rule) => self.clauses(&rule.clauses),
            Item::Template(template) => self.clauses(&template.clauses),
            Item::Use(used) => self.clauses(&used.clauses),
            Item::Policy(policy) => self.policy(policy),
            Item::Test(test) => self.test(test),
            Item::Model(model) => self.model(model),
        }
    }

    fn event(&mut self, event: &Event) {
        let mut above = Above::Nothing;
        for field in &event.fields {
            self.line(self.sheet.at(field.span.start), INDENT, above);
            above = Above::AsWritten;
        }
        let role_width = 5;
        let parts = event.fields.iter().map(|field| {
            let role = self.sheet.at(field.span.start);
            let name = self.sheet.at(field.path.span.start);
            let colon = self.sheet.behind(field.path.span);
            let rest = self.sheet.behind(field.ty.span);
            let end = self.sheet.behind(field.span);
            (role, name, colon, (rest < end).then_some(rest))
        });
        let parts: Vec<_> = parts.collect();
        for (role, name, ..) in &parts {
            let width = self.out.width(self.sheet, *role, *name);
            self.out.gaps.insert(*name, 1 + usize::saturating_sub(role_width, width));
        }
        let columns: Vec<_> =
            parts.into_iter().map(|(_, name, colon, rest)| (name, colon, rest)).collect();
        self.declarations(&columns);
        for labels in [&event.labels, &event.answers].into_iter().flatten() {
            self.line(self.sheet.at(labels.span.start), INDENT, Above::AsWritten);
            let verdict = self.sheet.at(labels.verdict.span.start).saturating_sub(1);
            let words =
                [&labels.fraud, &labels.genuine].into_iter().filter_map(|list| list.first());
            // The word of the verdict and the bracket stand before them.
            let words = words.map(|first| self.sheet.at(first.span.start).saturating_sub(2));
            self.out.breaks.extend(words.chain([verdict]).map(|at| (at, 0)));
        }
        for bound in &event.holds {
            self.line(self.sheet.at(bound.span.start), INDENT, Above::AsWritten);
        }
    }

    /// Puts the colons below each other, and what stands behind the types.
    ///
    /// # Shape
    /// Each declaration: first word of the name, the colon, the first word behind the type if there is one.
    fn declarations(&mut self, columns: &[(usize, usize, Option<usize>)]) {
        let names: Vec<(usize, usize)> =
            columns.iter().map(|(name, colon, _)| (*name, *colon)).collect();
        self.align(&names, usize::MAX);
        let types: Vec<(usize, usize)> =
            columns.iter().filter_map(|(_, colon, rest)| Some((colon + 1, (*rest)?))).collect();
        self.align(&types, MAX_TYPE_COLUMN);
    }

    /// Pads what stands between two words so that the second ones stand below each other. Stretches beyond `widest`
    /// are not waited for.
    fn align(&mut self, stretches: &[(usize, usize)], widest: usize) {
        let width = |from: &(usize, usize)| self.out.width(self.sheet, from.0, from.1);
        let widths: Vec<usize> = stretches.iter().map(width).collect();
        let column = widths.iter().copied().filter(|width| *width <= widest).max().unwrap_or(0);
        for ((_, second), width) in stretches.iter().zip(widths) {
            self.out.gaps.insert(*second, 1 + column.saturating_sub(width));
        }
    }

    fn clauses(&mut self, clauses: &[Clause]) {
        let mut above = Above::Nothing;
        // The clause before on this line of clauses about the rule: whether it is a `ref`, and where the line ends.
        let mut open: Option<(bool, usize)> = None;
        for clause in clauses {
            let (start, end) = (self.sheet.at(clause.span.start), self.sheet.behind(clause.span));
            let is_ref = matches!(clause.kind, ClauseKind::Ref(_));
            let width = self.out.width(self.sheet, start, end);
            let joins = open.filter(|(after_ref, column)| {
                let fits = column + 2 + width <= MAX_WIDTH;
                is_about(&clause.kind) && fits && (!is_ref || *after_ref) && self.flows(start)
            });
            let column = if let Some((_, column)) = joins {
                self.out.gaps.insert(start, 2);
                column + 2 + width
            } else {
                self.line(start, INDENT, above);
                INDENT + width
            };
            above = Above::AsWritten;
            open = is_about(&clause.kind).then_some((is_ref, column));
            self.inside_clause(&clause.kind);
        }
        self.align_lets(clauses);
    }

    /// Whether no comment stands between a word and the one before.
    fn flows(&self, at: usize) -> bool {
        let above = self.sheet.words.get(at).is_some_and(|word| !word.above.is_empty());
        let before = at.checked_sub(1).and_then(|before| self.sheet.words.get(before));
        !above && before.is_none_or(|before| before.behind.is_none())
    }

    fn inside_clause(&mut self, kind: &ClauseKind) {
        match kind {
            ClauseKind::When(expr)
            | ClauseKind::Unless(expr)
            | ClauseKind::Let(_, expr)
            | ClauseKind::On(_, Some(expr)) => self.breaks_of(expr, 0),
            ClauseKind::Then(actions) => {
                if let Some(line) = self.out.lines.last_mut() {
                    line.hang = ACTION_INDENT + HANG;
                }
                for (index, action) in actions.iter().enumerate() {
                    if index > 0 {
                        let start = self.sheet.at(action.span.start);
                        self.line(start, ACTION_INDENT, Above::AsWritten);
                    }
                    self.breaks_of_action(action);
                }
            }
            _ => {}
        }
    }

    fn breaks_of_action(&mut self, action: &Action) {
        let text: Option<&Text> = match &action.kind {
            ActionKind::Block(reason) | ActionKind::Hold { reason, .. } => reason.as_ref(),
            ActionKind::Alert { message, .. } => message.as_ref(),
            _ => None,
        };
        if let Some(text) = text {
            let word = self.sheet.at(text.span.start).saturating_sub(1);
            self.out.breaks.insert(word, 0);
        }
    }

    /// A condition may be broken before `and` and `or`, a sum before `+` and `-`, an aggregate before `by` and `over`, a
    /// sequence before a step.
    fn breaks_of(&mut self, expr: &Expr, depth: usize) {
        match &expr.kind {
            ExprKind::And(parts) | ExprKind::Or(parts) => {
                let word = if matches!(expr.kind, ExprKind::And(_)) { "and" } else { "or" };
                for part in parts.iter().skip(1) {
                    let mut at = self.sheet.at(part.span.start);
                    while at > 0 && !self.sheet.words[at].is_word(word) {
                        at -= 1;
                    }
                    self.out.breaks.insert(at, depth);
                }
                for part in parts {
                    self.breaks_of(part, depth + 1);
                }
            }
            ExprKind::Aggregate(aggregate) => {
                if let Some(key) = aggregate.keys.first() {
                    let by = self.sheet.at(key.span.start).saturating_sub(1);
                    self.out.breaks.insert(by, depth);
                }
                self.out.breaks.insert(self.sheet.at(aggregate.window.span.start), depth + 1);
                if let Some(filter) = &aggregate.filter {
                    self.breaks_of(filter, depth + 2);
                }
            }
            ExprKind::Sequence(sequence) => {
                for step in &sequence.steps {
                    let mut at = self.sheet.at(step.event.span.start);
                    let begins = |at: usize| {
                        self.sheet.is_sign(at, Sign::Comma)
                            || self.sheet.is_sign(at, Sign::LeftBracket)
                    };
                    while at > 0 && !begins(at - 1) {
                        at -= 1;
                    }
                    self.out.breaks.insert(at, depth);
                    if let Some(filter) = &step.filter {
                        self.breaks_of(filter, depth + 1);
                    }
                }
            }
            ExprKind::Call(_, parts) => {
                for part in parts {
                    self.breaks_of(part, depth + 1);
                }
            }
            ExprKind::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Sub, left, right) => {
                self.breaks_of_sum(left, right, depth);
            }
            ExprKind::Compare(_, left, right)
            | ExprKind::Arithmetic(_, left, right)
            | ExprKind::Default(left, right)
            | ExprKind::Contains(left, right)
            | ExprKind::StartsWith(left, right) => {
                self.breaks_of(left, depth + 1);
                self.breaks_of(right, depth + 1);
            }
            ExprKind::Between(value, low, high) => {
                for part in [value, low, high] {
                    self.breaks_of(part, depth + 1);
                }
            }
            ExprKind::Not(inner)
            | ExprKind::PercentOf(_, inner)
            | ExprKind::Matches(inner, _)
            | ExprKind::InSet { value: inner, .. }
            | ExprKind::InList { value: inner, .. }
            | ExprKind::IsMissing { value: inner, .. } => self.breaks_of(inner, depth + 1),
            _ => {}
        }
    }

    /// The terms of `a + b - c` stand below each other.
    fn breaks_of_sum(&mut self, left: &Expr, right: &Expr, depth: usize) {
        let is_sign =
            |at: usize| self.sheet.is_sign(at, Sign::Plus) || self.sheet.is_sign(at, Sign::Minus);
        let mut sign = self.sheet.at(right.span.start).saturating_sub(1);
        while sign > 0 && !is_sign(sign) {
            sign -= 1;
        }
        self.out.breaks.insert(sign, depth);
        let is_sum =
            matches!(left.kind, ExprKind::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Sub, ..));
        // In brackets it is a term of its own.
        let goes_on = is_sum && self.sheet.behind(left.span) == sign;
        self.breaks_of(left, if goes_on { depth } else { depth + 1 });
        self.breaks_of(right, depth + 1);
    }

    fn policy(&mut self, policy: &Policy) {
        let mut above = Above::Nothing;
        let mut bands = Vec::new();
        for clause in &policy.clauses {
            let start = self.sheet.at(clause.span.start);
            self.line(start, INDENT, above);
            above = Above::AsWritten;
            if let PolicyClauseKind::Band(_, _, action) = &clause.kind {
                bands.push((start, self.sheet.at(action.span.start).saturating_sub(1)));
                self.breaks_of_action(action);
            }
        }
        self.align(&bands, usize::MAX);
    }

    fn model(&mut self, model: &Model) {
        let mut above = Above::Nothing;
        for clause in &model.clauses {
            self.line(self.sheet.at(clause.span.start), INDENT, above);
            above = Above::AsWritten;
            let ModelClauseKind::Reads(features) = &clause.kind else { continue };
            for feature in features.iter().skip(1) {
                let first = feature.direction.as_ref().map_or(feature.path.span, |word| word.span);
                self.out.breaks.insert(self.sheet.at(first.start), 0);
            }
        }
    }

    fn test(&mut self, test: &Test) {
        let word_before = |offset: u32| self.sheet.at(offset).saturating_sub(1);
        let given = test.given.iter().map(|given| self.sheet.at(given.span.start));
        let expect = test.expect.first().map(|want| word_before(want.span.start));
        let starts: Vec<usize> =
            given.chain([word_before(test.when.span.start)]).chain(expect).collect();
        for (index, start) in starts.into_iter().enumerate() {
            let above = if index == 0 { Above::Nothing } else { Above::AsWritten };
            self.line(start, INDENT, above);
        }
    }

    fn align_lets(&mut self, clauses: &[Clause]) {
        let lets = clauses.iter().map(|clause| match &clause.kind {
            ClauseKind::Let(name, _) => {
                Some((self.sheet.at(clause.span.start), self.sheet.behind(name.span)))
            }
            _ => None,
        });
        for run in self.runs(lets.collect()) {
            self.align(&run, usize::MAX);
        }
    }

    /// Puts the signs of neighbouring features and lists below each other.
    fn align_neighbours(&mut self, tree: &File) {
        let features = tree.items.iter().map(|item| match item {
            Item::Feature(feature) => {
                let equals = self.sheet.behind(feature.name.span);
                Some((self.sheet.at(feature.span.start), equals))
            }
            _ => None,
        });
        for run in self.runs(features.collect()) {
            self.align(&run, usize::MAX);
        }
        let lists = tree.items.iter().map(|item| match item {
            Item::List(list) => {
                Some((self.sheet.at(list.span.start), self.sheet.behind(list.name.span)))
            }
            _ => None,
        });
        for run in self.runs(lists.collect()) {
            let rest = |start: usize| {
                let same = |list: &&List| self.sheet.at(list.span.start) == start;
                let mut lists = tree.items.iter().filter_map(|item| match item {
                    Item::List(list) => Some(list),
                    _ => None,
                });
                let list = lists.find(same)?;
                let rest = self.sheet.behind(list.ty.span);
                (rest < self.sheet.behind(list.span)).then_some(rest)
            };
            let columns: Vec<_> =
                run.iter().map(|(start, colon)| (*start, *colon, rest(*start))).collect();
            self.declarations(&columns);
        }
    }

    /// Neighbours of one kind with neither a blank line nor a comment between them.
    fn runs(&self, all: Vec<Option<(usize, usize)>>) -> Vec<Vec<(usize, usize)>> {
        let mut runs: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut open = false;
        for one in all {
            let Some((start, stop)) = one else {
                open = false;
                continue;
            };
            let word = self.sheet.words.get(start);
            let close = word.is_some_and(|word| word.above.is_empty() && !word.blank_above);
            match runs.last_mut() {
                Some(run) if open && close => run.push((start, stop)),
                _ => runs.push(vec![(start, stop)]),
            }
            open = true;
        }
        runs
    }
}

/// Whether a clause says something about the rule and not what it does: several of them share a line.
fn is_about(kind: &ClauseKind) -> bool {
    matches!(
        kind,
        ClauseKind::Id(_)
            | ClauseKind::Owner(_)
            | ClauseKind::Severity(_)
            | ClauseKind::Typology(_)
            | ClauseKind::Ref(_)
            | ClauseKind::Tags(_)
            | ClauseKind::Effective(..)
            | ClauseKind::ReviewBy(_)
            | ClauseKind::Mandatory
            | ClauseKind::Mode(_)
    )
}

/// One-line items of a kind stand together as the author likes, and so do tests; everything else is set apart.
fn above_item(before: Option<&Item>, item: &Item) -> Above {
    match (before, item) {
        (None, _) => Above::Nothing,
        (Some(Item::Entity(_)), Item::Entity(_))
        | (Some(Item::List(_)), Item::List(_))
        | (Some(Item::Feature(_)), Item::Feature(_))
        | (Some(Item::Use(_)), Item::Use(_))
        | (Some(Item::Snooze(_)), Item::Snooze(_))
        | (Some(Item::Test(_)), Item::Test(_)) => Above::AsWritten,
        _ => Above::Blank,
    }
}
