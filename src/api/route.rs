//! What a route is, and which one a request means.
//!
//! One table ([`crate::api::table::ROUTES`]) is the router, the roles and the document: whoever adds a line has added all
//! three. The match is by hand because the paths have verbs behind their ids (`/v1/holds/{id}:release`), which the router of
//! axum cannot tell apart, and a few dozen lines are walked in no time.

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use schemars::{Schema, SchemaGenerator};

use crate::api::call::{Call, Reply};
use crate::api::problem::{Kind, Problem};
use crate::api::query::{Param, decode_path};
use crate::api::roles::Role;
use crate::api::table::OTHER_BODIES;

/// An answer that is being worked out.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Reads, changes nothing.
    Get,
    /// Does something.
    Post,
    /// Puts something in the place of something.
    Put,
}

impl Method {
    /// As HTTP writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// A header that a route reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Name.
    pub(crate) name: &'static str,
    /// What it looks like.
    pub(crate) pattern: &'static str,
    /// For people.
    pub(crate) doc: &'static str,
}

/// What a route answers when all is well.
#[derive(Clone, Copy)]
pub(crate) struct Good {
    /// HTTP status.
    pub(crate) status: u16,
    /// What it means.
    pub(crate) doc: &'static str,
    /// The media type.
    pub(crate) media: &'static str,
    /// The schema of its body.
    pub(crate) schema: SchemaOf,
}

/// A line of the table.
pub(crate) struct Route {
    /// How it is asked.
    pub(crate) method: Method,
    /// Where; `{name}` stands for a segment, with or without a verb behind it.
    pub(crate) path: &'static str,
    /// Its name for programs.
    pub(crate) id: &'static str,
    /// What it belongs to.
    pub(crate) tag: &'static str,
    /// One sentence.
    pub(crate) summary: &'static str,
    /// Whoever has one of these may call it, and nobody else.
    pub(crate) roles: &'static [Role],
    /// Parameters of the query.
    pub(crate) query: &'static [Param],
    /// Headers.
    pub(crate) headers: &'static [Header],
    /// The schema of the body that it takes.
    pub(crate) body: Option<SchemaOf>,
    /// What it answers when all is well.
    pub(crate) good: &'static [Good],
    /// Problems of its own, beside those that every route has.
    pub(crate) problems: &'static [Kind],
    /// What it does.
    pub(crate) run: fn(Call) -> Answering,
}

/// JSON, which bodies are.
pub(crate) const JSON: &str = "application/json";

impl Route {
    /// The media types of the body that it takes.
    pub(crate) fn media(&self) -> &'static [&'static str] {
        let other = OTHER_BODIES.iter().find(|(id, _)| *id == self.id);
        other.map_or(&[JSON], |(_, media)| *media)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.name(), self.path)
    }
}

/// Longest segment that stands for a name.
pub(crate) const MAX_SEGMENT_BYTES: usize = 256;

/// What a path means.
#[derive(Debug)]
pub(crate) enum Meant {
    /// This, with the texts of its segments.
    Route(&'static Route, Vec<String>),
    /// The path is known, with other methods.
    Methods(Vec<&'static str>),
    /// Nothing.
    Nothing,
}

/// Which line of a table a request means.
pub(crate) fn meant(routes: &'static [Route], method: &str, path: &str) -> Meant {
    let mut methods = Vec::new();
    for route in routes {
        let Some(names) = segments(route.path, path) else { continue };
        if route.method.name() == method {
            return Meant::Route(route, names);
        }
        methods.push(route.method.name());
    }
    if methods.is_empty() { Meant::Nothing } else { Meant::Methods(methods) }
}

fn segments(template: &str, path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let (mut wanted, mut found) = (template.split('/'), path.split('/'));
    loop {
        let (wanted, found) = match (wanted.next(), found.next()) {
            (None, None) => return Some(names),
            (Some(wanted), Some(found)) => (wanted, found),
            _ => return None,
        };
        let Some((_, verb)) = wanted.strip_prefix('{').and_then(|it| it.split_once('}')) else {
            if wanted == found {
                continue;
            }
            return None;
        };
        let name = found.strip_suffix(verb)?;
        if name.is_empty() || name.contains(':') {
            return None;
        }
        let name = decode_path(name)?;
        if name.len() > MAX_SEGMENT_BYTES || name.chars().any(char::is_control) {
            return None;
        }
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_behind_an_id_is_no_part_of_it() {
        let names = |template: &str, path: &str| segments(template, path);
        let one = |name: &str| Some(vec![name.to_owned()]);
        assert_eq!(names("/v1/holds/{id}", "/v1/holds/ab"), one("ab"));
        assert_eq!(names("/v1/holds/{id}", "/v1/holds/ab:release"), None);
        assert_eq!(names("/v1/holds/{id}:release", "/v1/holds/ab:release"), one("ab"));
        assert_eq!(names("/v1/holds/{id}:release", "/v1/holds/:release"), None);
        assert_eq!(names("/v1/holds/{id}", "/v1/holds/"), None);
        assert_eq!(names("/v1/holds/{id}", "/v1/holds/a%2Fb"), one("a/b"));
        assert_eq!(names("/v1/holds/{id}", "/v1/holds/a%00b"), None);
        assert_eq!(names("/v1/holds", "/v1/holds"), Some(Vec::new()));
        assert_eq!(names("/v1/holds", "/v1/holds/"), None);
    }
}
