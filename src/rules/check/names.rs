//! What a word or a path means: `let`, `param`, field, entity, feature, and last a member of the set that the other
//! side is of.

use crate::base::{Currency, parse_country};
use crate::diag::suggest::{self, Candidate};
use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventId, EventType, FieldId, FieldType, MoneyCurrency};
use crate::rules::check::arena::{Ir, Judged};
use crate::rules::check::calls::is_function;
use crate::rules::check::checker::{Checked, Checker, FeatureState, Param, Scope};
use crate::rules::check::cycles::no_condition;
use crate::rules::check::limits::MAX_LISTED;
use crate::rules::check::meant;
use crate::rules::check::refusal::did_you_mean;
use crate::rules::check::schema::dotted;
use crate::rules::check::sequences::no_this;
use crate::rules::check::{literals, types};
use crate::rules::program::{Constant, ListId, NodeId, Op, Type};
use crate::rules::syntax::ast::{Expr, ExprKind, LiteralKind, Name, Path};

impl Checker<'_, '_> {
    /// The meaning of a path.
    pub(super) fn path(&mut self, path: &Path, hint: Option<Type>) -> Option<NodeId> {
        let name = dotted(path);
        if path.this && self.scope.in_filter {
            return self.refuse(
                Diagnostic::new(codes::E0405, path.span, "`this` cannot be used inside an aggregate's `where`")
                    .with_help("to compare with the present event use a key, as in `by receiver = this.sender`"),
            );
        }
        if path.this && self.scope.in_step {
            return self.refuse(no_this(path.span));
        }
        if !path.this && path.parts.len() == 1 {
            if let Some(known) = self.scope.lets.get(&name) {
                let (id, words) = known.as_ref()?;
                self.build.add_words(words);
                return Some(*id);
            }
            if let Some(param) = self.scope.params.get(&name).cloned() {
                if let Some(diagnostic) = self.two_meanings(path, &name, &param) {
                    return self.refuse(diagnostic);
                }
                return self.param(param.constant, param.ty, hint, path.span);
            }
        }
        if let Some(found) = self.step_path(path, &name, hint) {
            return found;
        }
        if let Some((event, field)) = self.field_of(path, &name) {
            return self.field(event, field, hint, path.span);
        }
        if path.parts.len() == 1 && !path.this {
            if self.build.world.features.contains_key(name.as_str()) {
                let judged = self.scope.in_filter || self.scope.in_step;
                if let Some(identity) = self.build.world.cycles.get(name.as_str())
                    && judged
                {
                    return self.judged(&name, identity, hint, path.span);
                }
                return self.feature(&name, path.span);
            }
            if let Some(found) = self.word(&name, hint, path.span) {
                return found;
            }
        }
        if path.parts.len() > 1 && !path.this && path.parts[0].text == "model" {
            return self.asked_model(path);
        }
        let diagnostic = self.unknown(path, &name, hint);
        self.refuse(diagnostic)
    }

    /// Where the fields of another event than the rule's are meant, a param may have the name of one of them.
    fn two_meanings(&self, path: &Path, name: &str, param: &Param) -> Option<Diagnostic> {
        let event = self.scope.steps.own_event().unwrap_or(self.scope.event);
        self.build.world.field(event, name).filter(|_| !param.refused)?;
        let event = &self.build.world.schema.event(event).name;
        let message = format!("`{name}` is a param of this rule and a field of `{event}`");
        Some(
            Diagnostic::new(codes::E0107, path.span, message)
                .with_label("which is meant?")
                .with_help("give the param another name"),
        )
    }

