//! The tree that the parser makes: the author's words with their spans, nothing resolved, nothing typed.
//!
//! What this phase knows: keywords, literals, the shape of clauses. What it does not know: whether a name exists,
//! what type it has, what unit it counts in. The tree is error-tolerant: an expression that could not be read is
//! [`ExprKind::Error`], and everything around it is still there.

mod expression;
mod model;

pub use expression::{
    Aggregate, AggregateFunction, ArithmeticOp, CompareOp, Counting, Ending, EventCount, Expr,
    ExprKind, Key, Sequence, Step, Window, WindowKind, WindowLength, ZoneName,
};

pub use model::{Model, ModelClause, ModelClauseKind, ModelFeature};

use crate::diag::{FileId, Span};

/// A name with its place. Also used for enum members, owners, severities and queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A quoted text with its place; escapes are already resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The content between the quotes.
    pub text: String,
    /// Where, quotes included.
    pub span: Span,
}

/// A dotted path such as `transfer.amount`, `device` or `this.sender`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Whether it began with `this.`.
    pub this: bool,
    /// The words, at least one.
    pub parts: Vec<Name>,
    /// The whole.
    pub span: Span,
}

/// A literal with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// What it says.
    pub kind: LiteralKind,
    /// Where.
    pub span: Span,
}

/// What a literal says. Decimal numbers are exact: `digits` scaled by `10^-scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// `12`, `12.5`, `2_000`.
    Number(Decimal),
    /// `20%`.
    Percent(Decimal),
    /// `500 EUR`.
    Money(Decimal, String),
    /// `10m`, `7d`, `250ms`, `1h`: in milliseconds.
    Duration(i64),
    /// `100 km`, `250 m`, written with a space: in metres.
    Distance(Decimal),
    /// `900 km/h`: in kilometres per hour.
    Speed(Decimal),
    /// `2026-01-31`: year, month, day.
    Date(i16, i8, i8),
    /// `"text"`.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
}

/// An exact decimal: `mantissa * 10^-scale`, sign included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// All digits without the point.
    pub mantissa: i128,
    /// Digits after the point.
    pub scale: u32,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Which.
    pub file: FileId,
    /// Its items in order.
    pub items: Vec<Item>,
}

/// One item of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `event NAME ...`
    Event(Event),
    /// `entity NAME = path | path`
    Entity(Entity),
    /// `list NAME : type ...`
    List(List),
    /// `feature NAME = expr`
    Feature(Feature),
    /// `rule NAME ...`
    Rule(Rule),
    /// `template NAME ( ... ) ...`
    Template(Template),
    /// `use NAME ( ... ) as NAME ...`
    Use(Use),
    /// `snooze NAME for KEY "value" until DATE ...`
    Snooze(Snooze),
    /// `policy NAME ...`
    Policy(Policy),
    /// `test NAME ...`
    Test(Test),
    /// `model NAME ...`
    Model(Model),
}

impl Item {
    /// The whole item.
    pub fn span(&self) -> Span {
        match self {
            Self::Event(event) => event.span,
            Self::Entity(entity) => entity.span,
            Self::List(list) => list.span,
            Self::Feature(feature) => feature.span,
            Self::Rule(rule) => rule.span,
            Self::Template(template) => template.span,
            Self::Use(used) => used.span,
            Self::Snooze(snooze) => snooze.span,
            Self::Policy(policy) => policy.span,
            Self::Test(test) => test.span,
            Self::Model(model) => model.span,
        }
    }
}

/// `event transfer from "bank.transfers" when "/type" = "transfer"` and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: Name,
    /// The topic.
    pub topic: Option<Text>,
    /// Discriminator: JSON pointer and wanted text.
    pub when: Option<(Text, Text)>,
    /// The declared fields in order.
    pub fields: Vec<Field>,
    /// What it says about other events.
    pub labels: Option<Box<Labels>>,
    /// Whose challenges it answers: `fraud` are the words of a failed one, `genuine` those of one that was passed.
    pub answers: Option<Box<Labels>>,
    /// How long such events may be held.
    pub holds: Vec<HoldBound>,
    /// The whole item.
    pub span: Span,
}

