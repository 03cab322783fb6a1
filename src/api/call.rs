//! One request as a handler sees it, and what it answers.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::api::problem::{BAD_BODY, BAD_PARAMETER, Problem};
use crate::api::query::Query;
use crate::api::roles::{Person, Role, Scope};
use crate::api::state::State;

/// What somebody showed to be let in, and as what.
#[derive(Clone)]
pub(crate) struct Pass {
    /// The token.
    pub(crate) bearer: Arc<str>,
    /// Who may call the route.
    pub(crate) roles: &'static [Role],
    /// At which topics their view ended then.
    pub(crate) scope: Scope,
}

impl core::fmt::Debug for Pass {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Pass(***)")
    }
}

impl Pass {
    /// Whether it would let somebody in now, and show the same: a token is withdrawn, or loses a role or a topic, while an answer
    /// goes on.
    pub(crate) fn holds(&self, state: &State) -> bool {
        let may = |person: Person| person.may(self.roles) && person.scope == self.scope;
        state.person(&self.bearer).is_some_and(may)
    }
}

/// A request of somebody who may make it.
#[derive(Debug)]
pub(crate) struct Call {
    /// The service.
    pub(crate) state: Arc<State>,
    /// Who asks.
    pub(crate) person: Person,
    /// What lets them in.
    pub(crate) pass: Pass,
    /// By what it is found in the log.
    pub(crate) request_id: String,
    /// The texts of the path's segments.
    pub(crate) names: Vec<String>,
    /// The parameters.
    pub(crate) query: Query,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// Longest idempotency key.
pub(crate) const MAX_KEY_BYTES: usize = 200;

impl Call {
    /// The first text of the path.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map(String::as_str).unwrap_or_default()
    }

    /// The body as JSON of a type that knows all its members.
    ///
    /// # Errors
    /// It is not; never what stands there.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = match error.classify() {
                Category::Data => "the body lacks a member, or has one that is not asked for",
                _ => "the body is no JSON",
            };
            Problem::new(BAD_BODY, what).with("line", error.line()).with("column", error.column())
        })
    }

    /// A header that holds visible ASCII.
    ///
    /// # Errors
    /// It is longer than `most`, or holds something else.
    pub(crate) fn header(&self, name: &'static str, most: usize) -> Result<Option<&str>, Problem> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let is_visible = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let text = value.to_str().ok().filter(|text| (1..=most).contains(&text.len()));
        let text = text.filter(is_visible).filter(|_| values.next().is_none());
        let wrong = || {
            let what = format!("`{name}` is 1 to {most} visible ASCII characters, once");
            Problem::new(BAD_PARAMETER, what).with("header", name)
        };
        text.map(Some).ok_or_else(wrong)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
}

impl Reply {
    /// JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Problem> {
        let text = serde_json::to_string(value).map_err(|_| {
            Problem::new(crate::api::problem::INTERNAL, "the answer could not be written")
        })?;
        Ok(Self::text("application/json", format!("{text}\n")))
    }

    /// A text of some media type.
    pub(crate) fn text(media: &'static str, text: impl Into<Body>) -> Self {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(media));
        Self { status: StatusCode::OK, headers: vec![kind], body: text.into() }
    }

    /// With another status.
    #[must_use]
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With a header; one that cannot be written is left out.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// As it is sent.
    pub(crate) fn response(self) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A problem as it is sent.
pub(crate) fn refusal(problem: &Problem, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(problem.body(request_id)));
    *response.status_mut() =
        StatusCode::from_u16(problem.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
