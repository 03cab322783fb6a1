//! `labels card_payment by payment verdict fraud`: an event that says what came out about others.
//!
//! Read when all events and kinds of entities are known, because it may stand before the events that it is about.

use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::{
    EntityId, EventId, EventType, Field, FieldType, LabelSpec, Role, Schema, SlotId,
};
use crate::rules::check::refusal::{Refusal, did_you_mean};
use crate::rules::check::schema::{Builder, dotted, twice, unknown_event};
use crate::rules::syntax::ast;

impl Builder<'_> {
    /// The clauses of all events.
    pub(super) fn labels(&mut self, items: &[&ast::Item]) {
        for item in items {
            let ast::Item::Event(event) = item else { continue };
            let Some(labels) = &event.labels else { continue };
            let spec = self.label_spec(event, labels, &LABELS);
            let own = self.out.schema.event_named(&event.name.text);
            let own = own.and_then(|own| self.out.schema.events.get_mut(usize::from(own.0)));
            if let Some((own, spec)) = own.zip(spec) {
                own.labels = Some(spec);
            }
        }
    }

    /// Which challenges the events of a type answer.
    pub(super) fn answers(&mut self, items: &[&ast::Item]) {
        for item in items {
            let ast::Item::Event(event) = item else { continue };
            let Some(answers) = &event.answers else { continue };
            let spec = self.label_spec(event, answers, &ANSWERS);
            let own = self.out.schema.event_named(&event.name.text);
            let own = own.and_then(|own| self.out.schema.events.get_mut(usize::from(own.0)));
            if let Some((own, spec)) = own.zip(spec) {
                own.answers = Some(spec);
                self.warn_of_strangers(event, answers);
            }
        }
    }

    fn label_spec(
        &mut self,
        event: &ast::Event,
        labels: &ast::Labels,
        clause: &Clause,
    ) -> Option<LabelSpec> {
        let schema = &self.out.schema;
        // One that was refused as a whole was told of.
        let own = schema.event(schema.event_named(&event.name.text)?).clone();
        let id = self.own_field(&own, &labels.by)?;
        let verdict = self.own_field(&own, &labels.verdict)?;
        let agreeing = labels.agreeing.iter().map(|path| self.agreeing(&own, path, labels, clause));
        let agreeing: Vec<_> = agreeing.collect::<Option<_>>()?;
        let mut events = Vec::new();
        for name in &labels.events {
            let labelled = self.labelled(&own, (id, labels.by.span), name, clause);
            match labelled {
                Ok(event) if events.contains(&event) => {
                    self.report.push(twice("event", name, None));
                }
                Ok(event) => events.push(event),
                Err(found) => self.report.push(*found),
            }
        }
        let words = words(verdict, labels, clause);
        let (fraud, genuine) = words.map_err(|found| self.report.push(*found)).ok()?;
        let (id, verdict) = (id.slot, verdict.slot);
        Some(LabelSpec { events, id, agreeing, verdict, fraud, genuine })
    }

    /// A field whose entity both events must have in common: its kind and slot.
    fn agreeing(
        &mut self,
        own: &EventType,
        path: &ast::Path,
        labels: &ast::Labels,
        clause: &Clause,
    ) -> Option<(SlotId, Vec<String>)> {
        let field = self.own_field(own, path)?;
        let span = path.span;
        let Some(kind) = entity_of(field).filter(|_| clause.has_parties) else {
            let (message, help) = if clause.has_parties {
                let message = format!("`{}` says nothing of whose event it is", field.name);
                (message, "name a field whose type is a kind of entity, such as `customer`")
            } else {
                let message = format!("`{}` goes by one field", clause.word);
                (message, "leave out what stands behind the field with the id")
            };
            self.report.push(*refused(span, message, help));
            return None;
        };
        let schema = &self.out.schema;
        let named = labels.events.iter().filter_map(|name| schema.event_named(&name.text));
        let theirs = named.map(|event| counterpart(schema, schema.event(event), (kind, field)));
        match theirs.collect::<Result<Vec<String>, _>>() {
            Ok(theirs) => Some((field.slot, theirs)),
            Err((message, help)) => {
                self.report.push(*refused(span, message, &help));
                None
            }
        }
    }

    /// Tells of an answer that counts for everybody's payment of that id, though it says whose it is.
    fn warn_of_strangers(&mut self, event: &ast::Event, answers: &ast::Labels) {
        let schema = &self.out.schema;
        let Some(own) = schema.event_named(&event.name.text).map(|own| schema.event(own)) else {
            return;
        };
        let keys = |event: &EventType| -> Vec<(EntityId, String)> {
            let keys = event.fields.iter().filter(|field| field.role == Role::Key);
            keys.filter_map(|field| Some((entity_of(field)?, field.name.clone()))).collect()
        };
        let named = answers.events.iter().filter_map(|name| schema.event_named(&name.text));
        let theirs: Vec<EntityId> =
            named.flat_map(|event| keys(schema.event(event))).map(|(kind, _)| kind).collect();
        let shared = keys(own).into_iter().find(|(kind, _)| theirs.contains(kind));
        let Some((_, name)) = shared.filter(|_| answers.agreeing.is_empty()) else { return };
        let by = dotted(&answers.by);
        let message = format!("an answer counts whatever its `{name}` is");
        let help = format!(
            "write `by {by}, {name}`, and an answer counts for the event of that id which has this `{name}`"
        );
        self.report.push(Diagnostic::new(codes::W0104, answers.by.span, message).with_help(help));
    }

    pub(super) fn own_field<'f>(
        &mut self,
        own: &'f EventType,
        path: &ast::Path,
    ) -> Option<&'f Field> {
        let name = dotted(path);
        if let Some(field) = own.field_named(&name) {
            return Some(own.field(field));
        }
        let message = format!("event `{}` has no field `{name}`", own.name);
        let found = Diagnostic::new(codes::E0101, path.span, message).with_label("unknown");
        let near = suggest::nearest(&name, own.fields.iter().map(|field| field.name.as_str()));
        self.report.push(did_you_mean(found, near, "declare it as a field of this event"));
        None
    }

    /// An event that labels may be about.
    fn labelled(
        &self,
        own: &EventType,
        (id, span): (&Field, Span),
        name: &ast::Name,
        clause: &Clause,
    ) -> Result<EventId, Refusal> {
        let schema = &self.out.schema;
        let names = schema.events.iter().map(|event| event.name.as_str());
        let event =
            schema.event_named(&name.text).ok_or_else(|| Box::new(unknown_event(name, names)))?;
        if name.text == own.name {
            let message = format!("`{}` {} itself", name.text, clause.word);
            return Err(refused(
                name.span,
                message,
                "what comes out later is an event of its own, with a time of its own",
            ));
        }
        let theirs = &schema.event(event).field(schema.event(event).id).ty;
        let is_text =
            |ty: &FieldType| matches!(ty, FieldType::Text | FieldType::Ip | FieldType::Entity(_));
        let fits = *theirs == id.ty || *theirs == FieldType::Text || id.ty == FieldType::Text;
        if !is_text(&id.ty) || !fits {
            let message = format!("`{}` cannot be the id of `{}`", id.name, name.text);
            let help = "declare it as `text`, or as the id of that event is declared";
            return Err(refused(span, message, help));
        }
        Ok(event)
    }
}

