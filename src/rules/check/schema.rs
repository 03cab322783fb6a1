//! From `event` and `entity` items to the [`Schema`].
//!
//! What this phase knows: the names of events, fields, types, units and pointers. It knows nothing of rules. Every
//! event that it returns has exactly one id and one time; an event that lacks one is reported and left out.

use std::collections::BTreeMap;

use crate::base::{Currency, NeverStore};
use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::{
    EventId, EventType, Field, FieldId, FieldType, MAX_SLOTS, MoneyCurrency, MoneyUnit, Pointer,
    Role, Schema, SlotId, TimeUnit,
};
use crate::rules::check::kinds::Kinds;
use crate::rules::check::limits::{MAX_EVENTS, MAX_LISTED};
use crate::rules::check::refusal::{Refusal, did_you_mean};
use crate::rules::check::{literals, pointer, types};
use crate::rules::program::HoldBounds;
use crate::rules::syntax::ast;

/// The words of types that are no entity kinds.
pub(super) const BUILTIN_TYPES: [&str; 10] =
    ["money", "number", "integer", "text", "bool", "country", "currency", "ip", "geo", "time"];

/// How a record may write time; numbers count from 1970.
const TIME_UNITS: [&str; 7] = ["iso", "s", "seconds", "ms", "millis", "minutes", "hours"];

/// The schema and the kind of every name that may stand as an entity type.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) schema: Schema,
    pub(super) kinds: BTreeMap<String, crate::event::schema::EntityId>,
    /// Where each event is declared.
    pub(super) event_spans: Vec<Span>,
    /// How long the events of each type may be held.
    pub(super) hold_bounds: Vec<HoldBounds>,
}

/// Compiles all `event` and `entity` items in file order.
pub(super) fn compile(items: &[&ast::Item], report: &mut Vec<Diagnostic>) -> Compiled {
    let mut builder = Builder {
        kinds: Kinds::default(),
        out: Compiled::default(),
        kind_of: BTreeMap::new(),
        never_stored: NeverStore::certain(),
        report,
    };
    for item in items {
        if let ast::Item::Event(event) = item {
            builder.event(event);
        }
    }
    builder.topics();
    for item in items {
        if let ast::Item::Entity(entity) = item {
            builder.entity(entity);
        }
    }
    builder.finish();
    builder.labels(items);
    builder.answers(items);
    builder.hold_bounds(items);
    builder.out
}