/// `hold at most 9s where rail [sct_inst] otherwise block`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldBound {
    /// How long at most, in ms.
    pub at_most_ms: i64,
    /// Of which events: a field, and the members of its set. Absent: of all others.
    pub of: Option<(Path, Vec<Name>)>,
    /// What comes then.
    pub otherwise: Option<Otherwise>,
    /// The whole clause.
    pub span: Span,
}

/// `labels card_payment by payment verdict outcome fraud [confirmed] genuine [cleared]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The events that it may be about.
    pub events: Vec<Name>,
    /// The field with the id of the event.
    pub by: Path,
    /// Fields whose entity must be one of that event's too.
    pub agreeing: Vec<Path>,
    /// The field that says what came out.
    pub verdict: Path,
    /// Its words for fraud; empty where it is true or false.
    pub fraud: Vec<Name>,
    /// Its words for what was no fraud.
    pub genuine: Vec<Name>,
    /// The whole clause.
    pub span: Span,
}

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldRole {
    /// The unique id of the event.
    Id,
    /// Its event time.
    Time,
    /// A key that aggregates group by.
    Key,
    /// Anything else.
    Field,
}

/// One field: `key sender : account from "/debtor/account"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// `id`, `time`, `key` or `field`.
    pub role: FieldRole,
    /// Its name; usually one word.
    pub path: Path,
    /// Its type.
    pub ty: Type,
    /// JSON pointers, first present wins; for `geo` the first two are latitude and longitude. Empty: `/` + name.
    pub from: Vec<Text>,
    /// Where the currency stands.
    pub currency: Option<CurrencySource>,
    /// `unit minor`, `unit ms`.
    pub unit: Option<Name>,
    /// `sensitive pan`.
    pub sensitive: Option<Name>,
    /// `tokenized`: where it stands.
    pub tokenized: Option<Span>,
    /// The whole field.
    pub span: Span,
}

/// Where the currency of a money field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrencySource {
    /// A JSON pointer.
    Pointer(Text),
    /// Always this currency.
    Fixed(Name),
}

/// A declared type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// The named type, or a closed set.
    pub kind: TypeKind,
    /// Ends in `?`.
    pub optional: bool,
    /// Where.
    pub span: Span,
}

/// Named or closed set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// `money`, `text`, `card`.
    Named(Name),
    /// `one of [inbound, outbound]`.
    OneOf(Vec<Name>),
}

/// `entity customer = card_payment.user_id | login.user_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Its name.
    pub name: Name,
    /// The fields that carry it.
    pub paths: Vec<Path>,
    /// The whole item.
    pub span: Span,
}

/// `list blocked_devices : device from "lists/x.csv" expires 24h`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Its name.
    pub name: Name,
    /// Type of its members.
    pub ty: Type,
    /// What each member gives.
    pub gives: Option<Gives>,
    /// CSV file relative to the rule folder.
    pub from: Option<Text>,
    /// Default lifetime of an entry in ms.
    pub expires_ms: Option<i64>,
    /// The whole item.
    pub span: Span,
}

/// `gives money EUR`: what each member of a list gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gives {
    /// `money`, `integer`, `number`.
    pub ty: Name,
    /// Of money.
    pub currency: Option<Name>,
}

/// `feature new_device = expr`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: Name,
    /// Its definition.
    pub expr: Expr,
    /// The whole item.
    pub span: Span,
}

/// `rule NAME "title"` and its clauses in the author's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// One line for people.
    pub title: Option<Text>,
    /// Everything else.
    pub clauses: Vec<Clause>,
    /// The whole item; of a rule that a `use` made, the `use`.
    pub span: Span,
    /// What it was made of, when a `use` made it; never set by the parser.
    pub made: Option<Box<Made>>,
}

/// What a `use` made a rule of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The whole template.
    pub template: Span,
    /// Its name.
    pub name: Span,
    /// What stands for each parameter.
    pub arguments: Vec<(String, Argument)>,
}

/// What stands for a parameter of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The name of an event, a key, a field, a list, or another word: it is written in place of the parameter.
    Name(Path),
    /// A value: the parameter becomes a `param` of the rule.
    Value(Literal),
}

/// `template NAME(a: kind, ...)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: Name,
    /// Parameters: name and kind.
    pub params: Vec<(Name, Name)>,
    /// The body.
    pub clauses: Vec<Clause>,
    /// The whole item.
    pub span: Span,
}

