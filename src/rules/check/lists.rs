//! Lists and the members that their files give them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::base::time::parse_rfc3339;
use crate::base::{country_meant, parse_country};
use crate::diag::{Diagnostic, FileId, Source, Sources, Span, codes, suggest};
use crate::event::schema::EntityId;
use crate::rules::check::limits::{MAX_LIST_MEMBERS, MAX_LISTS};
use crate::rules::check::refusal::{Refusal, did_you_mean};
use crate::rules::check::schema::{BUILTIN_TYPES, twice};
use crate::rules::program::{ListSpec, Type};
use crate::rules::syntax::ast::{self, Item, TypeKind};

/// Compiles all `list` items in file order.
pub(super) fn compile(
    items: &[&Item],
    kinds: &BTreeMap<String, EntityId>,
    (sources, timezone): (&Sources, &TimeZone),
    report: &mut Vec<Diagnostic>,
) -> Vec<ListSpec> {
    let mut lists: Vec<ListSpec> = Vec::new();
    for item in items {
        let Item::List(list) = item else { continue };
        if lists.iter().any(|known| known.name == list.name.text) {
            report.push(twice("list", &list.name, None));
            continue;
        }
        if lists.len() >= MAX_LISTS {
            let message = format!("more than {MAX_LISTS} lists");
            report.push(Diagnostic::new(codes::E0513, list.name.span, message));
            break;
        }
        if list.expires_ms.is_some_and(|ms| ms <= 0) {
            report.push(
                Diagnostic::new(
                    codes::E0511,
                    list.span,
                    "entries that expire at once are never found",
                )
                .with_help("write a time above zero, as in `expires 24h`"),
            );
        }
        let ty = match member_type(list, kinds) {
            Ok(ty) => ty,
            Err(diagnostic) => {
                report.push(*diagnostic);
                continue;
            }
        };
        lists.push(ListSpec {
            name: list.name.text.clone(),
            ty,
            expires_ms: list.expires_ms,
            members: members(list, ty, (sources, timezone), report),
        });
    }
    lists
}

fn member_type(list: &ast::List, kinds: &BTreeMap<String, EntityId>) -> Result<Type, Refusal> {
    let span = list.ty.span;
    let refuse = |code, message: String, help: &str| {
        Err(Box::new(Diagnostic::new(code, span, message).with_help(help)))
    };
    if list.ty.optional {
        return refuse(
            codes::E0202,
            "members of a list are always present".to_owned(),
            "remove the `?`",
        );
    }
    let TypeKind::Named(name) = &list.ty.kind else {
        return refuse(
            codes::E0202,
            "a list cannot hold a closed set".to_owned(),
            "write the set into the rule: `status in [declined, failed]`",
        );
    };
    match name.text.as_str() {
        "text" => Ok(Type::Text),
        "ip" => Ok(Type::Ip),
        "country" => Ok(Type::Country),
        builtin if BUILTIN_TYPES.contains(&builtin) => refuse(
            codes::E0202,
            format!("a list cannot hold values of type `{builtin}`"),
            "lists hold texts, addresses, countries or entities",
        ),
        kind => kinds.get(kind).map(|&id| Type::Entity(id)).map_or_else(
            || {
                let known = kinds.keys().map(String::as_str).chain(["text", "ip", "country"]);
                let diagnostic =
                    Diagnostic::new(codes::E0105, span, format!("unknown type `{kind}`"))
                        .with_label("unknown");
                Err(Box::new(did_you_mean(
                    diagnostic,
                    suggest::nearest(kind, known),
                    "no field of any event has this type",
                )))
            },
            Ok,
        ),
    }
}

/// Members with the instant at which they expire.
type Members = Vec<(String, Option<i64>)>;

fn members(
    list: &ast::List,
    ty: Type,
    (sources, timezone): (&Sources, &TimeZone),
    report: &mut Vec<Diagnostic>,
) -> Members {
    let Some(from) = &list.from else { return Vec::new() };
    let found = (0_u32..).zip(&sources.files).find(|(_, source)| source.path == from.text);
    let Some((index, source)) = found else {
        let known = sources.files.iter().map(|source| source.path.as_str());
        let diagnostic =
            Diagnostic::new(codes::E0512, from.span, format!("there is no file `{}`", from.text));
        report.push(match suggest::nearest(&from.text, known) {
            Some(near) => diagnostic
                .with_help(format!("did you mean `{near}`?"))
                .with_fix(from.span, format!("\"{near}\"")),
            None => diagnostic
                .with_help("the path counts from the rule folder, as in `lists/sanctions.csv`"),
        });
        return Vec::new();
    };
    match read((source, FileId(index)), ty, timezone) {
        Ok(members) => members,
        Err(diagnostic) => {
            report.push(*diagnostic);
            Vec::new()
        }
    }
}