/// The schema while it is being built.
pub(super) struct Builder<'r> {
    pub(super) kinds: Kinds,
    pub(super) out: Compiled,
    /// The kind name of every field of an entity type, before names are merged.
    pub(super) kind_of: BTreeMap<(EventId, FieldId), usize>,
    /// Members that no field may read.
    never_stored: NeverStore,
    pub(super) report: &'r mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn event(&mut self, event: &ast::Event) {
        let schema = &self.out.schema;
        if let Some(first) = schema.event_named(&event.name.text) {
            let first = self.out.event_spans.get(usize::from(first.0)).copied();
            self.report.push(twice("event", &event.name, first));
            return;
        }
        if schema.events.len() >= MAX_EVENTS {
            let message = format!("more than {MAX_EVENTS} events");
            self.report.push(Diagnostic::new(codes::E0513, event.name.span, message));
            return;
        }
        let id = EventId(u16::try_from(schema.events.len()).unwrap_or(u16::MAX));
        let mut fields: Vec<Field> = Vec::new();
        let mut spans: BTreeMap<String, Span> = BTreeMap::new();
        let mut kinds: Vec<(FieldId, usize)> = Vec::new();
        let mut n_slots = 0_u16;
        for field in &event.fields {
            let name = dotted(&field.path);
            if let Some(&first) = spans.get(&name) {
                let name = ast::Name { text: name, span: field.path.span };
                self.report.push(twice("field", &name, Some(first)));
                continue;
            }
            spans.insert(name.clone(), field.path.span);
            let Some(compiled) = self.field(field, &name, &mut n_slots) else { continue };
            if let (FieldType::Entity(_), ast::TypeKind::Named(kind)) =
                (&compiled.ty, &field.ty.kind)
            {
                let kind = self.kinds.used_as_type(&kind.text, kind.span);
                kinds.push((FieldId(u16::try_from(fields.len()).unwrap_or(u16::MAX)), kind));
            }
            fields.push(compiled);
        }
        if usize::from(n_slots) > MAX_SLOTS {
            let message = format!(
                "event `{}` needs {n_slots} slots, at most {MAX_SLOTS} are possible",
                event.name.text
            );
            self.report.push(
                Diagnostic::new(codes::E0513, event.name.span, message)
                    .with_help("leave out the fields that no rule reads; `geo` and `money` with a currency of its own take two slots"),
            );
            return;
        }
        if self.add_event(event, fields, n_slots).is_some() {
            self.kind_of.extend(kinds.into_iter().map(|(field, kind)| ((id, field), kind)));
        }
    }

    fn add_event(&mut self, event: &ast::Event, fields: Vec<Field>, n_slots: u16) -> Option<()> {
        let id = self.only(event, &fields, Role::Id);
        let time = self.only(event, &fields, Role::Time);
        let discriminator = event.when.as_ref().and_then(|(at, value)| match pointer::parse(at) {
            Ok(at) => Some((at, value.text.clone())),
            Err(found) => {
                self.report.push(*found);
                None
            }
        });
        let (id, time) = (id?, time?);
        self.out.event_spans.push(event.name.span);
        self.out.schema.events.push(EventType {
            name: event.name.text.clone(),
            topic: event.topic.as_ref().map(|topic| topic.text.clone()),
            discriminator,
            fields,
            id,
            time,
            n_slots,
            labels: None,
            answers: None,
        });
        Some(())
    }

    /// The one field with this role.
    fn only(&mut self, event: &ast::Event, fields: &[Field], role: Role) -> Option<FieldId> {
        let (word, example) = match role {
            Role::Id => ("id", "id event_id : text"),
            _ => ("time", "time at : time"),
        };
        let mut found = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.role == role)
            .map(|(index, _)| index);
        let Some(first) = found.next() else {
            let message = format!("event `{}` has no `{word}`", event.name.text);
            self.report.push(
                Diagnostic::new(codes::E0508, event.name.span, message)
                    .with_help(format!("declare one, as in `{example}`")),
            );
            return None;
        };
        if found.next().is_some() {
            let message = format!("event `{}` has more than one `{word}`", event.name.text);
            self.report.push(
                Diagnostic::new(codes::E0508, event.name.span, message)
                    .with_help("keep one and make the others `field` or `key`"),
            );
        }
        u16::try_from(first).ok().map(FieldId)
    }

    fn field(&mut self, field: &ast::Field, name: &str, n_slots: &mut u16) -> Option<Field> {
        let slot = SlotId(*n_slots);
        let ty = self.field_type(field, slot)?;
        *n_slots += match &ty {
            FieldType::Geo | FieldType::Money { currency: MoneyCurrency::At(..), .. } => 2,
            _ => 1,
        };
        let role = match field.role {
            ast::FieldRole::Id => Role::Id,
            ast::FieldRole::Time => Role::Time,
            ast::FieldRole::Key => Role::Key,
            ast::FieldRole::Field => Role::Plain,
        };
        self.check_role(field, role, &ty, name);
        let from = self.pointers(field, &ty, name);
        self.check_members(field, &from, name);
        let sensitive = field.sensitive.as_ref().map(|class| class.text.clone());
        let tokenized = field.tokenized.is_some();
        if let Some(span) = field.tokenized
            && !(matches!(ty, FieldType::Entity(_)) && matches!(role, Role::Key | Role::Plain))
        {
            let message = format!("`{name}` cannot be tokenized: it is no id of an entity");
            let help = "make it a `key` or a `field` of a kind of its own, as in `key card : card tokenized`";
            self.report.push(Diagnostic::new(codes::E0202, span, message).with_help(help));
        }
        let name = name.to_owned();
        let optional = field.ty.optional;
        Some(Field { name, role, ty, optional, from, slot, sensitive, tokenized })
    }

    /// What is never stored is no field: windows, decisions and snapshots would keep it.
    fn check_members(&mut self, field: &ast::Field, from: &[Pointer], name: &str) {
        let mut members = from.iter().flat_map(|pointer| &pointer.0);
        let is_it = |member: &&String| self.never_stored.has(member.as_bytes());
        let Some(member) = members.find(is_it) else { return };
        let message = format!("`{name}` reads `{member}`, which nobody may store");
        let help = "have the producer send what rules need of it in a member of its own, such as `cvv_result`";
        let found = Diagnostic::new(codes::E0521, field.path.span, message).with_help(help);
        self.report.push(found);
    }

    fn check_role(&mut self, field: &ast::Field, role: Role, ty: &FieldType, name: &str) {
        let textual = matches!(ty, FieldType::Text | FieldType::Entity(_) | FieldType::Ip);
        let (fits, expected) = match role {
            Role::Id => (textual, "`text` or an entity"),
            Role::Time => (matches!(ty, FieldType::Time { .. }), "`time`"),
            Role::Key => (textual, "`text`, `ip` or an entity"),
            Role::Plain => (true, ""),
        };
        if !fits {
            let word = match role {
                Role::Id => "id",
                Role::Time => "time",
                Role::Key | Role::Plain => "key",
            };
            self.report.push(
                Diagnostic::new(
                    codes::E0202,
                    field.ty.span,
                    format!("the {word} `{name}` must be {expected}"),
                )
                .with_help("entities accept texts and integers of the record"),
            );
        }
        if field.ty.optional && matches!(role, Role::Id | Role::Time) {
            self.report.push(
                Diagnostic::new(
                    codes::E0221,
                    field.ty.span,
                    format!("`{name}` must always be present"),
                )
                .with_help("remove the `?`: a record without it goes to the dead letters"),
            );
        }
    }

    fn field_type(&mut self, field: &ast::Field, slot: SlotId) -> Option<FieldType> {
        let name = match &field.ty.kind {
            ast::TypeKind::OneOf(members) => {
                self.refuse_extras(field, false, false);
                return self.one_of(members, field.ty.span);
            }
            ast::TypeKind::Named(name) => name,
        };
        self.refuse_extras(
            field,
            name.text == "money",
            name.text == "time" || name.text == "money",
        );
        Some(match name.text.as_str() {
            "money" => FieldType::Money {
                currency: self.money_currency(field, slot)?,
                unit: match self.unit(field, &["major", "minor"]) {
                    Some("minor") => MoneyUnit::Minor,
                    _ => MoneyUnit::Major,
                },
            },
            "number" => FieldType::Number,
            "integer" => FieldType::Integer,
            "text" => FieldType::Text,
            "bool" => FieldType::Bool,
            "country" => FieldType::Country,
            "currency" => FieldType::CurrencyCode,
            "ip" => FieldType::Ip,
            "geo" => FieldType::Geo,
            "time" => FieldType::Time {
                unit: match self.unit(field, &TIME_UNITS) {
                    Some("s" | "seconds") => TimeUnit::Seconds,
                    Some("ms" | "millis") => TimeUnit::Millis,
                    Some("minutes") => TimeUnit::Minutes,
                    Some("hours") => TimeUnit::Hours,
                    _ => TimeUnit::Iso,
                },
            },
            // The kind's id is set when all names are known.
            _ => FieldType::Entity(crate::event::schema::EntityId(0)),
        })
    }

    fn one_of(&mut self, members: &[ast::Name], span: Span) -> Option<FieldType> {
        let mut list: Vec<String> = Vec::new();
        for member in members {
            if list.contains(&member.text) {
                self.report.push(twice("member", member, None));
            } else {
                list.push(member.text.clone());
            }
        }
        if list.is_empty() {
            let message = "a closed set needs at least one member";
            self.report.push(Diagnostic::new(codes::E0204, span, message));
            return None;
        }
        Some(FieldType::OneOf(list))
    }

    fn refuse_extras(&mut self, field: &ast::Field, money: bool, unit: bool) {
        if let (Some(_), false) = (&field.currency, money) {
            self.report.push(
                Diagnostic::new(codes::E0202, field.span, "only `money` has a currency")
                    .with_help("make the field `money`, or leave `currency` out"),
            );
        }
        if let (Some(name), false) = (&field.unit, unit) {
            self.report.push(
                Diagnostic::new(codes::E0202, name.span, "only `money` and `time` have a unit")
                    .with_help("leave `unit` out"),
            );
        }
    }

    fn money_currency(&mut self, field: &ast::Field, slot: SlotId) -> Option<MoneyCurrency> {
        match &field.currency {
            Some(ast::CurrencySource::Fixed(code)) => {
                self.keep(literals::currency(&code.text, code.span)).map(MoneyCurrency::Fixed)
            }
            Some(ast::CurrencySource::Pointer(text)) => {
                let at = self.keep(pointer::parse(text))?;
                Some(MoneyCurrency::At(at, SlotId(slot.0 + 1)))
            }
            None => {
                let name = dotted(&field.path);
                self.report.push(
                    Diagnostic::new(codes::E0501, field.span, format!("`{name}` is money: say in which currency"))
                        .with_help("add `currency EUR` when it is always the same, or `currency \"/currency\"` where the record has it"),
                );
                None
            }
        }
    }

    fn unit<'f>(&mut self, field: &'f ast::Field, known: &[&str]) -> Option<&'f str> {
        let unit = field.unit.as_ref()?;
        if known.contains(&unit.text.as_str()) {
            return Some(&unit.text);
        }
        let message = format!("unknown unit `{}`", unit.text);
        self.report.push(
            Diagnostic::new(codes::E0205, unit.span, message)
                .with_help(format!("use one of: {}", known.join(", "))),
        );
        None
    }

    fn pointers(
        &mut self,
        field: &ast::Field,
        ty: &FieldType,
        name: &str,
    ) -> Vec<crate::event::schema::Pointer> {
        let mut list = Vec::new();
        for text in &field.from {
            list.extend(self.keep(pointer::parse(text)));
        }
        if *ty == FieldType::Geo {
            if field.from.is_empty() {
                let mut latitude = pointer::of_name(name);
                let mut longitude = latitude.clone();
                latitude.0.push("lat".to_owned());
                longitude.0.push("lon".to_owned());
                return vec![latitude, longitude];
            }
            if field.from.len() != 2 {
                self.report.push(
                    Diagnostic::new(
                        codes::E0509,
                        field.span,
                        format!("`{name}` is a place and needs two pointers"),
                    )
                    .with_help("latitude first: `from \"/lat\", \"/lon\"`"),
                );
            }
        } else if field.from.is_empty() {
            list.push(pointer::of_name(name));
        }
        list
    }

    /// Events of one topic must be told apart by their discriminators.
    fn topics(&mut self) {
        let events = &self.out.schema.events;
        let pairs = events
            .iter()
            .enumerate()
            .flat_map(|(index, event)| (0..index).map(move |earlier| (index, event, earlier)));
        for (index, event, earlier_index) in pairs {
            let earlier = &events[earlier_index];
            let apart = match (&event.discriminator, &earlier.discriminator) {
                (Some(a), Some(b)) => a != b,
                _ => false,
            };
            if apart || event.topic.is_none() || event.topic != earlier.topic {
                continue;
            }
            let message = format!(
                "`{}` and `{}` come from one topic and cannot be told apart",
                earlier.name, event.name
            );
            self.report.push(
                Diagnostic::new(codes::E0514, self.out.event_spans[index], message)
                    .with_related(self.out.event_spans[earlier_index], "the other event")
                    .with_help("give each one a `when \"/type\" = \"...\"` of its own"),
            );
        }
    }

    fn finish(&mut self) {
        types::align_sets(&mut self.out.schema);
        for (name, span) in self.kinds.used_as_types() {
            let Some(meant) = type_meant(name) else { continue };
            let message = format!("`{name}` is taken as a kind of entity");
            self.report.push(
                Diagnostic::new(codes::W0101, span, message)
                    .with_help(format!("here this type is called `{meant}`"))
                    .with_fix(span, meant),
            );
        }
        for (name, span) in self.kinds.used_once() {
            if type_meant(name).is_some() {
                continue;
            }
            if let Some(near) = suggest::nearest(name, BUILTIN_TYPES) {
                self.report.push(
                    Diagnostic::new(
                        codes::W0101,
                        span,
                        format!("`{name}` is taken as a kind of entity"),
                    )
                    .with_help(format!("did you mean `{near}`?"))
                    .with_fix(span, near),
                );
            }
        }
        let (entities, by_name) = self.kinds.finish();
        let root_ids = self.kinds.ids();
        for (&(event, field), &kind) in &self.kind_of {
            let Some(&id) = root_ids.get(kind) else { continue };
            self.out.schema.events[usize::from(event.0)].fields[usize::from(field.0)].ty =
                FieldType::Entity(id);
        }
        self.out.schema.entities = entities;
        self.out.kinds = by_name;
    }

    fn keep<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|found| self.report.push(*found)).ok()
    }
}