/// `use NAME(arg, ...) as NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The template.
    pub template: Name,
    /// Arguments, names or literals, as expressions.
    pub args: Vec<Expr>,
    /// The name of the rule that it makes.
    pub name: Name,
    /// One line for people.
    pub title: Option<Text>,
    /// Further clauses.
    pub clauses: Vec<Clause>,
    /// The whole item.
    pub span: Span,
}

/// `snooze NAME for KEY "value" until DATE owner NAME reason "..."`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snooze {
    /// The rule that is not to act.
    pub rule: Name,
    /// The key of its events.
    pub key: Path,
    /// The value of the key.
    pub value: Text,
    /// The last day.
    pub until: Literal,
    /// Who answers for it.
    pub owner: Name,
    /// Why, for people.
    pub reason: Text,
    /// The whole item.
    pub span: Span,
}

/// One clause of a rule with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// What it says.
    pub kind: ClauseKind,
    /// Where.
    pub span: Span,
}

/// What a clause says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClauseKind {
    /// `id "R-0101"`
    Id(Text),
    /// `owner cards_fraud`
    Owner(Name),
    /// `severity medium`
    Severity(Name),
    /// `typology card_testing, velocity`
    Typology(Vec<Name>),
    /// `ref "FATF R.20"`
    Ref(Text),
    /// `tags [a, b]`
    Tags(Vec<Name>),
    /// `effective 2026-01-01 .. 2026-12-31`
    Effective(Literal, Option<Literal>),
    /// `review by 2026-12-31`
    ReviewBy(Literal),
    /// `mandatory`
    Mandatory,
    /// `mode shadow`
    Mode(Mode),
    /// `on transfer, wallet_payout where expr`
    On(Vec<Name>, Option<Expr>),
    /// `param n = 5 tune 3..12 step 1`
    Param(Box<Param>),
    /// `let x = expr`
    Let(Name, Expr),
    /// `when expr`
    When(Expr),
    /// `unless expr`
    Unless(Expr),
    /// `if missing skip`
    IfMissing(IfMissing),
    /// `then action action`; empty only when an action could not be read, which is already reported.
    Then(Vec<Action>),
    /// Could not be read; already reported. It may have been any clause, so none should be called missing.
    Error,
}

/// How far a rule may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Compiled, never evaluated.
    Draft,
    /// Evaluated and recorded, never acts.
    Shadow,
    /// Acts on a share of keys.
    Canary(Decimal, Path),
    /// Acts.
    Live,
    /// Kept for its history.
    Retired,
}

/// `param n = 5 tune 3..12 step 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Literal,
    /// The range for `sweep`.
    pub tune: Option<Tune>,
}

/// The range of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tune {
    /// Lowest.
    pub from: Literal,
    /// Highest.
    pub to: Literal,
    /// Step.
    pub step: Option<Literal>,
}

/// What an undecided `when` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// No hit; the missing fields are recorded.
    Skip,
    /// Counts as a hit.
    Match,
    /// Goes to a person: an alert, no other action.
    Review,
}

/// An action with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it says.
    pub kind: ActionKind,
    /// Where.
    pub span: Span,
}

/// What happens to the money when nobody decides in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Otherwise {
    /// It is let go.
    Release,
    /// It is refused.
    Block,
}

