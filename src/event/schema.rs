//! The compiled schema: what the `event` and `entity` items of the rule files say about the input.

use core::fmt;

use std::sync::Arc;

use crate::base::{Currency, NeverStore, TokenKey};

/// Index of an event type in [`Schema::events`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u16);

/// Index of a field in [`EventType::fields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

/// Index of a slot in a row. A field has one slot; a money field with a currency of its own and a geo field have two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u16);

/// Index of an entity kind in [`Schema::entities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId(pub u16);

/// Most slots in a row: the width of the presence mask.
pub const MAX_SLOTS: usize = 128;

/// Everything about the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Event types in declaration order (files sorted by path).
    pub events: Vec<EventType>,
    /// Names of entity kinds: declared by `entity` or by use as a type.
    pub entities: Vec<String>,
    /// Names in `entity NAME = event.field | ...`: kind and the field of each event that carries it.
    pub roles: Vec<EntityRole>,
    /// The key of tokens, where the rule set has some; without, the one that everybody knows.
    pub token_key: Option<TokenKey>,
    /// Members of records whose values are never stored.
    pub never_store: Arc<NeverStore>,
}

/// `entity customer = card_payment.user_id | login.user_id`: a name by which every listed event has that key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRole {
    /// The name.
    pub name: String,
    /// The field per event.
    pub fields: Vec<(EventId, FieldId)>,
}

/// One event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// Its name.
    pub name: String,
    /// The topic it arrives on. Events without one exist for tests and files only (any file may carry them).
    pub topic: Option<String>,
    /// Discriminator: a record of the topic is of this type when the text at the pointer equals the value.
    pub discriminator: Option<(Pointer, String)>,
    /// Declared fields in order.
    pub fields: Vec<Field>,
    /// The field with role `id` (always present in a checked schema).
    pub id: FieldId,
    /// The field with role `time` (always present in a checked schema).
    pub time: FieldId,
    /// Number of slots in a row.
    pub n_slots: u16,
    /// What it says about other events.
    pub labels: Option<LabelSpec>,
    /// Whose second factor it answers; `fraud` is what a failed one says, `genuine` one that was passed.
    pub answers: Option<LabelSpec>,
}

/// How the events of a type say what came out about other events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpec {
    /// The types of event that they may be about, in the author's order: the first one counts that is remembered under
    /// the id.
    pub events: Vec<EventId>,
    /// The slot of the text that is the event's id.
    pub id: SlotId,
    /// Entities that both events must have in common: the slot of this event, and the name of the field of each of `events`. Of
    /// answers only.
    pub agreeing: Vec<(SlotId, Vec<String>)>,
    /// The slot that says what came out.
    pub verdict: SlotId,
    /// What the slot holds when it was fraud.
    pub fraud: Vec<u64>,
    /// What it holds when it was none.
    pub genuine: Vec<u64>,
}

/// What came out about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// It was fraud.
    Fraud,
    /// It was not.
    Genuine,
    /// Nothing yet, or not any more.
    Open,
}

impl Finding {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Fraud, Self::Genuine, Self::Open];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fraud => "fraud",
            Self::Genuine => "genuine",
            Self::Open => "open",
        }
    }
}

impl LabelSpec {
    /// What a slot says; `None` where it is absent.
    pub fn finding(&self, slot: Option<u64>) -> Finding {
        match slot {
            Some(word) if self.fraud.contains(&word) => Finding::Fraud,
            Some(word) if self.genuine.contains(&word) => Finding::Genuine,
            _ => Finding::Open,
        }
    }
}

/// A JSON pointer (RFC 6901), split and unescaped: `/debtor/account` is `["debtor", "account"]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(pub Vec<String>);

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Unique id.
    Id,
    /// Event time.
    Time,
    /// Key.
    Key,
    /// Plain.
    Plain,
}

/// One declared field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name as rules write it; dotted names keep their dots (`merchant.id`).
    pub name: String,
    /// What for.
    pub role: Role,
    /// Its type.
    pub ty: FieldType,
    /// Whether it may be absent. A required field that is absent sends the record to the dead letters.
    pub optional: bool,
    /// Where it stands; the first pointer that is present (and not `null`) wins. For geo: latitude then longitude.
    pub from: Vec<Pointer>,
    /// Its (first) slot.
    pub slot: SlotId,
    /// Name of the class when marked sensitive: never shown in messages.
    pub sensitive: Option<String>,
    /// Whether a token stands in its slot instead of its value: an id of an entity whose fields are all tokenized.
    pub tokenized: bool,
}

/// Type of a field with what decoding needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Exact money. Slot: `i64` minor units of its currency; second slot, when the currency varies: packed code.
    Money {
        /// How the currency is known.
        currency: MoneyCurrency,
        /// How the number is written.
        unit: MoneyUnit,
    },
    /// Any finite number. Slot: `f64` bits.
    Number,
    /// 64-bit integer. Slot: `i64`.
    Integer,
    /// Text. Slot: [`crate::base::TextRef`].
    Text,
    /// `true` or `false`. Slot: 0 or 1.
    Bool,
    /// ISO 3166 alpha-2 (upper case). Slot: two packed letters, first letter in the higher byte.
    Country,
    /// ISO 4217 (upper case). Slot: [`Currency`] code.
    CurrencyCode,
    /// IP address, written in canonical form. Slot: [`crate::base::TextRef`].
    Ip,
    /// Coordinates in degrees. Two slots: `f64` bits of latitude and longitude.
    Geo,
    /// Instant. Slot: `i64` ms since 1970.
    Time {
        /// How it is written.
        unit: TimeUnit,
    },
    /// Id of an entity of this kind. Slot: [`crate::base::TextRef`]. JSON texts and integers are accepted.
    Entity(EntityId),
    /// Member of a closed set, in declared order. Slot: index.
    OneOf(Vec<String>),
}