    /// Whether an expression is a constant, or a bare word that only the other side can explain.
    pub(super) fn takes_type_from_other_side(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Literal(_) => true,
            ExprKind::Path(path) if path.parts.len() == 1 && !path.this => {
                let name = dotted(path);
                !self.scope.lets.contains_key(&name)
                    && self.field_of(path, &name).is_none()
                    && !self.build.world.features.contains_key(name.as_str())
            }
            _ => false,
        }
    }

    fn field_of(&self, path: &Path, name: &str) -> Option<(EventId, FieldId)> {
        let (world, event) = (self.build.world, self.scope.event);
        if let Some(found) = self.field_of_step(path, name) {
            return Some(found);
        }
        if let Some(field) = world.field(event, name) {
            return Some((event, field));
        }
        let (first, rest) = name.split_once('.')?;
        if path.this || world.schema.event_named(first) != Some(event) {
            return None;
        }
        world.field(event, rest).map(|field| (event, field))
    }

    fn param(
        &mut self,
        constant: Constant,
        ty: Type,
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        if let (Constant::Text(text), Type::Text) = (&constant, ty) {
            let as_hinted = literals::text_as(text, hint, span);
            let (constant, ty) = self.keep(as_hinted)?;
            return self.node(Op::Constant(constant), ty, span);
        }
        self.node(Op::Constant(constant), ty, span)
    }

    /// A field of an event; money in the currency that is asked for, else in its own, else in the policy's.
    pub(super) fn field(
        &mut self,
        event: EventId,
        id: FieldId,
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        let world = self.build.world;
        let field = world.schema.event(event).field(id);
        let wanted = match hint {
            Some(Type::Money(currency)) => Some(currency),
            _ => types::fixed_currency(field),
        };
        let money = wanted.unwrap_or(world.base_currency);
        let ty = types::of_field(world.schema, event, id, money);
        let op = match &field.ty {
            FieldType::Geo => Op::GeoField(field.slot),
            FieldType::Money { currency, .. } => Op::MoneyField {
                slot: field.slot,
                currency: match currency {
                    MoneyCurrency::Fixed(currency) => Ok(*currency),
                    MoneyCurrency::At(_, slot) => Err(*slot),
                },
            },
            _ => Op::Field(field.slot),
        };
        self.node(op, ty, span)
    }

    /// A named feature on this scope's event.
    pub(super) fn feature(&mut self, name: &str, span: Span) -> Option<NodeId> {
        let event = self.scope.event;
        let event_name = &self.build.world.schema.event(event).name;
        match self.feature_state(name) {
            FeatureState::Known(id, words) => {
                self.build.add_words(&words);
                Some(id)
            }
            FeatureState::InProgress => self.refuse(
                Diagnostic::new(
                    codes::E0109,
                    span,
                    format!("feature `{name}` is defined by itself"),
                )
                .with_help(
                    "a feature may ask for itself only of earlier events: `where not odd` in an aggregate over `prior`",
                ),
            ),
            FeatureState::Refused(reasons) => {
                let message =
                    format!("feature `{name}` cannot be computed on event `{event_name}`");
                let mut diagnostic = Diagnostic::new(codes::E0108, span, message);
                if let Some(first) = reasons.first() {
                    diagnostic = diagnostic.with_related(first.span, first.message.clone());
                }
                self.refuse(
                    diagnostic.with_help("use it in rules on events that have its fields and keys"),
                )
            }
        }
    }

    /// Computes a feature on this scope's event once.
    pub(super) fn feature_state(&mut self, name: &str) -> FeatureState {
        let event = self.scope.event;
        let key = (event, name.to_owned());
        if let Some(state) = self.build.features.get(&key) {
            return state.clone();
        }
        let world = self.build.world;
        let Some(feature) = world.features.get(name) else {
            return FeatureState::Refused(Vec::new());
        };
        self.build.features.insert(key.clone(), FeatureState::InProgress);
        let mut report = Vec::new();
        let in_cycle = world.cycles.contains_key(name);
        let scope = Scope { in_cycle, ..Scope::of(event) };
        let (node, words) = self.build.apart(|build| {
            Checker { build, scope: &scope, report: &mut report }.expr(&feature.expr, None)
        });
        let state = match node {
            Some(id) if report.is_empty() => FeatureState::Known(id, words),
            _ => FeatureState::Refused(report),
        };
        self.build.features.insert(key, state.clone());
        state
    }

    /// What a feature that is defined by its own past was when the event at hand was judged.
    fn judged(
        &mut self,
        name: &str,
        identity: &str,
        hint: Option<Type>,
        span: Span,
    ) -> Option<NodeId> {
        if hint != Some(Type::Bool) {
            return self.refuse(no_condition(name, span));
        }
        self.build.judged.entry((self.scope.event, name.to_owned())).or_insert(span);
        let judged = Judged { feature: name.to_owned(), identity: identity.to_owned() };
        self.intern(Ir::Judged(judged), Type::Bool, span)
    }

    /// A bare word of the set that the place asks for. Outer `None`: the place asks for no set.
    fn word(&mut self, name: &str, hint: Option<Type>, span: Span) -> Option<Checked<NodeId>> {
        let world = self.build.world;
        let ty = hint?;
        let code = match ty {
            Type::Enum(event, field) => {
                let members = types::members(world.schema, event, field);
                let index = members.iter().position(|member| member == name);
                match index.and_then(|index| u32::try_from(index).ok()) {
                    Some(index) => index,
                    None => return Some(self.refuse(no_member(name, members, span))),
                }
            }
            Type::Country => match parse_country(name.as_bytes()) {
                Some(code) => code,
                None if name.len() == 2 => {
                    return Some(self.refuse(literals::no_country(name, span)));
                }
                None => return None,
            },
            Type::Currency if name.len() == 3 => {
                let currency = self.keep(literals::currency(name, span));
                let id = currency.and_then(|currency: Currency| {
                    self.node(Op::Constant(Constant::Code(currency.0)), ty, span)
                });
                return Some(id);
            }
            _ => return None,
        };
        Some(self.node(Op::Constant(Constant::Code(code)), ty, span))
    }

    /// The index and member type of a list.
    pub(super) fn list(&mut self, name: &Name) -> Option<(ListId, Type)> {
        let lists = self.build.world.lists;
        if let Some(index) = lists.iter().position(|list| list.name == name.text) {
            return Some((ListId(u16::try_from(index).ok()?), lists[index].ty));
        }
        self.report.push(unknown_list(name, lists.iter().map(|list| list.name.as_str())));
        None
    }

    fn unknown(&self, path: &Path, name: &str, hint: Option<Type>) -> Diagnostic {
        let world = self.build.world;
        if let Some(own) = self.scope.steps.own_event() {
            return self.unknown_field(own, name, path);
        }
        let event = world.schema.event(self.scope.event);
        let first = path.parts.first().map_or("", |part| part.text.as_str());
        if path.parts.len() > 1 && !path.this {
            if name == "ip.country" {
                return Diagnostic::new(
                    codes::E0907,
                    path.span,
                    "the country of an address is not supported yet",
                )
                .with_help(
                    "ask a list of networks: `list ip_country : ip gives country from \"lists/ip_country.csv\"`, then `ip_country(ip)`",
                );
            }
            if world.schema.event_named(first).is_some_and(|other| other != self.scope.event) {
                let message = format!("`{name}` is a field of another event");
                return Diagnostic::new(codes::E0405, path.span, message)
                    .with_help(format!("here the fields of `{}` are meant; look at other events through an aggregate such as `last({name}) by ... over prior 1d`", event.name));
            }
        }
        let single = path.parts.len() == 1;
        let message = if single && !path.this && event.fields.is_empty() {
            format!("unknown name `{name}`")
        } else {
            format!("event `{}` has no field `{name}`", event.name)
        };
        let diagnostic = Diagnostic::new(codes::E0101, path.span, message).with_label("unknown");
        if let Some(help) = meant::help(world, self.scope.event, name, hint) {
            return diagnostic.with_help(help);
        }
        let near = suggest::nearest(name, self.candidates(hint));
        if let Some(near) = near {
            let prefix = if path.this { "this." } else { "" };
            return diagnostic
                .with_help(format!("did you mean `{prefix}{near}`?"))
                .with_fix(path.span, format!("{prefix}{near}"));
        }
        if is_function(name) {
            return diagnostic.with_help(format!("`{name}` is a function: write `{name}(…)`"));
        }
        diagnostic.with_help(fields_of(event))
    }

    fn candidates(&self, hint: Option<Type>) -> Vec<Candidate<'_>> {
        let world = self.build.world;
        let event = world.schema.event(self.scope.event);
        let mut list: Vec<Candidate<'_>> = Vec::new();
        for (index, field) in (0_u16..).zip(&event.fields) {
            let money = types::fixed_currency(field).unwrap_or(world.base_currency);
            let ty = types::of_field(world.schema, self.scope.event, FieldId(index), money);
            list.push(Candidate { name: &field.name, weight: i32::from(hint == Some(ty)) });
        }
        let names = self.scope.params.keys().chain(self.scope.lets.keys()).map(String::as_str);
        let roles = world.schema.roles.iter().map(|role| role.name.as_str());
        for name in names.chain(roles).chain(world.features.keys().copied()) {
            list.push(Candidate { name, weight: 0 });
        }
        list
    }

    /// The currency that an expression is bound to, and how firmly: literals most, then what state remembers, then
    /// fields (which can be converted). Higher is firmer.
    pub(super) fn currency_of(&self, expr: &Expr) -> Option<(u8, Currency)> {
        match &expr.kind {
            ExprKind::Literal(literal) => match &literal.kind {
                LiteralKind::Money(_, code) => Currency::parse(code).map(|currency| (4, currency)),
                _ => None,
            },
            ExprKind::Path(path) => self.currency_of_path(path),
            ExprKind::Aggregate(aggregate) => {
                if let Some(code) = &aggregate.currency {
                    return Currency::parse(&code.text).map(|currency| (3, currency));
                }
                let name = dotted(&aggregate.path);
                let (event, field) = name.split_once('.')?;
                let event = self.build.world.schema.event_named(event)?;
                let field = self.build.world.field(event, field)?;
                let field = self.build.world.schema.event(event).field(field);
                types::fixed_currency(field).map(|currency| (3, currency))
            }
            ExprKind::Arithmetic(_, a, b) | ExprKind::Default(a, b) => {
                self.currency_of(a).max(self.currency_of(b))
            }
            ExprKind::PercentOf(_, of) => self.currency_of(of),
            ExprKind::Call(name, args) if name.text == "abs" => {
                args.first().and_then(|arg| self.currency_of(arg))
            }
            ExprKind::Call(name, _) => {
                let list = self.build.world.lists.iter().find(|list| list.name == name.text)?;
                match list.gives.as_ref()?.ty {
                    Type::Money(currency) => Some((3, currency)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn currency_of_path(&self, path: &Path) -> Option<(u8, Currency)> {
        let name = dotted(path);
        let of = |ty: Type, firmness: u8| match ty {
            Type::Money(currency) => Some((firmness, currency)),
            _ => None,
        };
        if path.parts.len() == 1 && !path.this {
            if let Some(known) = self.scope.lets.get(&name) {
                return known.as_ref().and_then(|(id, _)| of(self.ty(*id), 3));
            }
            if let Some(param) = self.scope.params.get(&name) {
                return of(param.ty, 4);
            }
        }
        if let Some((event, field)) = self.field_of(path, &name) {
            let field = self.build.world.schema.event(event).field(field);
            return types::fixed_currency(field).map(|currency| (1, currency));
        }
        match self.build.features.get(&(self.scope.event, name)) {
            Some(FeatureState::Known(id, _)) => of(self.ty(*id), 3),
            _ => None,
        }
    }
}

fn no_member(name: &str, members: &[String], span: Span) -> Diagnostic {
    let message = format!("`{name}` is not one of [{}]", members.join(", "));
    let diagnostic = Diagnostic::new(codes::E0204, span, message);
    let known = || members.iter().map(String::as_str);
    // WHY: `fail` for `failed` is further than a misspelling, and plain all the same.
    let begun =
        |member: &&str| name.len() >= 3 && (member.starts_with(name) || name.starts_with(member));
    let near = suggest::nearest(name, known()).or_else(|| known().find(begun));
    did_you_mean(diagnostic, near, "")
}

/// A name that is no list.
pub(super) fn unknown_list<'a>(
    name: &Name,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let message = format!("there is no list `{}`", name.text);
    let diagnostic = Diagnostic::new(codes::E0106, name.span, message).with_label("unknown");
    did_you_mean(
        diagnostic,
        suggest::nearest(&name.text, known),
        &format!("declare it: `list {} : text`", name.text),
    )
}

/// The fields of an event, for a help.
pub(super) fn fields_of(event: &EventType) -> String {
    let names: Vec<&str> =
        event.fields.iter().take(MAX_LISTED).map(|field| field.name.as_str()).collect();
    let more = match event.fields.len().saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!("its fields are: {}{more}", names.join(", "))
}