/// What an action says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// `allow`
    Allow,
    /// `block reason "..."`
    Block(Option<Text>),
    /// `hold customer for 2h otherwise escalate to seniors for 4h otherwise release reason "..."`
    Hold {
        /// Whose payments are all held, beside this one.
        of: Option<Path>,
        /// How long, in ms.
        for_ms: i64,
        /// Who is asked at the deadline, and for how much longer it is held then.
        escalate: Option<Escalate>,
        /// What then.
        otherwise: Option<Otherwise>,
        /// Why, shown to people.
        reason: Option<Text>,
    },
    /// `step_up app_confirm within 5m otherwise block`
    StepUp {
        /// The kind of challenge.
        method: Name,
        /// How long it waits for an answer, in ms.
        within_ms: Option<i64>,
        /// What an unanswered challenge does.
        otherwise: Option<StepUpOtherwise>,
    },
    /// `alert queue l1 once per card per 1h message "..."`
    Alert {
        /// Who sees it.
        queue: Option<Name>,
        /// `once per card, device per 1h`: keys, and the span in ms.
        once: Option<(Vec<Path>, i64)>,
        /// What it says; may hold `{expr}`.
        message: Option<Text>,
    },
    /// `score +35 in velocity cap 50`
    Score {
        /// Points, sign included.
        points: Decimal,
        /// The group that is capped together.
        group: Option<Name>,
        /// Most points of the group.
        cap: Option<Decimal>,
    },
    /// `add device to blocked_devices for 24h`
    Add {
        /// What to add.
        path: Path,
        /// To which list.
        list: Name,
        /// For how long, in ms; absent: as long as the list's `expires` says.
        for_ms: Option<i64>,
    },
    /// `remove device from blocked_devices`
    Remove {
        /// What to remove.
        path: Path,
        /// From which list.
        list: Name,
    },
    /// `tag suspicious`
    Tag(Name),
}

/// `otherwise escalate to seniors for 4h`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalate {
    /// The queue of who is asked.
    pub queue: Option<Name>,
    /// How long they have, in ms.
    pub for_ms: i64,
}

/// What an unanswered step-up does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepUpOtherwise {
    /// Refuse.
    Block,
    /// Hold for this many ms.
    Hold(i64),
}

/// `policy NAME` and its clauses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: Name,
    /// Its clauses in order.
    pub clauses: Vec<PolicyClause>,
    /// The whole item.
    pub span: Span,
}

/// A clause of a policy with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyClause {
    /// What it says.
    pub kind: PolicyClauseKind,
    /// Where.
    pub span: Span,
}

/// What a policy clause says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyClauseKind {
    /// `base currency EUR`
    BaseCurrency(Name),
    /// `timezone "Europe/Berlin"`
    Timezone(Text),
    /// `rates from "rates.csv" expires 7d`
    Rates {
        /// The file.
        from: Text,
        /// How long a rate counts that no other follows, ms.
        expires_ms: Option<i64>,
    },
    /// `band 40..69 -> alert queue l1`
    Band(Decimal, Decimal, Action),
    /// `approvals 2 for [allow, block]`
    Approvals(Decimal, Vec<Name>),
    /// `budget 20us per event`: in nanoseconds
    Budget(i64),
    /// `state 2GiB`: in bytes
    State(u64),
    /// `breaker 1000 per 1h`
    Breaker(Decimal, i64),
}

/// `test NAME "title" given ... when ... expect ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// The rule under test.
    pub rule: Name,
    /// What it shows.
    pub title: Option<Text>,
    /// What happened before.
    pub given: Vec<Given>,
    /// The event that is judged.
    pub when: EventLiteral,
    /// Its time in ms from the start of the test; default: after the last `given`.
    pub at_ms: Option<i64>,
    /// What must come out.
    pub expect: Vec<Want>,
    /// The whole item.
    pub span: Span,
}

/// `given 4 card_payment(...) every 1m at 5m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// How many.
    pub times: u32,
    /// The event.
    pub event: EventLiteral,
    /// Distance in ms.
    pub every_ms: Option<i64>,
    /// Time of the first in ms from the start of the test.
    pub at_ms: Option<i64>,
    /// The whole.
    pub span: Span,
}

/// `card_payment(card: "c1", amount: 20 EUR, device: missing)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLiteral {
    /// The event.
    pub event: Name,
    /// Its fields.
    pub fields: Vec<(Path, FieldValue)>,
    /// The whole.
    pub span: Span,
}

/// The value of a field in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// A literal.
    Literal(Literal),
    /// A bare word: an enum member, country or currency.
    Word(Name),
    /// `missing`.
    Missing(Span),
}

/// One expectation, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// What it says.
    pub kind: WantKind,
    /// Where.
    pub span: Span,
}

/// What an expectation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantKind {
    /// `hit`
    Hit,
    /// `no hit`
    NoHit,
    /// `undecided on device`
    Undecided(Option<Path>),
    /// `snoozed`
    Snoozed,
    /// `score +35`, `hold for 2h`, `block`
    Action(Action),
    /// `senders = 7`: the value of a `let` or feature
    Value(Name, Literal),
}
