//! Items of a file: schema, lists, features, rules, templates.

use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::{
    CurrencySource, Entity, Event, Feature, Field, FieldRole, Gives, HoldBound, Item, Labels, List,
    Name, Otherwise, Rule, Snooze, Template, Text, Type, TypeKind, Use,
};
use crate::rules::syntax::parser::{Parser, actions};
use crate::rules::syntax::token::{Sign, TokenKind};
use crate::rules::syntax::words;

impl Parser<'_> {
    /// All items of the file.
    pub(super) fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while !self.at_end() {
            let from = self.at;
            match self.item() {
                Some(item) => items.push(item),
                None => self.skip_to_item(from),
            }
        }
        items
    }

    /// Whether the item at hand ends here: at the next item or the end of the file.
    pub(super) fn at_item(&self) -> bool {
        self.at_end() || self.word().is_some_and(|word| words::ITEMS.contains(&word))
    }

    fn item(&mut self) -> Option<Item> {
        match self.word() {
            Some("event") => self.event().map(Item::Event),
            Some("entity") => self.entity().map(Item::Entity),
            Some("list") => self.list().map(Item::List),
            Some("feature") => self.feature().map(Item::Feature),
            Some("rule") => self.rule().map(Item::Rule),
            Some("template") => self.template().map(Item::Template),
            Some("use") => self.use_template().map(Item::Use),
            Some("snooze") => self.snooze().map(Item::Snooze),
            Some("policy") => self.policy().map(Item::Policy),
            Some("test") => self.test().map(Item::Test),
            Some("model") => self.model().map(Item::Model),
            _ => self.no_item(),
        }
    }

    fn no_item<T>(&mut self) -> Option<T> {
        let message = format!("expected a rule, a list or another item, found {}", self.found());
        let mut diagnostic = Diagnostic::new(codes::E0012, self.report_span(), message);
        let word = self.word().unwrap_or_default();
        if let Some((help, fix)) = self.did_you_mean(&[words::ITEMS]).or_else(|| self.hint()) {
            diagnostic.help = Some(help);
            diagnostic.fix = fix;
        } else if word == "let" {
            let help = "`let` belongs into a rule; a name for all rules is a `feature`";
            diagnostic.help = Some(help.to_owned());
        } else if words::CLAUSES.contains(&word) {
            let help = format!("`{word}` is a clause of a rule; begin with `rule` and a name");
            diagnostic.help = Some(help);
        } else {
            let help = format!("a file is made of {}", actions::listed(words::ITEMS));
            diagnostic.help = Some(help);
        }
        self.report(diagnostic);
        None
    }

    fn event(&mut self) -> Option<Event> {
        let start = self.bump();
        let name = self.new_data_name("the name of an event")?;
        let topic = if self.eat_word("from") { Some(self.text_of("a topic")?) } else { None };
        let when = if self.eat_word("when") { Some(self.discriminator()?) } else { None };
        let (mut fields, mut labels, mut answers) = (Vec::new(), None, None);
        let mut holds = Vec::new();
        while !self.at_item() {
            let from = self.at;
            let read = if self.at_word("labels") {
                self.labels(&mut labels, ("labels", ["fraud", "genuine"]))
            } else if self.at_word("answers") {
                self.labels(&mut answers, ("answers", ["failed", "passed"]))
            } else if self.at_word("hold") {
                self.hold_bound().map(|bound| holds.push(bound))
            } else {
                self.field().map(|field| fields.push(field))
            };
            if read.is_none() {
                self.skip_to_field(from);
            }
        }
        let span = self.since(start);
        Some(Event { name, topic, when, fields, labels, answers, holds, span })
    }

    /// `labels ... fraud [...] genuine [...]`, or `answers ... failed [...] passed [...]`; the words in either order.
    fn labels(
        &mut self,
        labels: &mut Option<Box<Labels>>,
        (word, [bad, good]): (&str, [&str; 2]),
    ) -> Option<()> {
        if labels.is_some() {
            let message = format!("`{word}` stands twice at this event");
            let help = format!("keep one, with all events: `{word} card_payment, transfer by ...`");
            return self.fail(codes::E0502, message, &help);
        }
        let start = self.bump();
        let events = self.comma_list(|p| p.data_name("the name of an event"))?;
        self.expect_word("by", "and the field with the id of the event")?;
        let by = self.path("the field with the id of the event")?;
        let mut agreeing = Vec::new();
        while self.eat_sign(Sign::Comma) {
            agreeing.push(self.path("a field that says whose event it is")?);
        }
        self.expect_word("verdict", "and the field that says what came out")?;
        let verdict = self.path("the field that says what came out")?;
        let (mut fraud, mut genuine) = (Vec::new(), Vec::new());
        loop {
            if self.at_word(bad) && fraud.is_empty() {
                fraud = self.words_for(bad)?;
            } else if self.at_word(good) && genuine.is_empty() {
                genuine = self.words_for(good)?;
            } else {
                break;
            }
        }
        let span = self.since(start);
        *labels = Some(Box::new(Labels { events, by, agreeing, verdict, fraud, genuine, span }));
        Some(())
    }

    /// `hold at most 9s where rail [sct_inst] otherwise block`.
    fn hold_bound(&mut self) -> Option<HoldBound> {
        let purpose = "as in `hold at most 9s where rail [sct_inst] otherwise block`";
        let start = self.bump();
        self.expect_word("at", purpose)?;
        self.expect_word("most", purpose)?;
        let at_most_ms = self.duration_ms("a duration")?;
        let of = if self.eat_word("where") {
            let field = self.path("the field that names the rail")?;
            let member = |p: &mut Self| p.data_name("a member of the set");
            Some((field, self.bracket_list("before the members of its set", member)?))
        } else {
            None
        };
        let otherwise = if !self.eat_word("otherwise") {
            None
        } else if self.eat_word("release") {
            Some(Otherwise::Release)
        } else if self.eat_word("block") {
            Some(Otherwise::Block)
        } else {
            return self.unexpected("`release` or `block`");
        };
        Some(HoldBound { at_most_ms, of, otherwise, span: self.since(start) })
    }

    /// `fraud [confirmed, chargeback]`: the words of a field for a verdict; none where it does not stand here.
    fn words_for(&mut self, verdict: &str) -> Option<Vec<Name>> {
        if !self.eat_word(verdict) {
            return Some(Vec::new());
        }
        self.bracket_list("before the words", |p| p.data_name("a member of the set"))
    }

    fn discriminator(&mut self) -> Option<(Text, Text)> {
        let pointer = self.text_of("a JSON pointer such as \"/type\"")?;
        self.expect_sign(Sign::Eq, "after the JSON pointer")?;
        Some((pointer, self.text_of("the wanted text")?))
    }

    fn field(&mut self) -> Option<Field> {
        let start = self.here();
        let role = match self.word() {
            Some("id") => FieldRole::Id,
            Some("time") => FieldRole::Time,
            Some("key") => FieldRole::Key,
            Some("field") => FieldRole::Field,
            _ => {
                return self.unexpected(
                    "a field: `id`, `time`, `key` or `field` and its name, `labels`, `answers` or `hold`",
                );
            }
        };
        self.bump();
        let head = self.new_data_name("the name of a field")?;
        let path = self.rest_of_path(head)?;
        self.expect_sign(Sign::Colon, "before the type of the field")?;
        let ty = self.ty()?;
        let mut field = Field {
            role,
            path,
            ty,
            from: Vec::new(),
            currency: None,
            unit: None,
            sensitive: None,
            tokenized: None,
            span: start,
        };
        while self.source(&mut field)? {}
        field.span = self.since(start);
        Some(field)
    }

    /// Reads one part of where a field comes from; false when none stands here.
    fn source(&mut self, field: &mut Field) -> Option<bool> {
        let Some(word @ ("from" | "currency" | "unit" | "sensitive" | "tokenized")) = self.word()
        else {
            return Some(false);
        };
        let twice = match word {
            "from" => !field.from.is_empty(),
            "currency" => field.currency.is_some(),
            "unit" => field.unit.is_some(),
            "tokenized" => field.tokenized.is_some(),
            _ => field.sensitive.is_some(),
        };
        if twice {
            let message = format!("`{word}` stands twice at this field");
            return self.fail(codes::E0502, message, "keep one of them");
        }
        let start = self.bump();
        match word {
            "tokenized" => field.tokenized = Some(start),
            "from" => field.from = self.comma_list(|p| p.text_of("a JSON pointer"))?,
            "currency" => field.currency = Some(self.currency_source()?),
            "unit" => field.unit = Some(self.name("a unit such as `minor` or `ms`")?),
            _ => field.sensitive = Some(self.name("a class such as `pan`")?),
        }
        Some(true)
    }

    fn currency_source(&mut self) -> Option<CurrencySource> {
        match self.optional_text() {
            Some(pointer) => Some(CurrencySource::Pointer(pointer)),
            None => self.currency().map(CurrencySource::Fixed),
        }
    }

    /// A type: a name or `one of [a, b]`, maybe with `?`.
    fn ty(&mut self) -> Option<Type> {
        let start = self.here();
        let kind = if self.at_word("one") && self.word_ahead(1) == Some("of") {
            self.bump();
            self.bump();
            let member = |p: &mut Self| p.new_data_name("a member of a set");
            TypeKind::OneOf(self.bracket_list("before the members", member)?)
        } else {
            TypeKind::Named(self.data_name("a type")?)
        };
        let optional = self.eat_sign(Sign::Question);
        Some(Type { kind, optional, span: self.since(start) })
    }

    fn entity(&mut self) -> Option<Entity> {
        let start = self.bump();
        let name = self.new_name("the name of an entity")?;
        self.expect_sign(Sign::Eq, "after the name of the entity")?;
        let mut paths = vec![self.path("a field such as `login.user_id`")?];
        while self.eat_sign(Sign::Bar) {
            paths.push(self.path("a field such as `login.user_id`")?);
        }
        Some(Entity { name, paths, span: self.since(start) })
    }

    fn list(&mut self) -> Option<List> {
        let start = self.bump();
        let name = self.new_name("the name of a list")?;
        self.expect_sign(Sign::Colon, "before the type of the members")?;
        let ty = self.ty()?;
        if [Sign::Eq, Sign::LeftBracket].iter().any(|sign| self.at_sign(*sign)) {
            let message = format!("expected `from`, found {}", self.found());
            let help = format!(
                "the members of a list stand in a file, one a line: `list {} : {} from \"lists/{}.csv\"`",
                name.text,
                self.text_at(ty.span),
                name.text
            );
            return self.fail(codes::E0010, message, &help);
        }
        let gives = if self.eat_word("gives") { Some(self.gives()?) } else { None };
        let from = if self.eat_word("from") { Some(self.text_of("a file")?) } else { None };
        let expires_ms =
            if self.eat_word("expires") { Some(self.duration_ms("a duration")?) } else { None };
        Some(List { name, ty, gives, from, expires_ms, span: self.since(start) })
    }

    fn gives(&mut self) -> Option<Gives> {
        let ty = self.name("what a member gives: `money EUR`, `integer`, `number` or `country`")?;
        let currency = if ty.text == "money" { Some(self.currency()?) } else { None };
        Some(Gives { ty, currency })
    }

    fn feature(&mut self) -> Option<Feature> {
        let start = self.bump();
        let name = self.new_name("the name of a feature")?;
        let value = self.here();
        let expr = match self.expect_sign(Sign::Eq, "after the name of the feature") {
            Some(()) => self.expression_or_error(),
            None => self.error_expr(value),
        };
        Some(Feature { name, expr, span: self.since(start) })
    }

    fn rule(&mut self) -> Option<Rule> {
        let start = self.bump();
        let name = self.new_name("the name of a rule")?;
        let title = self.optional_text();
        let clauses = self.clauses();
        Some(Rule { name, title, clauses, span: self.since(start), made: None })
    }

    fn template(&mut self) -> Option<Template> {
        let start = self.bump();
        let name = self.new_name("the name of a template")?;
        let open = self.here();
        self.expect_sign(Sign::LeftParen, "after the name of the template")?;
        let params = self.comma_list(|p| {
            let name = p.new_name("the name of a parameter")?;
            p.expect_sign(Sign::Colon, "before the kind of the parameter")?;
            Some((name, p.data_name("a kind such as `event`, `key` or `duration`")?))
        })?;
        self.expect_close(Sign::RightParen, open)?;
        let clauses = self.clauses();
        Some(Template { name, params, clauses, span: self.since(start) })
    }

    fn snooze(&mut self) -> Option<Snooze> {
        let start = self.bump();
        let rule = self.name("the name of a rule")?;
        self.expect_word("for", "and a key, as in `snooze a_rule for card \"c1\"`")?;
        let key = self.path("a key")?;
        let value = self.text_of("the value of the key, a text")?;
        self.expect_word("until", "and a date: a snooze ends by itself")?;
        let until = self.date("the last day")?;
        self.expect_word("owner", "and a name: somebody answers for a snooze")?;
        let owner = self.name("the name of an owner")?;
        self.expect_word("reason", "and a text: a snooze says why")?;
        let reason = self.text_of("a reason")?;
        Some(Snooze { rule, key, value, until, owner, reason, span: self.since(start) })
    }

    fn use_template(&mut self) -> Option<Use> {
        let start = self.bump();
        let template = self.name("the name of a template")?;
        let open = self.here();
        self.expect_sign(Sign::LeftParen, "after the name of the template")?;
        let args = self.comma_list(Self::expression)?;
        self.expect_close(Sign::RightParen, open)?;
        self.expect_word("as", "before the name of the new rule")?;
        let name = self.new_name("the name of a rule")?;
        let title = self.optional_text();
        let clauses = self.clauses();
        Some(Use { template, args, name, title, clauses, span: self.since(start) })
    }

    /// A whole number that fits, as in `given 4`.
    pub(super) fn whole_number(&mut self, what: &str) -> Option<u32> {
        if let TokenKind::Number(value) = *self.kind()
            && let Some(whole) = u32::try_from(value.mantissa).ok().filter(|_| value.scale == 0)
        {
            self.bump();
            return Some(whole);
        }
        let message = format!("expected {what}, found {}", self.found());
        self.fail(codes::E0017, message, "write a whole number such as `4`")
    }
}
