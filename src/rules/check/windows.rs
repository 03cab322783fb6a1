//! Keys and windows of aggregates: `by receiver = this.sender over prior 24h ending 1d ago`.

use core::num::NonZeroU16;

use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::{EventId, FieldId, Role, SlotId};
use crate::rules::check::actions::KEY_PARTS;
use crate::rules::check::checker::{Checked, Checker};
use crate::rules::check::functions::word;
use crate::rules::check::limits::{MAX_NEWEST, MAX_WINDOW_MS};
use crate::rules::check::measures::duration;
use crate::rules::check::policy::unknown_timezone;
use crate::rules::check::refusal::did_you_mean;
use crate::rules::check::rules::hidden;
use crate::rules::check::schema::dotted;
use crate::rules::check::{literals, types};
use crate::rules::program::{Constant, NodeId, Op, Type};
use crate::rules::syntax::ast::{
    Aggregate, AggregateFunction as Function, Counting as AstCounting, Ending, EventCount, Key,
    Name, Window, WindowKind, WindowLength, ZoneName,
};
use crate::window::spec::{Counting, Span as WindowSpan};

impl Checker<'_, '_> {
    /// The stored keys and where the present event has them, sorted by the stored key's name.
    pub(super) fn keys(&mut self, event: EventId, keys: &[Key]) -> Option<Vec<(FieldId, SlotId)>> {
        let mut list: Vec<(FieldId, SlotId)> = Vec::new();
        let mut complete = !keys.is_empty();
        for key in keys {
            match self.key(event, key) {
                Some(pair) if list.iter().any(|(stored, _)| *stored == pair.0) => {
                    let message = format!("key `{}` is given twice", self.quote(key.span));
                    self.report.push(Diagnostic::new(codes::E0104, key.span, message));
                    complete = false;
                }
                Some(pair) => list.push(pair),
                None => complete = false,
            }
        }
        let schema = self.build.world.schema;
        list.sort_by_key(|(stored, _)| schema.event(event).field(*stored).name.clone());
        if complete && list.iter().all(|(stored, _)| !self.is_own_key(event, *stored)) {
            return self.of_nobody(event, keys);
        }
        complete.then_some(list)
    }

    /// Whether a field says by itself for whom: other values are parts of a key.
    fn is_own_key(&self, event: EventId, field: FieldId) -> bool {
        let world = self.build.world;
        types::is_textual(types::of_field(world.schema, event, field, world.base_currency))
    }

    /// Refuses a key that has values, but nobody whose they are.
    fn of_nobody<T>(&mut self, event: EventId, keys: &[Key]) -> Option<T> {
        let (first, last) = (keys.first()?, keys.last()?);
        let span = Span { end: last.span.end, ..first.span };
        let written = self.quote(span);
        let ty = self.build.world.schema.event(event);
        let mut named =
            (0_u16..).map(FieldId).zip(&ty.fields).filter(|(_, of)| of.role == Role::Key);
        let own = named.find(|(id, _)| self.is_own_key(event, *id));
        let own = own.map_or("customer", |(_, field)| field.name.as_str());
        let help = format!("say for whom, as in `by {own}, {written}`; an entity may stand alone");
        let message =
            format!("`{written}` is nobody's: it is a key only beside one that is somebody");
        self.refuse(Diagnostic::new(codes::E0401, span, message).with_help(help))
    }

