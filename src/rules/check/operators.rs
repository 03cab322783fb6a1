//! Comparisons and arithmetic: which types meet, in which unit, and what comes out.

use crate::diag::{Diagnostic, Span, codes};
use crate::rules::check::checker::{Checked, Checker};
use crate::rules::check::{literals, types};
use crate::rules::program::{Constant, NodeId, Op, Type};
use crate::rules::syntax::ast::{
    AggregateFunction, ArithmeticOp, CompareOp, Expr, ExprKind, Literal, LiteralKind,
};

/// A checked operand and the author's words for it.
type Operand = (NodeId, Span);

/// Longest text of an amount that a help repeats.
const LONG: usize = 40;

impl Checker<'_, '_> {
    /// `a < b`.
    pub(super) fn compare(
        &mut self,
        op: CompareOp,
        a: &Expr,
        b: &Expr,
        span: Span,
    ) -> Option<NodeId> {
        let (left, right) = self.pair(a, b, None)?;
        self.refuse_odd_share((left, a), (right, b))?;
        self.refuse_odd_share((right, b), (left, a))?;
        let (left, right) = self.unify((left, a.span), (right, b.span))?;
        let ty = self.ty(left);
        let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
        if ty == Type::Geo || (!equality && !ty.is_ordered()) {
            let message =
                format!("`{}` is {}: it has no order", self.quote(a.span), self.describe(ty));
            let help = match ty {
                Type::Geo => "use `distance(a, b)`",
                Type::Bool => "write the condition itself, or `not` before it",
                _ => "compare with `=` or `!=`",
            };
            return self.refuse(Diagnostic::new(codes::E0201, span, message).with_help(help));
        }
        if let Some(exact) = self.compare_deviation(op, left, right, span) {
            return exact;
        }
        let constant_first = matches!(self.op(left), Some(Op::Constant(_)))
            && !matches!(self.op(right), Some(Op::Constant(_)));
        let node = if constant_first {
            Op::Compare(mirrored(op), right, left)
        } else {
            Op::Compare(op, left, right)
        };
        self.node(node, Type::Bool, span)
    }

    /// Refuses a whole number against a per cent, and a share against more than the whole.
    fn refuse_odd_share(
        &mut self,
        (id, a): (NodeId, &Expr),
        (_, b): (NodeId, &Expr),
    ) -> Option<()> {
        let ExprKind::Literal(literal) = &b.kind else { return Some(()) };
        let is_share = matches!(&a.kind, ExprKind::Aggregate(aggregate)
            if aggregate.function == AggregateFunction::Share);
        let (message, help) = match &literal.kind {
            LiteralKind::Percent(_) if self.ty(id) == Type::Integer => (
                format!("`{}` is a whole number, compared with a per cent", self.quote(a.span)),
                format!("for a share of something write `{} of …`", self.quote(b.span)),
            ),
            LiteralKind::Number(decimal)
                if self.ty(id) == Type::Integer && literals::is_thousands(*decimal) =>
            {
                let found = literals::thousands(*decimal, b.span);
                return self.refuse(*found);
            }
            LiteralKind::Number(decimal) if is_share && literals::to_f64(*decimal) > 1.0 => (
                format!("a share is at most 100%, compared with {}", self.quote(b.span)),
                format!("write `{}%`", self.quote(b.span)),
            ),
            _ => return Some(()),
        };
        self.refuse(Diagnostic::new(codes::E0205, b.span, message).with_help(help))
    }

    /// `value > average + factor * deviation` of the same entries, decided in integers. Outer `None`: another shape.
    fn compare_deviation(
        &mut self,
        op: CompareOp,
        left: NodeId,
        right: NodeId,
        span: Span,
    ) -> Option<Checked<NodeId>> {
        if matches!(op, CompareOp::Eq | CompareOp::Ne) {
            return None;
        }
        let (op, value, bound) = match (self.bound(right), self.bound(left)) {
            (Some(bound), None) => (op, left, bound),
            (None, Some(bound)) => (mirrored(op), right, bound),
            _ => return None,
        };
        let Bound { count, sum, squares, factor_micro } = bound;
        // Exact only where the value is in the unit of the remembered column.
        if self.ty(value) != self.ty(sum) {
            return None;
        }
        let op = Op::CompareDeviation { op, value, count, sum, squares, factor_micro };
        Some(self.node(op, Type::Bool, span))
    }