/// Types by the names that they have elsewhere.
const TYPES_ELSEWHERE: &[(&[&str], &str)] = &[
    (&["decimal", "float", "double", "numeric", "real", "float64"], "number"),
    (&["string", "str", "varchar", "char"], "text"),
    (&["int", "long", "bigint", "int64", "uint", "uint64", "int32", "short"], "integer"),
    (&["boolean"], "bool"),
    (&["timestamp", "datetime", "date", "instant"], "time"),
    (&["ip_address", "ipv4", "ipv6", "inet"], "ip"),
    (&["coordinates", "latlon", "latlng", "geopoint", "gps", "place"], "geo"),
    (&["amount"], "money"),
    (&["percent", "percentage"], "number"),
    (&["timezone"], "text"),
];

/// The type that somebody may mean by a word that is no type here.
fn type_meant(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let known = TYPES_ELSEWHERE.iter().find(|(names, _)| names.contains(&lower.as_str()));
    known.map(|(_, meant)| *meant)
}

/// The words of a path with their dots.
pub(super) fn dotted(path: &ast::Path) -> String {
    path.parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(".")
}

/// A name that is given a second time.
pub(super) fn twice(what: &str, name: &ast::Name, first: Option<Span>) -> Diagnostic {
    let message = format!("{what} `{}` is given twice", name.text);
    let diagnostic =
        Diagnostic::new(codes::E0104, name.span, message).with_help("rename or remove one of them");
    match first {
        Some(first) => diagnostic.with_related(first, "first given here"),
        None => diagnostic,
    }
}

/// A name that is no event.
pub(super) fn unknown_event<'a>(
    name: &ast::Name,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let message = format!("there is no event `{}`", name.text);
    let diagnostic = Diagnostic::new(codes::E0102, name.span, message).with_label("unknown");
    let known: Vec<&str> = known.into_iter().collect();
    let otherwise = match known.get(..MAX_LISTED.min(known.len())) {
        None | Some([]) => {
            "no file of this folder declares an event: check the folder that holds the schema, too, or declare it with `event`"
                .to_owned()
        }
        Some(shown) => {
            let more = if known.len() > shown.len() { ", …" } else { "" };
            format!("the events are: {}{more}; another one is declared with `event`", shown.join(", "))
        }
    };
    did_you_mean(diagnostic, suggest::nearest(&name.text, known.iter().copied()), &otherwise)
}

/// Currency in which money of several currencies meets when no policy says otherwise.
pub(super) fn default_currency() -> Currency {
    Currency::parse("EUR").unwrap_or(Currency(0))
}
