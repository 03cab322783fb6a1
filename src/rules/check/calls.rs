//! The functions of the language.

use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::rules::check::checker::Checker;
use crate::rules::check::refusal::did_you_mean;
use crate::rules::check::types;
use crate::rules::program::{Function, NodeId, Op, Type};
use crate::rules::syntax::ast::{Expr, Name};
use crate::rules::syntax::words::AGGREGATES;

/// Name, function, number of arguments, how it is written.
const FUNCTIONS: [(&str, Function, usize, &str); 9] = [
    ("abs", Function::Abs, 1, "abs(amount)"),
    ("distance", Function::Distance, 2, "distance(place, geo)"),
    ("hour", Function::Hour, 1, "hour(booked_at)"),
    ("is_multiple", Function::IsMultiple, 2, "is_multiple(amount, 100 EUR)"),
    ("length", Function::Length, 1, "length(note)"),
    ("ln", Function::Ln, 1, "ln(amount / 1 EUR)"),
    ("lower", Function::Lower, 1, "lower(note)"),
    ("round", Function::Round, 1, "round(ratio)"),
    ("similarity", Function::Similarity, 2, "similarity(payee_name, account_name)"),
];

/// The functions of the language: name, and how it is written.
pub fn functions() -> impl Iterator<Item = (&'static str, &'static str)> {
    FUNCTIONS.iter().map(|(name, _, _, example)| (*name, *example))
}

/// Whether a word is a function or an aggregate.
pub(super) fn is_function(word: &str) -> bool {
    FUNCTIONS.iter().any(|(known, ..)| *known == word) || AGGREGATES.contains(&word)
}

impl Checker<'_, '_> {
    /// `name(arg, ...)`.
    pub(super) fn call(
        &mut self,
        name: &Name,
        args: &[Expr],
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        let Some(&(_, function, n_args, example)) =
            FUNCTIONS.iter().find(|(known, ..)| *known == name.text)
        else {
            return self.given(name, args, span);
        };
        if args.len() != n_args {
            let message =
                format!("`{}` takes {n_args} arguments, here are {}", name.text, args.len());
            return self.refuse(
                Diagnostic::new(codes::E0202, span, message)
                    .with_help(format!("write it as `{example}`")),
            );
        }
        match (function, args) {
            (Function::Lower | Function::Length, [text]) => {
                let id = self.text(text, "read")?;
                let ty = if function == Function::Lower { Type::Text } else { Type::Integer };
                self.node(Op::Call(function, vec![id]), ty, span)
            }
            (Function::Similarity, [a, b]) => {
                let left = self.text(a, "compared letter by letter");
                let right = self.text(b, "compared letter by letter");
                self.node(Op::Call(function, vec![left?, right?]), Type::Number, span)
            }
            (Function::Distance | Function::IsMultiple, [a, b]) => {
                self.call_of_two(function, a, b, (span, example))
            }
            (_, [value]) => {
                let hint = hint.filter(|ty| matches!(ty, Type::Money(_)));
                let id = self.expr(value, hint)?;
                self.call_of_one(function, (id, value.span), (span, example))
            }
            _ => None,
        }
    }

    /// `list(member)`: what the member gives.
    fn given(&mut self, name: &Name, args: &[Expr], span: Span) -> Option<NodeId> {
        let lists = self.build.world.lists;
        let list = lists.iter().find(|list| list.name == name.text);
        let Some(gives) = list.and_then(|list| list.gives.as_ref()) else {
            let diagnostic = unknown(name);
            return self.refuse(diagnostic);
        };
        let [member] = args else {
            let message = format!("`{}` takes one member of the list", name.text);
            return self.refuse(Diagnostic::new(codes::E0202, span, message));
        };
        let (id, list) = self.looked_up(member, name)?;
        self.node(Op::Given(id, list), gives.ty, span)
    }

    fn call_of_one(
        &mut self,
        function: Function,
        (id, value): (NodeId, Span),
        (span, example): (Span, &str),
    ) -> Option<NodeId> {
        let ty = self.ty(id);
        let result = match (function, ty) {
            (Function::Abs, Type::Integer | Type::Number | Type::Money(_) | Type::Duration) => ty,
            (Function::Round, Type::Integer) => return Some(id),
            (Function::Ln, Type::Integer | Type::Number) => Type::Number,
            (Function::Round, Type::Number) | (Function::Hour, Type::Time) => Type::Integer,
            _ => return self.wrong_argument((id, value), example),
        };
        self.node(Op::Call(function, vec![id]), result, span)
    }

    fn call_of_two(
        &mut self,
        function: Function,
        a: &Expr,
        b: &Expr,
        (span, example): (Span, &str),
    ) -> Option<NodeId> {
        let bound = self.currency_of(a).max(self.currency_of(b));
        let hint = bound.map(|(_, currency)| Type::Money(currency));
        let (left, right) = (self.expr(a, hint), self.expr(b, hint));
        let (left, right) = (left?, right?);
        let fits = |ty: Type| match function {
            Function::Distance => ty == Type::Geo,
            _ => matches!(ty, Type::Money(_)),
        };
        for (id, expr) in [(left, a), (right, b)] {
            if !fits(self.ty(id)) {
                return self.wrong_argument((id, expr.span), example);
            }
        }
        let (left, right) = self.unify((left, a.span), (right, b.span))?;
        let ty = if function == Function::Distance { Type::Distance } else { Type::Bool };
        self.node(Op::Call(function, vec![left, right]), ty, span)
    }

    fn wrong_argument(&mut self, (id, span): (NodeId, Span), example: &str) -> Option<NodeId> {
        let help = match self.ty(id) {
            Type::Entity(_) if example.starts_with("distance") => {
                "a place on the map is declared `field place : geo from \"/lat\", \"/lon\"`"
                    .to_owned()
            }
            _ => format!("write it as `{example}`"),
        };
        let message = format!(
            "`{}` is {}",
            self.quote(span),
            types::describe(self.build.world.schema, self.ty(id))
        );
        self.refuse(
            Diagnostic::new(codes::E0202, span, message)
                .with_label("wrong argument")
                .with_help(help),
        )
    }
}

fn unknown(name: &Name) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(codes::E0103, name.span, format!("there is no function `{}`", name.text))
            .with_label("unknown");
    let meant = match name.text.as_str() {
        "night" | "at_night" => Some(
            "at night is `hour(paid_at) between 1 and 4`, over midnight `(hour(paid_at) >= 22 or hour(paid_at) <= 4)`",
        ),
        "currency" => Some(
            "the currency of an amount is a field of its own: `field currency : currency from \"/currency\"`",
        ),
        _ => None,
    };
    if let Some(help) = meant {
        return diagnostic.with_help(help);
    }
    let known = FUNCTIONS.iter().map(|(known, ..)| *known).chain(AGGREGATES.iter().copied());
    let names: Vec<&str> = FUNCTIONS.iter().map(|(known, ..)| *known).collect();
    let otherwise = format!(
        "the functions are: {}; a list that gives a value for each member is asked the same way: `list {} : country gives money EUR from \"lists/{}.csv\"`",
        names.join(", "),
        name.text,
        name.text
    );
    did_you_mean(diagnostic, suggest::nearest(&name.text, known), &otherwise)
}
