//! The OpenAPI 3.1 document, made of the table of routes and of the types that handlers read and write.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::api::problem::{
    BAD_BODY, BAD_PARAMETER, FORBIDDEN, INTERNAL, Kind, METHOD_NOT_ALLOWED, NOT_FOUND, ProblemBody,
    RATE_LIMITED, TIMED_OUT, TOO_LARGE, UNAUTHENTICATED, UNSUPPORTED_MEDIA_TYPE,
};
use crate::api::query::{MAX_CURSOR_BYTES, Param, ParamKind};
use crate::api::route::{MAX_SEGMENT_BYTES, Route};
use crate::api::table::ROUTES;

/// Problems that every route has.
const COMMON: &[Kind] = &[
    BAD_PARAMETER,
    UNAUTHENTICATED,
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    RATE_LIMITED,
    INTERNAL,
    TIMED_OUT,
];

/// Those of a route that takes a body.
const WITH_BODY: &[Kind] = &[BAD_BODY, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE];

/// The document.
pub fn document() -> Value {
    let settings = || {
        let mut settings = SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings
    };
    // WHY: what may be left out of an answer need not be what may be left out of a request.
    let mut schemas = Schemas {
        answers: settings().for_serialize().into_generator(),
        bodies: settings().for_deserialize().into_generator(),
    };
    let problem = schemas.answers.subschema_for::<ProblemBody>();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, problem.as_value(), &mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.name().to_lowercase(), operation);
        }
    }
    let mut definitions = schemas.answers.take_definitions(true);
    definitions.extend(schemas.bodies.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Riskweir",
            "version": "1",
            "description": "Decisions, alerts and holds of a risk monitor, and what people ask of it. docs/API.md is the handbook.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`riskweir token new` makes one."},
            },
            "schemas": definitions,
        },
    })
}

/// What makes schemas: of what is written and of what is read.
struct Schemas {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
}

fn operation(route: &Route, problem: &Value, schemas: &mut Schemas) -> Value {
    let mut parameters: Vec<Value> = names(route.path)
        .map(|name| {
            json!({
                "name": name, "in": "path", "required": true,
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_SEGMENT_BYTES},
            })
        })
        .collect();
    parameters.extend(route.query.iter().map(parameter));
    parameters.extend(route.headers.iter().map(|header| {
        json!({
            "name": header.name, "in": "header", "description": header.doc,
            "schema": {"type": "string", "pattern": header.pattern},
        })
    }));
    let mut responses = Map::new();
    for good in route.good {
        let schema = (good.schema)(&mut schemas.answers);
        let mut content = Map::new();
        content.insert(good.media.to_owned(), json!({ "schema": schema }));
        let answer = json!({"description": good.doc, "content": content});
        responses.insert(good.status.to_string(), answer);
    }
    for (status, words) in problems(route) {
        let content = json!({"application/problem+json": {"schema": problem}});
        responses.insert(status.to_string(), json!({"description": words, "content": content}));
    }
    let roles: Vec<&str> = route.roles.iter().map(|role| role.name()).collect();
    let mut out = json!({
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.summary,
        "description": format!("Roles: {}.", roles.join(", ")),
        "x-roles": roles,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = route.body {
        let schema = body(&mut schemas.bodies);
        let content = route.media().iter().map(|media| {
            let content = json!({ "schema": schema });
            ((*media).to_owned(), content)
        });
        let content: Map<String, Value> = content.collect();
        let body = json!({"required": true, "content": content});
        if let Some(out) = out.as_object_mut() {
            out.insert("requestBody".to_owned(), body);
        }
    }
    out
}

/// The names in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn parameter(param: &Param) -> Value {
    let schema = match param.kind {
        ParamKind::Text(most) => json!({"type": "string", "minLength": 1, "maxLength": most}),
        ParamKind::Cursor => {
            json!({"type": "string", "minLength": 1, "maxLength": MAX_CURSOR_BYTES})
        }
        ParamKind::Count(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        ParamKind::Time => json!({"type": "string", "format": "date-time"}),
        ParamKind::Word(words) => json!({"type": "string", "enum": words}),
        ParamKind::Words(words) => {
            json!({"type": "array", "items": {"type": "string", "enum": words}, "minItems": 1})
        }
        ParamKind::Duration(..) => {
            json!({"type": "string", "pattern": "^[1-9][0-9]{0,3}ms$|^[1-9]s$|^[12][0-9]s$|^30s$"})
        }
    };
    let mut out =
        json!({"name": param.name, "in": "query", "description": param.doc, "schema": schema});
    if let (ParamKind::Words(_), Some(out)) = (param.kind, out.as_object_mut()) {
        out.insert("style".to_owned(), json!("form"));
        out.insert("explode".to_owned(), json!(false));
    }
    out
}

/// The problems of a route by status, each with its codes in words.
fn problems(route: &Route) -> Vec<(u16, String)> {
    let mut kinds: Vec<Kind> = COMMON.to_vec();
    if route.path.contains('{') {
        kinds.push(NOT_FOUND);
    }
    if route.body.is_some() {
        kinds.extend(WITH_BODY);
    }
    kinds.extend(route.problems);
    kinds.sort_by_key(|kind| (kind.status, kind.code));
    kinds.dedup();
    let mut by_status: Vec<(u16, String)> = Vec::new();
    for kind in kinds {
        let words = format!("`{}`: {}", kind.code, kind.title);
        match by_status.last_mut().filter(|(status, _)| *status == kind.status) {
            Some((_, all)) => {
                all.push(' ');
                all.push_str(&words);
            }
            None => by_status.push((kind.status, words)),
        }
    }
    by_status
}