impl fmt::Display for Pointer {
    /// As RFC 6901 writes it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|part| write!(out, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

impl Field {
    /// How it is read from a record: its type as it is written there, and where: `money EUR at /amount, else /sum`.
    pub fn read(&self) -> String {
        let places: Vec<String> = self.from.iter().map(Pointer::to_string).collect();
        format!("{} at {}", self.ty.written(), places.join(", else "))
    }
}

impl FieldType {
    /// How it is written in a record.
    fn written(&self) -> String {
        let word = match self {
            Self::Money { currency, unit } => {
                let unit = match unit {
                    MoneyUnit::Major => "",
                    MoneyUnit::Minor => " in minor units",
                };
                return match currency {
                    MoneyCurrency::Fixed(currency) => format!("money {currency}{unit}"),
                    MoneyCurrency::At(at, _) => format!("money{unit}, its currency at {at}"),
                };
            }
            Self::Time { unit } => match unit {
                TimeUnit::Iso => "time by RFC 3339",
                TimeUnit::Millis => "time in milliseconds",
                TimeUnit::Seconds => "time in seconds",
                TimeUnit::Minutes => "time in minutes",
                TimeUnit::Hours => "time in hours",
            },
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Bool => "truth",
            Self::Country => "country",
            Self::CurrencyCode => "currency",
            Self::Ip => "address",
            Self::Geo => "place",
            Self::Entity(_) => "key",
            Self::OneOf(_) => "one of a set",
        };
        word.to_owned()
    }

    /// Whether its slot holds a [`crate::base::TextRef`].
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Ip | Self::Entity(_))
    }
}

/// Where the currency of a money field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoneyCurrency {
    /// Always this one.
    Fixed(Currency),
    /// Read from the record; its packed code stands in this slot.
    At(Pointer, SlotId),
}

/// How money is written in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyUnit {
    /// Decimal in whole units: `12.50`, number or text.
    Major,
    /// Integer in minor units: `1250`.
    Minor,
}

/// How time is written in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// RFC 3339 text with an offset.
    Iso,
    /// Integer seconds.
    Seconds,
    /// Integer milliseconds.
    Millis,
    /// Integer minutes.
    Minutes,
    /// Integer hours: simulators count in steps of an hour.
    Hours,
}

impl TimeUnit {
    /// Milliseconds in one, where time is written as a number since 1970.
    pub fn ms(self) -> Option<i64> {
        match self {
            Self::Iso => None,
            Self::Millis => Some(1),
            Self::Seconds => Some(1000),
            Self::Minutes => Some(60_000),
            Self::Hours => Some(3_600_000),
        }
    }
}

impl Schema {
    /// The event type of an id.
    ///
    /// # Panics
    /// Never for ids of this schema: ids are made together with the list.
    pub fn event(&self, id: EventId) -> &EventType {
        &self.events[usize::from(id.0)]
    }

    /// A field with tokens, as `event.field`; none where no field has any.
    pub fn tokenized_field(&self) -> Option<String> {
        let of = |event: &EventType| {
            let field = event.fields.iter().find(|field| field.tokenized)?;
            Some(format!("{}.{}", event.name, field.name))
        };
        self.events.iter().find_map(of)
    }

    /// A field that reads a member of one of these names, or of what lies in it: as `event.field`, and the name.
    pub fn reads_any(&self, names: &NeverStore) -> Option<(String, String)> {
        let member = |field: &Field| {
            let mut members = field.from.iter().flat_map(|pointer| &pointer.0);
            members.find(|member| names.has(member.as_bytes())).cloned()
        };
        let of = |event: &EventType| {
            event
                .fields
                .iter()
                .find_map(|field| Some((format!("{}.{}", event.name, field.name), member(field)?)))
        };
        self.events.iter().find_map(of)
    }

    /// Whether ids of an entity are tokens.
    pub fn is_tokenized(&self, entity: EntityId) -> bool {
        let mut fields = self.events.iter().flat_map(|event| &event.fields);
        fields.any(|field| field.tokenized && field.ty == FieldType::Entity(entity))
    }

    /// The topics that events name, sorted, each once.
    pub fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> =
            self.events.iter().filter_map(|event| event.topic.clone()).collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// The event type with this name.
    pub fn event_named(&self, name: &str) -> Option<EventId> {
        let index = self.events.iter().position(|event| event.name == name)?;
        u16::try_from(index).ok().map(EventId)
    }

    /// A field of an event by its own name, or by the name of an `entity` that it has.
    pub fn key_named(&self, event: EventId, name: &str) -> Option<FieldId> {
        let of_role = || {
            let role = self.roles.iter().find(|role| role.name == name)?;
            role.fields.iter().find(|(of, _)| *of == event).map(|(_, field)| *field)
        };
        self.event(event).field_named(name).or_else(of_role)
    }
}

impl EventType {
    /// The field of an id.
    ///
    /// # Panics
    /// Never for ids of this event type.
    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[usize::from(id.0)]
    }

    /// The field with this name.
    pub fn field_named(&self, name: &str) -> Option<FieldId> {
        let index = self.fields.iter().position(|field| field.name == name)?;
        u16::try_from(index).ok().map(FieldId)
    }
}
