//! Operations on texts. A text may lie in the record, in the plan, in the scratch of this event, or be known by its tag
//! alone (read back from state and longer than a tag carries): then only equality can be decided.

use crate::base::{Tag, TextRef, Value};
use crate::rules::eval::alike::similarity;
use crate::rules::eval::code::{At, Code, ValueCode};
use crate::rules::eval::{Host, Run, Truth};
use crate::rules::program::ListId;

/// Where a text lies.
#[derive(Clone, Copy, Debug)]
enum Text {
    Record(TextRef),
    Constant(u32),
    Scratch { start: usize, end: usize },
    Tag(Tag),
}

impl<H: Host> Run<'_, H> {
    pub(super) fn same_text(&mut self, left: At, right: At, negated: bool) -> Truth {
        let (Some(left), Some(right)) = (self.text_at(left), self.text_at(right)) else {
            return Truth::Undecided;
        };
        let same = match (self.bytes(left), self.bytes(right)) {
            (Some(left), Some(right)) => left == right,
            _ => self.tag(left) == self.tag(right),
        };
        Truth::decided(Some(same != negated))
    }

    pub(super) fn text_in_set(
        &mut self,
        at: At,
        texts: &[Box<[u8]>],
        tags: &[Tag],
    ) -> Option<bool> {
        let text = self.text_at(at)?;
        Some(match self.bytes(text) {
            Some(bytes) => texts.binary_search_by(|member| (**member).cmp(bytes)).is_ok(),
            None => tags.binary_search(&self.tag(text)).is_ok(),
        })
    }

    pub(super) fn in_list(&mut self, at: At, list: ListId, names: Option<u32>) -> Truth {
        if let Some(text) = self.text_at(at) {
            let (row, raw, plan) = (self.row, self.raw, self.plan);
            let found = match text {
                Text::Tag(tag) => self.host.list_contains_tag(list, tag),
                Text::Record(text) => self.host.list_contains(list, row.text(raw, text)),
                Text::Constant(index) => {
                    let bytes = plan.texts.get(index as usize).map_or(&[][..], |text| text);
                    self.host.list_contains(list, bytes)
                }
                Text::Scratch { start, end } => {
                    let bytes = self.memo.scratch.get(start..end).unwrap_or_default();
                    self.host.list_contains(list, bytes)
                }
            };
            return Truth::decided(Some(found));
        }
        let plan = self.plan;
        match (self.value_at(at), names) {
            (Value::Code(code), Some(first)) => {
                let name = plan.texts.get(first as usize + code as usize);
                Truth::decided(name.map(|name| self.host.list_contains(list, name)))
            }
            (Value::Code(code), None) => {
                let letters = code.to_be_bytes();
                let blank = letters.iter().take_while(|byte| **byte == 0).count();
                Truth::decided(letters.get(blank..).map(|text| self.host.list_contains(list, text)))
            }
            (Value::Int(int), _) => {
                let (digits, start) = decimal(int);
                Truth::decided(digits.get(start..).map(|text| self.host.list_contains(list, text)))
            }
            _ => Truth::Undecided,
        }
    }

    /// What a member of a list gives.
    pub(super) fn given(&mut self, at: At, list: u32, names: Option<u32>) -> Value {
        let (plan, now_ms) = (self.plan, self.row.time_ms);
        let Some((_, givens)) = plan.givens.get(list as usize) else { return Value::Missing };
        let find = |member: &[u8]| givens.find(member, now_ms);
        if let Some(text) = self.text_at(at) {
            let text = self.spelled(text);
            return self.bytes(text).map_or(Value::Missing, find);
        }
        match (self.value_at(at), names) {
            (Value::Code(code), Some(first)) => {
                let name = plan.texts.get(first as usize + code as usize);
                name.map_or(Value::Missing, |name| find(name))
            }
            (Value::Code(code), None) => {
                let letters = code.to_be_bytes();
                let blank = letters.iter().take_while(|byte| **byte == 0).count();
                letters.get(blank..).map_or(Value::Missing, find)
            }
            (Value::Int(int), _) => {
                let (digits, start) = decimal(int);
                digits.get(start..).map_or(Value::Missing, find)
            }
            _ => Value::Missing,
        }
    }

    pub(super) fn matches(&mut self, at: At, pattern: u32) -> Truth {
        let plan = self.plan;
        let (Some(text), Some(pattern)) = (self.text_at(at), plan.patterns.get(pattern as usize))
        else {
            return Truth::Undecided;
        };
        match text {
            Text::Tag(tag) => {
                Truth::decided(tag.text().map(|text| pattern.is_match(text.as_bytes())))
            }
            _ => Truth::decided(self.bytes(text).map(|bytes| pattern.is_match(bytes))),
        }
    }

    pub(super) fn contains(&mut self, text: At, part: At) -> Truth {
        self.both_texts(text, part, |text, part| memchr::memmem::find(text, part).is_some())
    }

    pub(super) fn starts_with(&mut self, text: At, part: At) -> Truth {
        self.both_texts(text, part, <[u8]>::starts_with)
    }

    /// Tag of the lower case of a text.
    pub(super) fn lower_tag(&mut self, at: At) -> Value {
        let lower = self.lower(at).map(|text| self.tag(text));
        lower.map_or(Value::Missing, Value::Tag)
    }

    pub(super) fn length(&mut self, at: At) -> Value {
        let Some(text) = self.text_at(at) else { return Value::Missing };
        let n_chars = match text {
            Text::Tag(tag) => tag.text().map(|text| text.chars().count()),
            _ => self.bytes(text).map(count_chars),
        };
        n_chars.and_then(|n| i64::try_from(n).ok()).map_or(Value::Missing, Value::Int)
    }

    /// How alike two texts are.
    pub(super) fn similarity(&mut self, left: At, right: At) -> Value {
        let (Some(left), Some(right)) = (self.text_at(left), self.text_at(right)) else {
            return Value::Missing;
        };
        let (left, right) = (self.spelled(left), self.spelled(right));
        let known = self.bytes(left).zip(self.bytes(right)).and_then(|(left, right)| {
            Some((core::str::from_utf8(left).ok()?, core::str::from_utf8(right).ok()?))
        });
        known.map_or(Value::Missing, |(left, right)| Value::Number(similarity(left, right)))
    }

    /// The opaque word of a value: what `distinct`, `last` and `is_new` remember.
    pub(super) fn word_at(&mut self, at: At) -> Option<u64> {
        match self.value_at(at) {
            Value::Bool(value) => Some(u64::from(value)),
            Value::Code(code) => Some(u64::from(code)),
            Value::Int(int) => Some(int.cast_unsigned()),
            Value::Tag(tag) => Some(tag.0),
            Value::Text(text) => Some(self.tag(Text::Record(text)).0),
            Value::Money(micro) => {
                i64::try_from(micro / crate::base::MICRO_PER_MINOR).ok().map(i64::cast_unsigned)
            }
            Value::Number(number) => Some((number + 0.0).to_bits()),
            Value::Missing | Value::Geo(..) => None,
        }
    }

    fn both_texts(&mut self, left: At, right: At, test: fn(&[u8], &[u8]) -> bool) -> Truth {
        let (Some(left), Some(right)) = (self.text_at(left), self.text_at(right)) else {
            return Truth::Undecided;
        };
        let (left, right) = (self.spelled(left), self.spelled(right));
        Truth::decided(match (self.bytes(left), self.bytes(right)) {
            (Some(left), Some(right)) => Some(test(left, right)),
            _ => None,
        })
    }

    /// A tag that carries its text, as that text.
    fn spelled(&mut self, text: Text) -> Text {
        match text {
            Text::Tag(tag) => tag.text().map_or(text, |spelled| {
                let start = self.memo.scratch.len();
                self.memo.scratch.extend_from_slice(spelled.as_bytes());
                Text::Scratch { start, end: self.memo.scratch.len() }
            }),
            _ => text,
        }
    }

    fn text_at(&mut self, at: At) -> Option<Text> {
        let plan = self.plan;
        match &plan.instructions.get(at as usize)?.code {
            Code::Value(ValueCode::Text(index, _)) => Some(Text::Constant(*index)),
            Code::Value(ValueCode::Lower(of)) => self.lower(*of),
            Code::Value(ValueCode::Default(a, b)) => {
                let first = self.text_at(*a);
                if first.is_some() { first } else { self.text_at(*b) }
            }
            _ => match self.value_at(at) {
                Value::Text(text) => Some(Text::Record(text)),
                Value::Tag(tag) => Some(Text::Tag(tag)),
                _ => None,
            },
        }
    }

    /// The lower case of a text, in the scratch.
    fn lower(&mut self, at: At) -> Option<Text> {
        let text = self.text_at(at)?;
        let mut scratch = core::mem::take(&mut self.memo.scratch);
        let start = scratch.len();
        let known = match text {
            Text::Record(text) => {
                push_lower(&mut scratch, self.row.text(self.raw, text));
                true
            }
            Text::Constant(index) => {
                let text = self.plan.texts.get(index as usize);
                push_lower(&mut scratch, text.map_or(&[][..], |text| text));
                true
            }
            // Lower case of lower case.
            Text::Scratch { start, end } => {
                scratch.extend_from_within(start..end);
                true
            }
            Text::Tag(tag) => {
                let spelled = tag.text();
                push_lower(&mut scratch, spelled.as_deref().unwrap_or_default().as_bytes());
                spelled.is_some()
            }
        };
        let end = scratch.len();
        self.memo.scratch = scratch;
        known.then_some(Text::Scratch { start, end })
    }

    fn bytes(&self, text: Text) -> Option<&[u8]> {
        match text {
            Text::Record(text) => Some(self.row.text(self.raw, text)),
            Text::Constant(index) => self.plan.texts.get(index as usize).map(|text| &**text),
            Text::Scratch { start, end } => self.memo.scratch.get(start..end),
            Text::Tag(_) => None,
        }
    }

    fn tag(&self, text: Text) -> Tag {
        match text {
            Text::Tag(tag) => tag,
            _ => Tag::of_text(self.bytes(text).unwrap_or_default()),
        }
    }
}

fn count_chars(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

fn push_lower(out: &mut Vec<u8>, text: &[u8]) {
    if text.is_ascii() {
        out.extend(text.iter().map(u8::to_ascii_lowercase));
    } else {
        out.extend_from_slice(String::from_utf8_lossy(text).to_lowercase().as_bytes());
    }
}

/// The decimal digits of an integer, without allocation: a buffer and where they start.
fn decimal(int: i64) -> ([u8; 20], usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let mut rest = int.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if int < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    (digits, start)
}