    fn key(&mut self, event: EventId, key: &Key) -> Option<(FieldId, SlotId)> {
        let (world, present) = (self.build.world, self.scope.event);
        let event_name = world.schema.event(event).name.clone();
        let present_name = &world.schema.event(present).name;
        let mut name = dotted(&key.stored);
        if let Some(rest) = name.strip_prefix(&format!("{event_name}.")) {
            name = rest.to_owned();
        }
        if let [only] = key.stored.parts.as_slice()
            && self.scope.params.get(&only.text).is_some_and(|param| !param.refused)
            && world.field(event, &name).is_some()
        {
            let diagnostic = hidden("`param`", only, &format!("a key of `{event_name}` here"));
            return self.refuse(Diagnostic { span: key.stored.span, ..diagnostic });
        }
        let Some(stored) = world.field(event, &name) else {
            let mut diagnostic = self.unknown_field(event, &name, &key.stored);
            diagnostic.code = codes::E0401;
            if let Some(help) = self.same_kind(event, &name) {
                (diagnostic.help, diagnostic.fix) = (Some(help), None);
            }
            return self.refuse(diagnostic);
        };
        let this_path = key.this.as_ref().unwrap_or(&key.stored);
        let this_name = if key.this.is_some() { dotted(this_path) } else { name.clone() };
        let Some(this) = world.field(present, &this_name) else {
            let message = format!("event `{present_name}` has no `{this_name}` to look up");
            let diagnostic = Diagnostic::new(codes::E0401, this_path.span, message).with_help(format!(
                "say where this event has it: `by {name} = this.<field of {present_name}>`, or give both events one name with `entity`"
            ));
            return self.refuse(diagnostic);
        };
        let pair = [(event, stored), (present, this)]
            .map(|(event, field)| types::of_field(world.schema, event, field, world.base_currency));
        let [stored_ty, this_ty] = pair;
        for (ty, path) in [(stored_ty, &key.stored), (this_ty, this_path)] {
            if !types::is_key_part(ty) {
                let message = format!(
                    "`{}` is {} and cannot be a key",
                    self.quote(path.span),
                    self.describe(ty)
                );
                let diagnostic =
                    Diagnostic::new(codes::E0401, path.span, message).with_help(KEY_PARTS);
                return self.refuse(diagnostic);
            }
        }
        if stored_ty != this_ty {
            let message = format!(
                "`{name}` of `{event_name}` is {}, `{this_name}` of `{present_name}` is {}; they can never be equal",
                self.describe(stored_ty),
                self.describe(this_ty)
            );
            return self.refuse(Diagnostic::new(codes::E0214, key.span, message));
        }
        Some((stored, world.schema.event(present).field(this).slot))
    }

    /// How an event has what this event has by a name, where it has a field of the same kind by another one.
    fn same_kind(&self, event: EventId, name: &str) -> Option<String> {
        let (world, present) = (self.build.world, self.scope.event);
        let ty = |of: EventId, field| types::of_field(world.schema, of, field, world.base_currency);
        let own = world.field(present, name)?;
        let wanted = Some(ty(present, own)).filter(|ty| matches!(ty, Type::Entity(_)))?;
        let remembered = world.schema.event(event);
        let mut fields = (0_u16..).map(FieldId).zip(&remembered.fields);
        let (_, field) = fields.find(|(id, _)| ty(event, *id) == wanted)?;
        let (of, field) = (&remembered.name, &field.name);
        let pair = format!("`by {field} = this.{name}`");
        Some(if world.schema.event(present).fields.iter().any(|own| own.name == name) {
            format!("`{of}` has it as `{field}`: write {pair}")
        } else {
            format!(
                "`{of}` has it as `{field}`: add `| {of}.{field}` to `entity {name}`, or write {pair}"
            )
        })
    }

    /// The span and whether the present event counts.
    pub(super) fn window(&mut self, aggregate: &Aggregate) -> Option<(WindowSpan, Counting)> {
        let window = &aggregate.window;
        let (counting, length, ending) = match &window.kind {
            WindowKind::Calendar { counting, period, .. } => {
                let counting = self.so_far(aggregate, *counting)?;
                return Some((WindowSpan::of_calendar(*period), counting));
            }
            WindowKind::Lifetime(counting) => return self.lifetime(aggregate, *counting),
            WindowKind::Sliding { counting, newest, length, ending } => {
                let newest = newest.as_ref().map(|newest| self.newest(newest));
                (counting, (newest, length), ending)
            }
        };
        let (newest, length) = length;
        let named = match length {
            WindowLength::Named(name) => Some(name),
            WindowLength::Millis(..) => None,
        };
        let (length_ms, span) = self.length(length)?;
        let newest = match newest {
            None => None,
            Some(checked) => Some(checked?),
        };
        let Some(counting) = counting else {
            let events = newest.map_or_else(String::new, |n| format!("{n} events within "));
            let text = format!("{events}{}", duration(length_ms));
            return self.refuse(
                Diagnostic::new(codes::E0402, span, "say whether the window counts this event")
                    .with_label(format!("`last {text}` counts it, `prior {text}` does not"))
                    .with_help(format!("write `over last {text}` or `over prior {text}`")),
            );
        };
        let spanned = match ending {
            None => WindowSpan::sliding(length_ms, 0),
            Some(Ending::Ago(ago_ms)) => WindowSpan::sliding(length_ms, *ago_ms),
            Some(Ending::Before { period, .. }) => WindowSpan::before(length_ms, *period),
        };
        let ending_ago_ms = spanned.ending_ago_ms;
        if length_ms <= 0 || ending_ago_ms < 0 {
            return self.refuse(
                Diagnostic::new(codes::E0403, window.span, "this window is empty")
                    .with_help("give it a positive length"),
            );
        }
        if length_ms > MAX_WINDOW_MS || ending_ago_ms > MAX_WINDOW_MS {
            let found =
                Diagnostic::new(codes::E0403, window.span, "this window is longer than ten years")
                    .with_help("state is kept for the whole window; use a shorter one");
            return self.refuse(self.with_value_of(named, found));
        }
        let counting = match counting {
            AstCounting::Last => Counting::Last,
            AstCounting::Prior => Counting::Prior,
        };
        Some((WindowSpan { newest, ..spanned }, counting))
    }

