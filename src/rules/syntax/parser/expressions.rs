//! Expressions, loosest operator first: `or`, `and`, `not`, comparisons, `+ -`, `* /`, `default`, `% of`, primaries.

use crate::diag::{Span, codes, suggest};
use crate::rules::syntax::ast::{
    ArithmeticOp, CompareOp, Expr, ExprKind, Literal, LiteralKind, Name,
};
use crate::rules::syntax::parser::{Parser, aggregates};
use crate::rules::syntax::phrases;
use crate::rules::syntax::token::{Sign, TokenKind};
use crate::rules::syntax::words;

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Option<Expr> {
        if self.depth == 0 {
            self.operations = 0;
        }
        self.deeper(Self::or_expr)
    }

    /// An expression, or its error node when it could not be read (then already reported).
    pub(super) fn expression_or_error(&mut self) -> Expr {
        let start = self.here();
        self.expression().unwrap_or_else(|| self.error_expr(start))
    }

    /// The error node for what has been read since `start`.
    pub(super) fn error_expr(&self, start: Span) -> Expr {
        Expr { kind: ExprKind::Error, span: self.since(start) }
    }

    fn or_expr(&mut self) -> Option<Expr> {
        self.joined("or", Self::and_expr, ExprKind::Or)
    }

    fn and_expr(&mut self) -> Option<Expr> {
        self.joined("and", Self::not_expr, ExprKind::And)
    }

    fn joined(
        &mut self,
        word: &str,
        operand: fn(&mut Self) -> Option<Expr>,
        kind: fn(Vec<Expr>) -> ExprKind,
    ) -> Option<Expr> {
        let start = self.here();
        let first = operand(self)?;
        if !self.at_word(word) {
            return Some(first);
        }
        let mut operands = vec![first];
        while self.eat_word(word) {
            operands.push(operand(self)?);
        }
        Some(Expr { kind: kind(operands), span: self.since(start) })
    }

    fn not_expr(&mut self) -> Option<Expr> {
        let start = self.here();
        if !self.eat_word("not") {
            return self.comparison();
        }
        let inner = self.deeper(Self::not_expr)?;
        Some(Expr { kind: ExprKind::Not(Box::new(inner)), span: self.since(start) })
    }

    fn comparison(&mut self) -> Option<Expr> {
        let start = self.here();
        let left = self.sum()?;
        let expr = match self.comparison_tail(left)? {
            Tail::Absent(left) => return Some(*left),
            Tail::Comparison(kind) => Expr { kind, span: self.since(start) },
        };
        if self.at_comparison() {
            let help = match &expr.kind {
                ExprKind::InList { list, negated: false, .. } if is_currency(&list.text) => {
                    "an amount is converted by itself to the currency that it is compared with: leave `in …` out; it stands inside of `sum(transfer.amount in EUR)`"
                }
                _ => "compare twice and join with `and`: `a < b and b < c`, or use `between`",
            };
            return self.fail(codes::E0014, "comparisons cannot be chained", help);
        }
        Some(expr)
    }

    fn at_comparison(&self) -> bool {
        let sign = matches!(self.kind(), TokenKind::Sign(sign) if compare_op(*sign).is_some());
        sign || matches!(
            self.word(),
            Some("in" | "between" | "is" | "matches" | "contains" | "starts_with")
        )
    }

    fn comparison_tail(&mut self, left: Expr) -> Option<Tail> {
        if let TokenKind::Sign(sign) = *self.kind()
            && let Some(op) = compare_op(sign)
        {
            self.bump();
            let right = self.sum()?;
            return Some(Tail::Comparison(ExprKind::Compare(op, Box::new(left), Box::new(right))));
        }
        let value = Box::new(left);
        match (self.word(), self.word_ahead(1)) {
            (Some("not"), Some("in")) => {
                self.bump();
                self.membership(value, true)
            }
            (Some("in"), _) => self.membership(value, false),
            (Some("between"), _) => {
                self.bump();
                let low = self.sum()?;
                if self.at_word("to") {
                    let help = "`between 500 EUR and 600 EUR`";
                    let message = "expected `and` between the two ends, found `to`";
                    return self.fail(codes::E0010, message, help);
                }
                self.expect_word("and", "between the two ends")?;
                let high = self.sum()?;
                Some(Tail::Comparison(ExprKind::Between(value, Box::new(low), Box::new(high))))
            }
            (Some("is"), _) => self.presence(value),
            (Some("matches"), _) => {
                self.bump();
                let pattern = self.text_of("a pattern")?;
                Some(Tail::Comparison(ExprKind::Matches(value, pattern)))
            }
            (Some("contains"), _) => {
                self.bump();
                let part = self.sum()?;
                Some(Tail::Comparison(ExprKind::Contains(value, Box::new(part))))
            }
            (Some("starts_with"), _) => {
                self.bump();
                let part = self.sum()?;
                Some(Tail::Comparison(ExprKind::StartsWith(value, Box::new(part))))
            }
            _ => Some(Tail::Absent(value)),
        }
    }

    /// `in [a, b]` or `in list_name`. At `in`.
    fn membership(&mut self, value: Box<Expr>, negated: bool) -> Option<Tail> {
        self.bump();
        if self.at_sign(Sign::LeftBracket) {
            let set = self.bracket_list("before the members", Self::expression)?;
            return Some(Tail::Comparison(ExprKind::InSet { value, set, negated }));
        }
        if self.opens(0) {
            let help = "a set stands in square brackets: `[DE, FR]`";
            return self.fail(codes::E0010, "expected the name of a list or `[`, found `(`", help);
        }
        let list = self.name("the name of a list or `[`")?;
        Some(Tail::Comparison(ExprKind::InList { value, list, negated }))
    }

    /// `is missing`, `is not missing`, `is present`, `is not present`. At `is`.
    fn presence(&mut self, value: Box<Expr>) -> Option<Tail> {
        self.bump();
        let negated = self.eat_word("not");
        let missing = self.at_word("missing");
        if !missing && !self.at_word("present") {
            let message = format!("expected `missing` or `present`, found {}", self.found());
            let help = "`is` only asks whether there is a value; compare with `=` or `!=`";
            let meant = self.word().and_then(phrases::help);
            return self.fail(codes::E0010, message, meant.unwrap_or(help));
        }
        self.bump();
        Some(Tail::Comparison(ExprKind::IsMissing { value, missing: missing != negated }))
    }

    fn sum(&mut self) -> Option<Expr> {
        self.chain(Self::term, |sign| match sign {
            Sign::Plus => Some(ArithmeticOp::Add),
            Sign::Minus => Some(ArithmeticOp::Sub),
            _ => None,
        })
    }

    fn term(&mut self) -> Option<Expr> {
        self.chain(Self::with_default, |sign| match sign {
            Sign::Star => Some(ArithmeticOp::Mul),
            Sign::Slash => Some(ArithmeticOp::Div),
            _ => None,
        })
    }

    /// Operators of one level, grouped from the left.
    fn chain(
        &mut self,
        operand: fn(&mut Self) -> Option<Expr>,
        op_of: fn(Sign) -> Option<ArithmeticOp>,
    ) -> Option<Expr> {
        let start = self.here();
        let mut left = operand(self)?;
        while let TokenKind::Sign(sign) = *self.kind()
            && let Some(op) = op_of(sign)
        {
            self.one_more_operation()?;
            self.bump();
            let right = operand(self)?;
            let kind = ExprKind::Arithmetic(op, Box::new(left), Box::new(right));
            left = Expr { kind, span: self.since(start) };
        }
        Some(left)
    }

    fn with_default(&mut self) -> Option<Expr> {
        let start = self.here();
        let mut left = self.percent_of()?;
        while self.at_word("default") {
            self.one_more_operation()?;
            self.bump();
            let right = self.percent_of()?;
            let kind = ExprKind::Default(Box::new(left), Box::new(right));
            left = Expr { kind, span: self.since(start) };
        }
        Some(left)
    }

    fn percent_of(&mut self) -> Option<Expr> {
        let start = self.here();
        let TokenKind::Percent(value) = *self.kind() else { return self.primary() };
        if self.word_ahead(1) != Some("of") {
            return self.primary();
        }
        let literal = Literal { kind: LiteralKind::Percent(value), span: self.bump() };
        self.bump();
        let whole = self.primary()?;
        Some(Expr { kind: ExprKind::PercentOf(literal, Box::new(whole)), span: self.since(start) })
    }

    fn primary(&mut self) -> Option<Expr> {
        let start = self.here();
        if *self.kind() == TokenKind::Bad {
            self.bump();
            return Some(self.error_expr(start));
        }
        if self.at_sign(Sign::LeftParen) {
            self.bump();
            let inner = self.expression()?;
            self.expect_close(Sign::RightParen, start)?;
            return Some(inner);
        }
        if let Some(literal) = self.optional_literal()? {
            let span = literal.span;
            return Some(Expr { kind: ExprKind::Literal(literal), span });
        }
        if self.at_sign(Sign::Minus) {
            let help = "a minus sign stands before a number only; write `0 - x`";
            return self.fail(codes::E0013, "expected a value, found `-`", help);
        }
        self.named()
    }

    /// What begins with a word: aggregate, sequence, function or path.
    fn named(&mut self) -> Option<Expr> {
        let start = self.here();
        let Some(word) = self.word() else { return self.no_value() };
        if word == "this" {
            let path = self.this_path()?;
            let span = path.span;
            return Some(Expr { kind: ExprKind::Path(path), span });
        }
        if word == "sequence" && matches!(self.word_ahead(1), Some("by" | "within")) {
            let sequence = self.deeper(Self::sequence)?;
            let kind = ExprKind::Sequence(Box::new(sequence));
            return Some(Expr { kind, span: self.since(start) });
        }
        let called = *self.kind_ahead(1) == TokenKind::Sign(Sign::LeftParen);
        if called && let Some(function) = aggregates::function_of(word) {
            let aggregate = self.deeper(|p| p.aggregate(function))?;
            let kind = ExprKind::Aggregate(Box::new(aggregate));
            return Some(Expr { kind, span: self.since(start) });
        }
        if words::is_hard(word) || words::is_soft(word) && !self.is_value_here() {
            return self.no_value();
        }
        let Some(name) = self.take_name() else { return self.no_value() };
        if called && !words::is_reserved(&name.text) {
            return self.call(name, start);
        }
        let path = self.rest_of_path(name)?;
        let span = path.span;
        Some(Expr { kind: ExprKind::Path(path), span })
    }

    fn call(&mut self, name: Name, start: Span) -> Option<Expr> {
        let open = self.bump();
        let mut arguments = Vec::new();
        if !self.at_sign(Sign::RightParen) {
            arguments = self.comma_list(Self::expression)?;
        }
        self.expect_close(Sign::RightParen, open)?;
        if self.at_word("by") {
            let message = format!("`{}` is no aggregate, so nothing is asked `by` it", name.text);
            let meant = phrases::aggregate_meant(&name.text)
                .or_else(|| suggest::nearest(&name.text, words::AGGREGATES.iter().copied()));
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the aggregates are {}", words::AGGREGATES.join(", ")),
            };
            return self.fail(codes::E0016, message, &help);
        }
        Some(Expr { kind: ExprKind::Call(name, arguments), span: self.since(start) })
    }

    /// Whether a soft word where a value is expected is one: whether its next word can stand behind a value.
    fn is_value_here(&self) -> bool {
        if self.begins_item() {
            return false;
        }
        match self.kind_ahead(1) {
            TokenKind::Sign(sign) => {
                !matches!(sign, Sign::LeftBracket | Sign::LeftParen | Sign::Colon | Sign::Arrow)
            }
            TokenKind::Word | TokenKind::Meant(_) => {
                let review_by = self.at_word("review") && self.word_ahead(1) == Some("by");
                let next = self.word_ahead(1).unwrap_or_default();
                words::is_reserved(next) && !review_by
            }
            TokenKind::End => true,
            _ => false,
        }
    }

    fn no_value<T>(&mut self) -> Option<T> {
        self.unexpected_as(codes::E0013, "a value")
    }
}

/// Whether a word is written as currencies are.
fn is_currency(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|letter| letter.is_ascii_uppercase())
}

/// What stands behind the left side of a comparison.
enum Tail {
    /// Nothing; here is the left side again.
    Absent(Box<Expr>),
    /// A comparison.
    Comparison(ExprKind),
}

fn compare_op(sign: Sign) -> Option<CompareOp> {
    match sign {
        Sign::Eq => Some(CompareOp::Eq),
        Sign::Ne => Some(CompareOp::Ne),
        Sign::Lt => Some(CompareOp::Lt),
        Sign::Le => Some(CompareOp::Le),
        Sign::Gt => Some(CompareOp::Gt),
        Sign::Ge => Some(CompareOp::Ge),
        _ => None,
    }
}