    /// Reads `mean + factor * deviation` in any order of its parts.
    fn bound(&self, id: NodeId) -> Option<Bound> {
        let (a, b, sign) = match self.op(id)? {
            Op::Add(a, b) => (*a, *b, 1),
            Op::Sub(a, b) => (*a, *b, -1),
            _ => return None,
        };
        let read = |mean: NodeId, deviation: NodeId, sign: i64| {
            let Op::Mean { sum, count } = *self.op(mean)? else { return None };
            let (deviation, factor_micro) = self.factor(deviation)?;
            let Op::Deviation { count: other_count, sum: other_sum, squares } =
                *self.op(deviation)?
            else {
                return None;
            };
            (sum == other_sum && count == other_count).then_some(Bound {
                count,
                sum,
                squares,
                factor_micro: sign * factor_micro,
            })
        };
        read(a, b, sign).or_else(|| if sign == 1 { read(b, a, 1) } else { None })
    }

    /// `deviation`, `2.5 * deviation`, `250% of deviation`: the deviation and its factor in millionths, when exact.
    fn factor(&self, id: NodeId) -> Option<(NodeId, i64)> {
        match self.op(id)? {
            Op::Deviation { .. } => Some((id, 1_000_000)),
            Op::Percent { ppm, of } => Some((*of, *ppm)),
            Op::Mul(a, b) => {
                let constant = |id: NodeId| match self.op(id) {
                    Some(Op::Constant(Constant::Int(value))) => value.checked_mul(1_000_000),
                    Some(Op::Constant(Constant::Number(value))) => exact_millionths(*value),
                    _ => None,
                };
                match (constant(*a), constant(*b)) {
                    (None, Some(factor)) => Some((*a, factor)),
                    (Some(factor), None) => Some((*b, factor)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Both operands; a bare word, a constant and money of a varying currency take the type of the other side.
    fn pair(&mut self, a: &Expr, b: &Expr, hint: Option<Type>) -> Option<(NodeId, NodeId)> {
        let bound = self.currency_of(a).max(self.currency_of(b));
        let hint = match (hint, bound) {
            (Some(Type::Money(_)), _) | (_, None) => hint,
            (_, Some((_, currency))) => Some(Type::Money(currency)),
        };
        let money = hint.filter(|ty| matches!(ty, Type::Money(_)));
        if self.takes_type_from_other_side(a) && !self.takes_type_from_other_side(b) {
            let right = self.expr(b, hint)?;
            let left = self.expr(a, money.or(Some(self.ty(right))))?;
            return Some((left, right));
        }
        let left = self.expr(a, hint);
        let Some(left) = left else {
            if !self.takes_type_from_other_side(b) {
                self.expr(b, hint);
            }
            return None;
        };
        let ty = self.ty(left);
        let right = match (money, ty) {
            (Some(money), Type::Money(_) | Type::Integer | Type::Number) => {
                self.expr(b, Some(money))?
            }
            _ => self.expr(b, Some(ty))?,
        };
        Some((left, right))
    }

    /// Brings two operands to one type, or says why that cannot be.
    pub(super) fn unify(&mut self, a: Operand, b: Operand) -> Option<(NodeId, NodeId)> {
        let (left, right) = (self.ty(a.0), self.ty(b.0));
        if left == right {
            return Some((a.0, b.0));
        }
        match (left, right) {
            (Type::Integer, Type::Number) => Some((self.as_number(a)?, b.0)),
            (Type::Number, Type::Integer) => Some((a.0, self.as_number(b)?)),
            _ => {
                let diagnostic = self.mismatch(a, b);
                self.refuse(diagnostic)
            }
        }
    }

    /// An integer constant as a number; other integers meet numbers as they are, and so do those beyond 2^53, which
    /// would lose their last digits.
    fn as_number(&mut self, operand: Operand) -> Option<NodeId> {
        match self.op(operand.0) {
            Some(&Op::Constant(Constant::Int(value))) if value.unsigned_abs() <= 1 << 53 => {
                #[expect(clippy::cast_precision_loss, reason = "up to 2^53, which a double holds")]
                let value = value as f64;
                self.node(Op::Constant(Constant::Number(value)), Type::Number, operand.1)
            }
            _ => Some(operand.0),
        }
    }

    fn mismatch(&self, a: Operand, b: Operand) -> Diagnostic {
        let (left, right) = (self.ty(a.0), self.ty(b.0));
        let (left_text, right_text) = (self.quote(a.1), self.quote(b.1));
        let whole = a.1.to(b.1);
        match (left, right) {
            (Type::Money(currency), other) if types::is_numeric(other) => {
                self.plain_number((a, &left_text), (b, &right_text), &currency.to_string())
            }
            (other, Type::Money(currency)) if types::is_numeric(other) => {
                self.plain_number((b, &right_text), (a, &left_text), &currency.to_string())
            }
            (Type::Money(one), Type::Money(two)) => {
                let message = format!("`{left_text}` is in {one}, `{right_text}` is in {two}");
                Diagnostic::new(codes::E0220, whole, message).with_help(format!(
                    "bring both to one currency, as in `... in {one}` inside the aggregate"
                ))
            }
            (Type::Entity(_), Type::Entity(_)) => {
                let message = format!(
                    "`{left_text}` is {} and `{right_text}` is {}; they can never be equal",
                    self.describe(left),
                    self.describe(right)
                );
                Diagnostic::new(codes::E0214, whole, message).with_label("different entities")
            }
            _ => {
                let message = format!(
                    "`{left_text}` is {}, `{right_text}` is {}",
                    self.described(a.0),
                    self.described(b.0)
                );
                let unit = unit_example(left).or_else(|| unit_example(right));
                match unit {
                    Some(example) if types::is_numeric(left) || types::is_numeric(right) => {
                        Diagnostic::new(codes::E0205, whole, message)
                            .with_help(format!("give the number its unit, as in `{example}`"))
                    }
                    _ => Diagnostic::new(codes::E0201, whole, message)
                        .with_label("these can never be compared or combined"),
                }
            }
        }
    }

    /// The type of a value in words; of an amount whose currency the record says, no currency.
    fn described(&self, id: NodeId) -> String {
        match self.op(id) {
            Some(Op::MoneyField { currency: Err(_), .. }) => {
                "money in the currency of the record".to_owned()
            }
            _ => self.describe(self.ty(id)),
        }
    }

    /// Points at what is easily written otherwise: the number that is a constant, else the amount that is one.
    fn plain_number(
        &self,
        (money, amount): (Operand, &str),
        (number, text): (Operand, &str),
        currency: &str,
    ) -> Diagnostic {
        let message = format!("`{amount}` is money, `{text}` is a plain number");
        let of_number = self.is_constant(number);
        let (pointed, said) =
            if !of_number && self.is_constant(money) { (money, amount) } else { (number, text) };
        let diagnostic = Diagnostic::new(codes::E0211, pointed.1, message);
        let (value, declared) = match self.scope.params.get(said) {
            Some(param) => (param.value, true),
            None => (pointed.1, false),
        };
        let diagnostic =
            if declared { diagnostic.with_related(value, "its value") } else { diagnostic };
        let written = self.quote(value);
        if !of_number && pointed == number {
            return diagnostic
                .with_help("compare money with money, or divide it by money to get a ratio");
        }
        if of_number && written.ends_with('%') {
            let what = if amount.len() <= LONG { amount } else { "the amount" };
            return diagnostic.with_help(if declared {
                format!("a part of an amount is a product: write `{said} * {what}`")
            } else {
                format!("a part of an amount is `{said} of` it: write `{said} of {what}`")
            });
        }
        if !written.starts_with(|first: char| first.is_ascii_digit()) {
            return diagnostic.with_help(format!(
                "say it as an amount where `{said}` gets its value, as in `500 {currency}`"
            ));
        }
        let meant = match written.strip_suffix(currency) {
            Some(plain) => plain.trim_end().to_owned(),
            None => format!("{written} {currency}"),
        };
        let help = if declared {
            format!("write `param {said} = {meant}`")
        } else {
            format!("write `{meant}`")
        };
        diagnostic.with_help(help).with_fix(value, meant)
    }

    fn is_constant(&self, (id, _): Operand) -> bool {
        matches!(self.op(id), Some(Op::Constant(_)))
    }

    /// `a + b`, `a - b`, `a * b`, `a / b`.
    pub(super) fn arithmetic(
        &mut self,
        op: ArithmeticOp,
        a: &Expr,
        b: &Expr,
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        match op {
            ArithmeticOp::Add | ArithmeticOp::Sub => self.add_or_sub(op, a, b, hint, span),
            ArithmeticOp::Mul => {
                let money = hint.filter(|ty| matches!(ty, Type::Money(_)));
                let (left, right) = (self.expr(a, money), self.expr(b, money));
                self.product((left?, a.span), (right?, b.span), span)
            }
            ArithmeticOp::Div => {
                let money = hint.filter(|ty| matches!(ty, Type::Money(_)));
                let bound = self.currency_of(a).max(self.currency_of(b));
                let hint = bound.map(|(_, currency)| Type::Money(currency)).or(money);
                let (left, right) = (self.expr(a, hint), self.expr(b, hint));
                self.quotient((left?, a.span), (right?, b.span), span)
            }
        }
    }

    fn add_or_sub(
        &mut self,
        op: ArithmeticOp,
        a: &Expr,
        b: &Expr,
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        let adds = op == ArithmeticOp::Add;
        let make = if adds { Op::Add } else { Op::Sub };
        let (left, right) = self.pair(a, b, hint)?;
        let ty = match (self.ty(left), self.ty(right)) {
            (Type::Time, Type::Duration) => Type::Time,
            (Type::Duration, Type::Time) if adds => {
                return self.node(Op::Add(right, left), Type::Time, span);
            }
            (Type::Time, Type::Time) if !adds => Type::Duration,
            (Type::Integer, Type::Integer) => Type::Integer,
            _ => {
                let (left, right) = self.unify((left, a.span), (right, b.span))?;
                return match self.ty(left) {
                    Type::Integer | Type::Number => {
                        self.node(make(left, right), Type::Number, span)
                    }
                    ty @ (Type::Money(_) | Type::Duration) => {
                        self.node(make(left, right), ty, span)
                    }
                    ty => {
                        let message = format!("{} has no sum and no difference", self.describe(ty));
                        self.refuse(Diagnostic::new(codes::E0201, span, message))
                    }
                };
            }
        };
        self.node(make(left, right), ty, span)
    }

    /// Money and durations stand first in a product.
    fn product(&mut self, a: Operand, b: Operand, span: Span) -> Option<NodeId> {
        let (left, right) = (self.ty(a.0), self.ty(b.0));
        let op = Op::Mul(a.0, b.0);
        match (left, right) {
            (Type::Integer, Type::Integer) => self.node(op, Type::Integer, span),
            (x, y) if types::is_numeric(x) && types::is_numeric(y) => {
                let (a, b) = (self.as_number_beside(a, y)?, self.as_number_beside(b, x)?);
                self.node(Op::Mul(a, b), Type::Number, span)
            }
            (Type::Money(_) | Type::Duration, y) if types::is_numeric(y) => {
                self.node(op, left, span)
            }
            (x, Type::Money(_) | Type::Duration) if types::is_numeric(x) => {
                self.node(Op::Mul(b.0, a.0), right, span)
            }
            _ => self.no_such(
                a,
                b,
                "multiplied",
                "money and durations are multiplied by plain numbers",
                span,
            ),
        }
    }

    fn quotient(&mut self, a: Operand, b: Operand, span: Span) -> Option<NodeId> {
        let (left, right) = (self.ty(a.0), self.ty(b.0));
        let op = Op::Div(a.0, b.0);
        match (left, right) {
            (x, y) if types::is_numeric(x) && types::is_numeric(y) => {
                self.node(op, Type::Number, span)
            }
            (Type::Money(x), Type::Money(y)) if x == y => self.node(op, Type::Number, span),
            (Type::Duration, Type::Duration) | (Type::Distance, Type::Distance) => {
                self.node(op, Type::Number, span)
            }
            (Type::Money(_), y) if types::is_numeric(y) => self.node(op, left, span),
            (Type::Distance, Type::Duration) => self.node(op, Type::Speed, span),
            (Type::Money(_), Type::Money(_)) => {
                let diagnostic = self.mismatch(a, b);
                self.refuse(diagnostic)
            }
            _ => self.no_such(
                a,
                b,
                "divided",
                "possible are number / number, money / money, money / number, duration / duration, distance / distance and distance / duration",
                span,
            ),
        }
    }

    fn no_such(
        &mut self,
        a: Operand,
        b: Operand,
        verb: &str,
        help: &str,
        span: Span,
    ) -> Option<NodeId> {
        let message = format!(
            "`{}` is {}, `{}` is {}: they cannot be {verb}",
            self.quote(a.1),
            self.described(a.0),
            self.quote(b.1),
            self.described(b.0)
        );
        self.refuse(Diagnostic::new(codes::E0205, span, message).with_help(help))
    }

    fn as_number_beside(&mut self, operand: Operand, other: Type) -> Option<NodeId> {
        if other == Type::Number { self.as_number(operand) } else { Some(operand.0) }
    }

    /// `a default b`.
    pub(super) fn default_of(
        &mut self,
        a: &Expr,
        b: &Expr,
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        let (left, right) = self.pair(a, b, hint)?;
        let (left, right) = self.unify((left, a.span), (right, b.span))?;
        let mixed = self.ty(left) != self.ty(right);
        let ty = if mixed { Type::Number } else { self.ty(left) };
        self.node(Op::Default(left, right), ty, span)
    }

    /// `80% of a`.
    pub(super) fn percent_of(
        &mut self,
        percent: &Literal,
        of: &Expr,
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        let LiteralKind::Percent(decimal) = percent.kind else {
            let diagnostic =
                Diagnostic::new(codes::E0202, percent.span, "a percentage is expected here")
                    .with_help("write it as `80%`");
            return self.refuse(diagnostic);
        };
        let ppm = literals::scaled(decimal, 4).and_then(|ppm| i64::try_from(ppm).ok());
        let Some(ppm) = ppm else {
            let diagnostic =
                Diagnostic::new(codes::E0231, percent.span, "this percentage has too many digits")
                    .with_help("at most four decimals");
            return self.refuse(diagnostic);
        };
        let hint = hint.filter(|ty| matches!(ty, Type::Money(_)));
        let of_id = self.expr(of, hint)?;
        match self.ty(of_id) {
            ty @ Type::Money(_) => self.node(Op::Percent { ppm, of: of_id }, ty, span),
            Type::Integer | Type::Number => {
                self.node(Op::Percent { ppm, of: of_id }, Type::Number, span)
            }
            Type::Duration => {
                let result = literals::constant(percent, None, self.build.world);
                let (constant, ty) = self.keep(result)?;
                let factor = self.node(Op::Constant(constant), ty, percent.span)?;
                self.node(Op::Mul(of_id, factor), Type::Duration, span)
            }
            ty => {
                let message = format!("a percentage of {} makes no sense", self.describe(ty));
                self.refuse(Diagnostic::new(codes::E0205, of.span, message))
            }
        }
    }
}

/// `mean + factor * deviation` over one set of entries.
struct Bound {
    count: NodeId,
    sum: NodeId,
    squares: NodeId,
    factor_micro: i64,
}

/// The value in millionths when it has no finer part.
fn exact_millionths(value: f64) -> Option<i64> {
    let scaled = value * 1e6;
    let rounded = scaled.round();
    if (scaled - rounded).abs() > 1e-6 || rounded.abs() > 1e15 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 10^15")]
    Some(rounded as i64)
}

fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq => CompareOp::Eq,
        CompareOp::Ne => CompareOp::Ne,
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
    }
}

fn unit_example(ty: Type) -> Option<&'static str> {
    match ty {
        Type::Duration => Some("5m"),
        Type::Distance => Some("100 km"),
        Type::Speed => Some("900 km/h"),
        _ => None,
    }
}