/// Reads a file with the header `value[,expires[,note]]`, or with one value per line.
///
/// An entry that expires on a day is valid to the end of that day.
fn read(
    (source, file): (&Source, FileId),
    ty: Type,
    timezone: &TimeZone,
) -> Result<Members, Refusal> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(source.text.trim_start_matches('\u{feff}').as_bytes());
    let mut columns: Option<Vec<String>> = None;
    let mut members: BTreeMap<String, Option<i64>> = BTreeMap::new();
    for (index, record) in reader.records().enumerate() {
        let record =
            record.map_err(|error| wrong(source, file, 0, &format!("cannot be read: {error}")))?;
        let at = record.position().map_or(0, csv::Position::byte);
        let fields: Vec<&str> = record.iter().collect();
        if index == 0 && fields.first() == Some(&"value") {
            columns = Some(header(&fields).map_err(|why| wrong(source, file, at, &why))?);
            continue;
        }
        let (value, expires) = row(&fields, columns.as_deref(), timezone)
            .map_err(|why| wrong(source, file, at, &why))?;
        if value.is_empty() || (columns.is_none() && value.starts_with('#')) {
            continue;
        }
        let value = normal(value, ty).map_err(|why| wrong(source, file, at, &why))?;
        if members.len() >= MAX_LIST_MEMBERS {
            return Err(wrong(source, file, at, &format!("more than {MAX_LIST_MEMBERS} members")));
        }
        members.insert(value, expires);
    }
    Ok(members.into_iter().collect())
}

fn header(fields: &[&str]) -> Result<Vec<String>, String> {
    for field in fields {
        if !["value", "expires", "note"].contains(field) {
            return Err(format!("unknown column `{field}`; the columns are `value,expires,note`"));
        }
    }
    Ok(fields.iter().map(|&field| field.to_owned()).collect())
}

fn row<'f>(
    fields: &[&'f str],
    columns: Option<&[String]>,
    timezone: &TimeZone,
) -> Result<(&'f str, Option<i64>), String> {
    let Some(columns) = columns else {
        return match fields {
            [] => Ok(("", None)),
            [value] => Ok((value, None)),
            _ => {
                Err("more than one column and no header; begin with `value,expires,note`"
                    .to_owned())
            }
        };
    };
    if fields.len() > columns.len() {
        return Err(format!("{} columns, the header has {}", fields.len(), columns.len()));
    }
    let get = |name: &str| {
        let index = columns.iter().position(|column| column == name)?;
        fields.get(index).copied().filter(|text| !text.is_empty())
    };
    let expires = match get("expires") {
        None => None,
        Some(text) => Some(instant(text, timezone).ok_or_else(|| {
            format!("`{text}` is not a time; write `2026-12-31` or `2026-12-31T00:00:00Z`")
        })?),
    };
    Ok((get("value").unwrap_or(""), expires))
}

/// An instant, or the end of a day where the policy's days end.
fn instant(text: &str, timezone: &TimeZone) -> Option<i64> {
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && text.len() == 10
    {
        let end = date.tomorrow().ok()?.to_zoned(timezone.clone()).ok()?;
        return Some(end.timestamp().as_millisecond());
    }
    parse_rfc3339(text.as_bytes())
}

/// The form in which events carry the value.
fn normal(value: &str, ty: Type) -> Result<String, String> {
    match ty {
        Type::Ip => value
            .parse::<core::net::IpAddr>()
            .map(|address| address.to_string())
            .map_err(|_| format!("`{value}` is not an IP address")),
        Type::Country => {
            parse_country(value.as_bytes()).map(|_| value.to_owned()).ok_or_else(|| {
                let upper = value.to_ascii_uppercase();
                let near = parse_country(upper.as_bytes()).map(|_| &*upper);
                match near.or_else(|| country_meant(value)) {
                    Some(near) => format!("`{value}` is not a country; did you mean `{near}`?"),
                    None => {
                        format!("`{value}` is not a country of ISO 3166-1, such as `DE` or `GB`")
                    }
                }
            })
        }
        _ => Ok(value.to_owned()),
    }
}

fn wrong(source: &Source, file: FileId, byte: u64, why: &str) -> Refusal {
    let start = usize::try_from(byte).unwrap_or(0).min(source.text.len());
    let line = source.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let span = Span { file, start: narrow(start), end: narrow(start + line.len()) };
    Box::new(Diagnostic::new(codes::E0512, span, format!("list file `{}`: {why}", source.path)))
}