/// The name of the field of an event that an answer's `field` must agree with: the one of its kind, or of several that with its name.
///
/// WHY: whoever receives money must not confirm it in the place of whoever sends it.
fn counterpart(
    schema: &Schema,
    event: &EventType,
    (kind, field): (EntityId, &Field),
) -> Result<String, (String, String)> {
    let of_kind: Vec<&str> = event
        .fields
        .iter()
        .filter(|theirs| entity_of(theirs) == Some(kind))
        .map(|theirs| theirs.name.as_str())
        .collect();
    let kind = &schema.entities[usize::from(kind.0)];
    match of_kind[..] {
        [] => Err((
            format!("`{}` has no field of the kind `{kind}`", event.name),
            "name a field of a kind that both events have, or leave it out".to_owned(),
        )),
        [one] => Ok(one.to_owned()),
        _ if of_kind.contains(&field.name.as_str()) => Ok(field.name.clone()),
        _ => Err((
            format!("`{}` has several fields of the kind `{kind}`", event.name),
            format!(
                "give `{}` the name of the one that is meant: {}",
                field.name,
                of_kind.join(", ")
            ),
        )),
    }
}

fn entity_of(field: &Field) -> Option<EntityId> {
    match field.ty {
        FieldType::Entity(kind) => Some(kind),
        _ => None,
    }
}

