//! What is wrong, as the client shows it: the compiler's findings with its codes, and files that cannot be read.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::diag::{Diagnostic, Severity};
use crate::lsp::folder::Folder;
use crate::lsp::server::Server;
use crate::lsp::uri;

/// Adds what is wrong in a folder, by the URI of the file. A file in which nothing is wrong has no entry.
pub(super) fn of(
    server: &Server,
    root: &Path,
    folder: &Folder,
    found: &mut BTreeMap<String, Value>,
) {
    let mut add = |uri: String, finding: Value| {
        if let Value::Array(list) = found.entry(uri).or_insert_with(|| json!([])) {
            list.push(finding);
        }
    };
    for diagnostic in &folder.study.diagnostics {
        let name = folder.name_of(diagnostic.span).unwrap_or_default();
        add(server.uri_of(folder, name), finding(server, folder, diagnostic));
    }
    for refused in &folder.refused {
        let inside = refused.path().strip_prefix(root).map(|path| path.to_string_lossy());
        let open = inside.ok().and_then(|name| server.buffer(root, &name));
        let uri = open.map_or_else(|| uri::of_path(refused.path()), |buffer| buffer.uri.clone());
        let start = json!({ "line": 0, "character": 0 });
        add(
            uri,
            json!({
                "range": { "start": start, "end": start },
                "severity": 1,
                "source": "riskweir",
                "message": refused.to_string(),
            }),
        );
    }
}

fn finding(server: &Server, folder: &Folder, diagnostic: &Diagnostic) -> Value {
    let severity = match diagnostic.severity() {
        Severity::Error => 1,
        Severity::Warning => 2,
    };
    let mut message = diagnostic.message.clone();
    if !diagnostic.label.is_empty() {
        message.push_str(&format!(": {}", diagnostic.label));
    }
    if let Some(help) = &diagnostic.help {
        message.push_str(&format!("\nhelp: {help}"));
    }
    let related = diagnostic.related.iter().filter_map(|(span, text)| {
        let location = server.location(folder, *span)?;
        Some(json!({ "location": location, "message": text }))
    });
    let related: Vec<Value> = related.collect();
    let range = server.range(folder, diagnostic.span);
    let zero = json!({ "line": 0, "character": 0 });
    json!({
        "range": if range.is_null() { json!({ "start": zero, "end": zero }) } else { range },
        "severity": severity,
        "code": diagnostic.code.0,
        "source": "riskweir",
        "message": message,
        "relatedInformation": related,
    })
}
