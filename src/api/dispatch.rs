//! From a request to an answer: one way, and every request goes it. Who asks is known before anything else is said.
//!
//! Order: id of the request, token, share of the person (of the address where there is none), route, role, topics, parameters,
//! body, handler. A handler is only ever called for somebody whom its line of the table names.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::api::access::wait_told;
use crate::api::call::{Call, Pass, refusal};
use crate::api::limit::{Share, Who};
use crate::api::problem::{
    BAD_BODY, BAD_PARAMETER, FORBIDDEN, METHOD_NOT_ALLOWED, NOT_FOUND, Problem, RATE_LIMITED,
    TIMED_OUT, TOO_LARGE, UNAUTHENTICATED, UNSUPPORTED_MEDIA_TYPE,
};
use crate::api::query::Query;
use crate::api::reach;
use crate::api::roles::{Person, Scope};
use crate::api::route::{Header, Meant, Method, Route, meant};
use crate::api::state::State;
use crate::api::table::ROUTES;
use crate::telemetry::api as happening;
use crate::telemetry::requests::RouteName;

/// How long a body may take to come.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Longest id of a request that a caller gives.
const MAX_ID_BYTES: usize = 64;

/// What every answer says to browsers and caches.
const SECURITY: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cache-control", "no-store"),
];

/// Answers a request of an address.
pub(crate) async fn answer(state: Arc<State>, address: IpAddr, request: Request) -> Response {
    let began = Instant::now();
    let request_id = request_id(request.headers());
    let mut seen = Seen { person: None, route: None, share: None };
    let method = request.method().clone();
    let books = Arc::clone(&state.books);
    let answered = handle(state, address, request, &request_id, &mut seen).await;
    let mut response = answered.unwrap_or_else(|problem| {
        let mut response = refusal(&problem, &request_id);
        add_hints(&problem, &mut response);
        response
    });
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    put(headers, "x-request-id", &request_id);
    if let Some(share) = seen.share {
        put(headers, "ratelimit-limit", &share.limit.to_string());
        put(headers, "ratelimit-remaining", &share.left.to_string());
        let wait_s = share.wait.as_millis().div_ceil(1_000);
        put(headers, "ratelimit-reset", &wait_s.to_string());
        if !share.is_within {
            put(headers, "retry-after", &wait_s.max(1).to_string());
        }
    }
    let took = began.elapsed();
    let other = RouteName { method: "other", path: "other" };
    let route = seen
        .route
        .map_or(other, |route| RouteName { method: route.method.name(), path: route.path });
    books.answered(route, response.status().as_u16(), took);
    happening::ApiCall {
        request_id: &request_id,
        person: seen.person.as_ref().map_or("", |person| person.name.as_str()),
        operation: seen.route.map_or(method.as_str(), |route| route.id),
        is_change: seen.route.is_some_and(|route| route.method != Method::Get),
        status: response.status().as_u16(),
        took,
    }
    .emit();
    response
}

/// What is known of a request however it ends.
struct Seen {
    person: Option<Person>,
    route: Option<&'static Route>,
    share: Option<Share>,
}

async fn handle(
    state: Arc<State>,
    address: IpAddr,
    request: Request,
    request_id: &str,
    seen: &mut Seen,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (person, bearer) = identify(&state, address, &parts.headers, seen)?;
    seen.person = Some(person.clone());
    let share = state.limiter.take(&Who::Person(person.name.clone()), Instant::now());
    seen.share = Some(share);
    if !share.is_within {
        state.books.rate_limited("person");
        return Err(Problem::new(RATE_LIMITED, "the token has asked too often"));
    }
    let (route, names) = match meant(ROUTES, parts.method.as_str(), parts.uri.path()) {
        Meant::Route(route, names) => (route, names),
        Meant::Methods(methods) => {
            let problem = Problem::new(METHOD_NOT_ALLOWED, "the path takes other methods");
            return Err(problem.with("allow", methods));
        }
        Meant::Nothing => return Err(Problem::new(NOT_FOUND, "there is no such path")),
    };
    seen.route = Some(route);
    if !person.may(route.roles) {
        let needs: Vec<&str> = route.roles.iter().map(|role| role.name()).collect();
        return Err(Problem::new(FORBIDDEN, "the token has none of the roles").with("roles", needs));
    }
    if person.scope != Scope::All && !reach::is_of_topics(route.id) {
        let what = "the token is for some input topics, and this is about all of them";
        return Err(Problem::new(FORBIDDEN, what));
    }
    check_condition(route, &parts.headers)?;
    if route.method != Method::Get {
        wait_told(&state, &bearer).await?;
    }
    let query = Query::read(parts.uri.query().unwrap_or_default(), route.query)?;
    let body = read_body(route, &parts.headers, body, state.max_body_bytes).await?;
    let (headers, request_id) = (parts.headers, request_id.to_owned());
    let pass = Pass { bearer, roles: route.roles, scope: person.scope.clone() };
    let call = Call { state, person, pass, request_id, names, query, headers, body };
    match tokio::time::timeout(ANSWER_LIMIT, (route.run)(call)).await {
        Ok(answer) => answer.map(super::call::Reply::response),
        Err(_) => Err(Problem::new(TIMED_OUT, "it took too long and was given up")),
    }
}