/// A clause by which an event says something about others.
struct Clause {
    word: &'static str,
    /// What its verdicts are called.
    bad: &'static str,
    good: &'static str,
    /// What `true` means.
    truth: &'static str,
    /// What a field that is true says: its words for the bad and for the good.
    of_truth: (u64, u64),
    /// Whether it may say whose event it is.
    has_parties: bool,
}

const LABELS: Clause = Clause {
    word: "labels",
    bad: "fraud",
    good: "genuine",
    truth: "fraud",
    of_truth: (1, 0),
    has_parties: false,
};

const ANSWERS: Clause = Clause {
    word: "answers",
    bad: "failed",
    good: "passed",
    truth: "passed",
    of_truth: (0, 1),
    has_parties: true,
};

/// What the field of the verdict holds for the bad, and for the good.
fn words(
    verdict: &Field,
    labels: &ast::Labels,
    clause: &Clause,
) -> Result<(Vec<u64>, Vec<u64>), Refusal> {
    let Clause { bad, good, truth, of_truth, .. } = *clause;
    let (span, name) = (labels.verdict.span, &verdict.name);
    match &verdict.ty {
        FieldType::Bool => match labels.fraud.first().or(labels.genuine.first()) {
            None => Ok((vec![of_truth.0], vec![of_truth.1])),
            Some(word) => {
                let message = format!("`{name}` is true or false and has no words");
                let help = format!("leave the lists out: true means {truth}");
                Err(refused(word.span, message, &help))
            }
        },
        FieldType::OneOf(members) => {
            if labels.fraud.is_empty() || labels.genuine.is_empty() {
                let message = format!("say which words of `{name}` mean what");
                let members = members.join(", ");
                let help = format!("`verdict {name} {bad} [...] {good} [...]`, out of: {members}");
                return Err(refused(span, message, &help));
            }
            let fraud = places(members, name, &labels.fraud)?;
            let genuine = places(members, name, &labels.genuine)?;
            let is_fraud = |word: &&ast::Name| labels.fraud.iter().any(|it| it.text == word.text);
            let both = labels.genuine.iter().find(is_fraud);
            match both {
                Some(word) => Err(Box::new(twice("word", word, None))),
                None => Ok((fraud, genuine)),
            }
        }
        _ => {
            let message = format!("`{name}` cannot say what came out");
            Err(refused(span, message, "declare it as `bool`, or as `one of [...]`"))
        }
    }
}

/// Where words stand in a closed set.
pub(super) fn places(
    members: &[String],
    field: &str,
    words: &[ast::Name],
) -> Result<Vec<u64>, Refusal> {
    let place = |word: &ast::Name| {
        let at = members.iter().position(|member| *member == word.text);
        at.map(|at| at as u64).ok_or_else(|| {
            let message = format!("`{}` is not a member of `{field}`", word.text);
            let found = Diagnostic::new(codes::E0204, word.span, message);
            let near = suggest::nearest(&word.text, members.iter().map(String::as_str));
            let known = format!("the members are: {}", members.join(", "));
            Box::new(did_you_mean(found, near, &known))
        })
    };
    words.iter().map(place).collect()
}

fn refused(span: Span, message: String, help: &str) -> Refusal {
    Box::new(Diagnostic::new(codes::E0520, span, message).with_help(help))
}