    /// Whether `today` and its like count this event: `prior` says no. Without it they do, except where a function asks
    /// what was before this event; there it must be said.
    fn so_far(&mut self, aggregate: &Aggregate, counting: Option<AstCounting>) -> Option<Counting> {
        let looks_before =
            matches!(aggregate.function, Function::IsNew | Function::Last | Function::TimeSince);
        match counting {
            Some(AstCounting::Prior) => return Some(Counting::Prior),
            Some(AstCounting::Last) => return Some(Counting::Last),
            None if !looks_before => return Some(Counting::Last),
            None => {}
        }
        let span = aggregate.window.span;
        let named = self.quote(span);
        let named = named.strip_prefix("over ").unwrap_or(&named).to_owned();
        self.refuse(
            Diagnostic::new(codes::E0402, span, "say whether the window counts this event")
                .with_label(format!("`{}` asks what was before it", word(aggregate.function)))
                .with_help(format!("write `over prior {named}`"))
                .with_fix(span, format!("over prior {named}")),
        )
    }

    /// Refuses to ask what was before this event in a window that always ends with it: the most recent event is this one
    /// then, and its value is never new.
    pub(super) fn looks_back(
        &mut self,
        aggregate: &Aggregate,
        (event, field): (EventId, Option<FieldId>),
        keys: &[(FieldId, SlotId)],
    ) -> Option<()> {
        let ty = self.build.world.schema.event(event);
        let is_optional = field.is_some_and(|field| ty.field(field).optional);
        let answer = match aggregate.function {
            Function::IsNew => "false",
            Function::TimeSince => "0",
            // Where this event has no value, the last one is an earlier one's.
            Function::Last if !is_optional => "this event's own",
            _ => return Some(()),
        };
        if keys.iter().any(|(stored, this)| ty.field(*stored).slot != *this) {
            return Some(());
        }
        let (span, function) = (aggregate.window.span, word(aggregate.function));
        let prior = self.quote(span).replacen("last", "prior", 1);
        self.refuse(
            Diagnostic::new(
                codes::E0409,
                span,
                format!("`{function}` over a window that counts this event is always {answer}"),
            )
            .with_label("asks what was before this event")
            .with_help(format!("write `{prior}`"))
            .with_fix(span, prior),
        )
    }

    fn lifetime(
        &mut self,
        aggregate: &Aggregate,
        counting: Option<AstCounting>,
    ) -> Option<(WindowSpan, Counting)> {
        let (function, span) = (aggregate.function, aggregate.window.span);
        let folds = matches!(
            function,
            Function::Count | Function::IsNew | Function::Last | Function::TimeSince
        );
        if !folds {
            let message = format!("`{}` cannot look at a whole lifetime", word(function));
            return self.refuse(
                Diagnostic::new(codes::E0420, span, message)
                    .with_label("only `count`, `is_new`, `last` and `time_since` can")
                    .with_help("use a long window such as `over prior 365d`"),
            );
        }
        let counting = self.so_far(aggregate, counting)?;
        self.report.push(
            Diagnostic::new(codes::W0603, span, "state of a lifetime is never forgotten")
                .with_help(
                    "it grows with the keys; where a long window will do, write `over prior 365d`",
                ),
        );
        Some((WindowSpan::LIFETIME, counting))
    }

    /// The node that names the time zone of a window by the calendar, `Some(None)` for the policy's.
    pub(super) fn zone(&mut self, window: &Window) -> Checked<Option<NodeId>> {
        let Some(zone) = window.kind.zone() else { return Some(None) };
        match zone {
            ZoneName::Named(text) => {
                if jiff::tz::db().get(&text.text).is_err() {
                    self.report.push(unknown_timezone(text));
                    return None;
                }
                let name = Op::Constant(Constant::Text(text.text.clone()));
                self.node(name, Type::Text, text.span).map(Some)
            }
            ZoneName::Field(path) => {
                let id = self.path(path, None)?;
                if self.ty(id) == Type::Text && matches!(self.op(id), Some(Op::Field(_))) {
                    return Some(Some(id));
                }
                let message =
                    format!("`{}` is no field that can hold a time zone", self.quote(path.span));
                self.refuse(Diagnostic::new(codes::E0205, path.span, message).with_help(
                    "name a text field of this event, or a zone such as `\"Europe/Berlin\"`",
                ))
            }
        }
    }

