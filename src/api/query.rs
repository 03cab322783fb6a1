//! Parameters of the query: what a route takes, read once. What it does not take is an error, because a misspelt filter
//! would show everything.

use std::time::Duration;

use crate::api::problem::{BAD_PARAMETER, Problem};
use crate::base::time::parse_rfc3339;
use crate::config::duration;

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParamKind {
    /// A text up to so many bytes.
    Text(usize),
    /// A whole number in these bounds.
    Count(u64, u64),
    /// RFC 3339.
    Time,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, joined by commas.
    Words(&'static [&'static str]),
    /// `500ms`: within these bounds.
    Duration(Duration, Duration),
    /// Where a page ended.
    Cursor,
}

/// A parameter of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    /// Name.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) kind: ParamKind,
    /// For people.
    pub(crate) doc: &'static str,
}

/// Longest cursor.
pub(crate) const MAX_CURSOR_BYTES: usize = 200;

/// The parameters of one request, each as its route declares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads `a=b&c=d`.
    ///
    /// # Errors
    /// A name that the route does not take, one that comes twice, or a value that is not what it must be.
    pub(crate) fn read(text: &str, params: &[Param]) -> Result<Self, Problem> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = |what: &str| Problem::new(BAD_PARAMETER, what);
            let name = decode(name).ok_or_else(|| wrong("a name is no UTF-8"))?;
            let Some(param) = params.iter().find(|param| param.name == name) else {
                let known: Vec<&str> = params.iter().map(|param| param.name).collect();
                return Err(wrong("there is no such parameter").with("known", known));
            };
            let of_it = |what: String| wrong(&what).with("parameter", param.name);
            let value = decode(value).ok_or_else(|| of_it("it is no UTF-8".to_owned()))?;
            if found.iter().any(|(there, _)| *there == param.name) {
                return Err(of_it(format!("`{}` comes twice", param.name)));
            }
            check(param, &value).map_err(of_it)?;
            found.push((param.name, value));
        }
        Ok(Self(found))
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(there, _)| *there == name).map(|(_, value)| value.as_str())
    }

    /// The same, to keep.
    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A number.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// An instant, ms since 1970.
    pub(crate) fn time(&self, name: &str) -> Option<i64> {
        parse_rfc3339(self.text(name)?.as_bytes())
    }

    /// A length of time.
    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        duration(self.text(name)?)
    }

    /// Words.
    pub(crate) fn words(&self, name: &str) -> Vec<&str> {
        self.text(name).map(|text| text.split(',').collect()).unwrap_or_default()
    }
}

fn check(param: &Param, value: &str) -> Result<(), String> {
    let name = param.name;
    let ok = match param.kind {
        ParamKind::Text(most) => !value.is_empty() && value.len() <= most,
        ParamKind::Cursor => !value.is_empty() && value.len() <= MAX_CURSOR_BYTES,
        ParamKind::Count(least, most) => {
            let is_number = value.bytes().all(|b| b.is_ascii_digit());
            is_number && value.parse().is_ok_and(|n: u64| (least..=most).contains(&n))
        }
        ParamKind::Time => parse_rfc3339(value.as_bytes()).is_some(),
        ParamKind::Word(words) => words.contains(&value),
        ParamKind::Words(words) => value.split(',').all(|word| words.contains(&word)),
        ParamKind::Duration(least, most) => {
            duration(value).is_some_and(|it| (least..=most).contains(&it))
        }
    };
    if ok {
        return Ok(());
    }
    Err(match param.kind {
        ParamKind::Text(most) => format!("`{name}` is a text of 1 to {most} bytes"),
        ParamKind::Cursor => format!("`{name}` is the `next` of a page"),
        ParamKind::Count(least, most) => {
            format!("`{name}` is a whole number from {least} to {most}")
        }
        ParamKind::Time => format!("`{name}` is an instant such as 2026-01-31T12:00:00Z"),
        ParamKind::Word(words) => format!("`{name}` is one of {}", words.join(", ")),
        ParamKind::Words(words) => format!("`{name}` is some of {}", words.join(", ")),
        ParamKind::Duration(least, most) => format!(
            "`{name}` is a duration such as `500ms`, from {}ms to {}ms",
            least.as_millis(),
            most.as_millis()
        ),
    })
}

/// Undoes `%41` and `+`.
pub(crate) fn decode(text: &str) -> Option<String> {
    decoded(text, Plus::IsSpace)
}

/// Undoes `%41` in a path, where `+` is itself.
pub(crate) fn decode_path(text: &str) -> Option<String> {
    decoded(text, Plus::IsPlus)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    IsSpace,
    IsPlus,
}

fn decoded(text: &str, plus: Plus) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus == Plus::IsSpace => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: &[Param] = &[
        Param { name: "limit", kind: ParamKind::Count(1, 100), doc: "" },
        Param { name: "from", kind: ParamKind::Time, doc: "" },
        Param { name: "rule", kind: ParamKind::Text(8), doc: "" },
        Param { name: "kinds", kind: ParamKind::Words(&["a", "b"]), doc: "" },
    ];

    #[test]
    fn parameters_are_what_the_route_declares() {
        let query = Query::read("limit=7&rule=R%2D1+x&from=1970-01-01T00:00:01Z&kinds=b,a", PARAMS)
            .unwrap();
        assert_eq!((query.count("limit"), query.text("rule")), (Some(7), Some("R-1 x")));
        assert_eq!((query.time("from"), query.words("kinds")), (Some(1_000), vec!["b", "a"]));
        for (text, part) in [
            ("limt=7", "no such parameter"),
            ("limit=0", "from 1 to 100"),
            ("limit=%2b7", "from 1 to 100"),
            ("limit=1&limit=2", "twice"),
            ("from=noon", "an instant"),
            ("rule=", "1 to 8 bytes"),
            ("rule=%ff", "UTF-8"),
            ("rule=%4", "UTF-8"),
            ("kinds=a,", "some of a, b"),
        ] {
            let problem = Query::read(text, PARAMS).unwrap_err();
            assert!(problem.detail.contains(part), "{text}: {}", problem.detail);
        }
    }
}