/// A condition that a route does not look at must not be taken for one that holds.
fn check_condition(route: &Route, headers: &HeaderMap) -> Result<(), Problem> {
    let takes_it = |known: &Header| known.name.eq_ignore_ascii_case(header::IF_MATCH.as_str());
    if !headers.contains_key(header::IF_MATCH) || route.headers.iter().any(takes_it) {
        return Ok(());
    }
    let what = "`If-Match` means nothing here: leave it out";
    Err(Problem::new(BAD_PARAMETER, what).with("header", "if-match"))
}

/// Who asks.
fn identify(
    state: &State,
    address: IpAddr,
    headers: &HeaderMap,
    seen: &mut Seen,
) -> Result<(Person, Arc<str>), Problem> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // WHY: the token first, because many stand behind one address, and one of them must not lock the others out.
    if let Some((person, token)) = token.and_then(|token| Some((state.person(token)?, token))) {
        return Ok((person, Arc::from(token)));
    }
    let share = state.limiter.take(&Who::Address(address), Instant::now());
    if !share.is_within {
        seen.share = Some(share);
        state.books.rate_limited("address");
        return Err(Problem::new(RATE_LIMITED, "too many requests without a valid token"));
    }
    state.books.unauthenticated();
    Err(Problem::new(UNAUTHENTICATED, "send `Authorization: Bearer TOKEN`"))
}

/// The media type of a body, without what follows it.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.and_then(|text| text.split(';').next()).map(str::trim)
}

async fn read_body(
    route: &Route,
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Bytes, Problem> {
    if route.body.is_none() {
        let is_empty = body.size_hint().exact() == Some(0);
        if !is_empty && body.size_hint().lower() > 0 {
            return Err(Problem::new(BAD_BODY, "there must be no body"));
        }
        return Ok(Bytes::new());
    }
    let media = media_type(headers);
    let is_taken = |taken: &str| media.is_some_and(|media| media.eq_ignore_ascii_case(taken));
    if !route.media().iter().any(|taken| is_taken(taken)) {
        let what = format!("send `Content-Type: {}`", route.media().join("` or `"));
        return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, what));
    }
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        // WHY: a body that is unpacked here would have to be bounded twice, and no caller needs it.
        let what = "send the body as it is, without `Content-Encoding`";
        return Err(Problem::new(UNSUPPORTED_MEDIA_TYPE, what));
    }
    let too_large = || {
        let what = format!("a body has at most {most} bytes (`api.max_body`)");
        Problem::new(TOO_LARGE, what).with("limit_bytes", most)
    };
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_LIMIT, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Problem::new(TIMED_OUT, "the body took too long")),
    }
}

/// The caller's id of the request, or one of our own.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let given = given.filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(fits));
    given.map_or_else(|| crate::api::state::random_hex(8), str::to_owned)
}

/// Headers that standards ask for beside some problems.
fn add_hints(problem: &Problem, response: &mut Response) {
    let headers = response.headers_mut();
    if problem.kind == UNAUTHENTICATED {
        put(headers, "www-authenticate", "Bearer realm=\"riskweir\"");
    }
    if problem.kind.status == 503 {
        put(headers, "retry-after", "1");
    }
    if problem.kind == METHOD_NOT_ALLOWED
        && let Some(methods) = problem.more.get("allow").and_then(|it| it.as_array())
    {
        let methods: Vec<&str> = methods.iter().filter_map(|it| it.as_str()).collect();
        put(headers, "allow", &methods.join(", "));
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