    /// How many events a window by number holds.
    fn newest(&mut self, count: &EventCount) -> Option<NonZeroU16> {
        let (number, span) = match count {
            EventCount::Written(number, span) => {
                let number = literals::whole(*number, 0..=i32::from(MAX_NEWEST));
                (number.map(i64::from), *span)
            }
            EventCount::Named(name) => {
                let Some(param) = self.scope.params.get(&name.text) else {
                    let params = self.scope.params.keys().map(String::as_str);
                    let message = format!("there is no param `{}`", name.text);
                    let diagnostic =
                        Diagnostic::new(codes::E0401, name.span, message).with_label("unknown");
                    let near = suggest::nearest(&name.text, params);
                    let help = "write a number such as `5`, or declare `param n = 5`";
                    return self.refuse(did_you_mean(diagnostic, near, help));
                };
                match param.constant {
                    Constant::Int(number) if param.ty == Type::Integer => (Some(number), name.span),
                    _ => {
                        let ty = self.describe(param.ty);
                        let message =
                            format!("`{}` is {ty}, a number of events is whole", name.text);
                        return self.refuse(Diagnostic::new(codes::E0205, name.span, message));
                    }
                }
            }
        };
        let number = number.and_then(|number| u16::try_from(number).ok()).and_then(NonZeroU16::new);
        if let Some(number) = number.filter(|number| number.get() <= MAX_NEWEST) {
            return Some(number);
        }
        let message = format!("a window by number holds 1 to {MAX_NEWEST} events");
        let found = Diagnostic::new(codes::E0421, span, message).with_help(
            "where all events of a time are meant, leave the number out: `over last 90d`",
        );
        let named = match count {
            EventCount::Named(name) => Some(name),
            EventCount::Written(..) => None,
        };
        self.refuse(self.with_value_of(named, found))
    }

    /// A finding about what a `param` says, with the place where it says it.
    fn with_value_of(&self, name: Option<&Name>, found: Diagnostic) -> Diagnostic {
        match name.and_then(|name| self.scope.params.get(&name.text)) {
            Some(param) => found.with_related(param.value, "its value"),
            None => found,
        }
    }

    pub(super) fn length(&mut self, length: &WindowLength) -> Option<(i64, Span)> {
        let name = match length {
            WindowLength::Millis(ms, span) => return Some((*ms, *span)),
            WindowLength::Named(name) => name,
        };
        let Some(param) = self.scope.params.get(&name.text) else {
            let params = self.scope.params.keys().map(String::as_str);
            let diagnostic = Diagnostic::new(
                codes::E0401,
                name.span,
                format!("there is no param `{}`", name.text),
            )
            .with_label("unknown");
            let near = suggest::nearest(&name.text, params);
            return self.refuse(did_you_mean(diagnostic, near, length_meant(&name.text)));
        };
        match (&param.constant, param.ty) {
            (Constant::Int(ms), Type::Duration) => Some((*ms, name.span)),
            (_, ty) => {
                let message =
                    format!("`{}` is {}, a window needs a duration", name.text, self.describe(ty));
                let found = Diagnostic::new(codes::E0205, name.span, message)
                    .with_help("give the param a unit, as in `10m`");
                self.refuse(self.with_value_of(Some(name), found))
            }
        }
    }
}

/// How the length of a window is written that somebody names by a word.
fn length_meant(word: &str) -> &'static str {
    match word {
        "minute" | "hour" | "day" => {
            "a length has a number: `1m`, `1h`, `1d`; the calendar's day is `over today`"
        }
        "this_hour" | "last_hour" => "any sixty minutes are `over last 1h`",
        "last_day" | "last_week" | "last_month" => {
            "what is before this part of the calendar is `over prior 7d before this_week`; any seven days are `over last 7d`"
        }
        "week" => "the calendar's week is `over this_week`, any seven days are `over last 7d`",
        "month" => "the calendar's month is `over this_month`, any thirty days are `over last 30d`",
        "quarter" | "year" => {
            "the longest part of the calendar is `over this_month`; a length is written in days, `over last 365d`"
        }
        _ => "write a length such as `10m`, or declare `param span = 10m`",
    }
}
