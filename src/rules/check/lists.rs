//! Lists and the members that their files give them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use crate::base::amount::parse_minor;
use crate::base::time::parse_rfc3339;
use crate::base::{
    MICRO_PER_MINOR, Network, NoNetwork, country_meant, parse_address, parse_country,
};
use crate::diag::{Diagnostic, FileId, Source, Sources, Span, codes, suggest};
use crate::event::schema::EntityId;
use crate::rules::check::limits::{MAX_LIST_MEMBERS, MAX_LISTS};
use crate::rules::check::refusal::{Refusal, did_you_mean};
use crate::rules::check::rules::hidden;
use crate::rules::check::schema::{BUILTIN_TYPES, twice};
use crate::rules::check::{calls, literals};
use crate::rules::program::{Constant, EventPlan, Gives, ListSpec, Op, Type};
use crate::rules::syntax::ast::{self, ActionKind, ClauseKind, Item, TypeKind};

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
        if calls::is_function(&list.name.text) {
            report.push(hidden("`list`", &list.name, "a function"));
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
        let gives = match list.gives.as_ref().map(|gives| given_type(list, gives)).transpose() {
            Ok(gives) => gives,
            Err(diagnostic) => {
                report.push(*diagnostic);
                continue;
            }
        };
        let file = members(list, Types { ty, gives }, (sources, timezone), report);
        lists.push(ListSpec {
            name: list.name.text.clone(),
            ty,
            expires_ms: list.expires_ms,
            gives: gives
                .map(|ty| Gives { ty, values: file.iter().filter_map(Member::given).collect() }),
            members: file.into_iter().map(|member| (member.value, member.expires)).collect(),
        });
    }
    lists
}

/// Warns of lists that rules ask, that have no file, and that no rule adds to.
pub(super) fn warn_of_unfilled(
    items: &[&Item],
    (lists, plans): (&[ListSpec], &[EventPlan]),
    report: &mut Vec<Diagnostic>,
) {
    let nodes = plans.iter().flat_map(|plan| &plan.nodes);
    let asked: BTreeSet<&str> = nodes
        .filter_map(|node| match &node.op {
            Op::InList(_, list) => lists.get(usize::from(list.0)).map(|list| list.name.as_str()),
            _ => None,
        })
        .collect();
    let clauses = items.iter().flat_map(|item| match item {
        Item::Rule(rule) => rule.clauses.as_slice(),
        Item::Template(template) => template.clauses.as_slice(),
        _ => &[],
    });
    let actions = clauses.flat_map(|clause| match &clause.kind {
        ClauseKind::Then(actions) => actions.as_slice(),
        _ => &[],
    });
    let filled: BTreeSet<&str> = actions
        .filter_map(|action| match &action.kind {
            ActionKind::Add { list, .. } => Some(list.text.as_str()),
            _ => None,
        })
        .collect();
    for item in items {
        let Item::List(list) = item else { continue };
        let name = list.name.text.as_str();
        // What gives values and has no file is refused.
        let filled = list.from.is_some() || list.gives.is_some() || filled.contains(name);
        if filled || !asked.contains(name) {
            continue;
        }
        let message =
            format!("nothing fills list `{name}`: it has no file, and no rule adds to it");
        let help = format!("name its file: `list {name} : … from \"lists/{name}.csv\"`");
        report.push(Diagnostic::new(codes::W0103, list.name.span, message).with_help(help));
    }
}

/// What the members of a list are, and what they give.
#[derive(Clone, Copy)]
struct Types {
    ty: Type,
    gives: Option<Type>,
}

/// What a list gives; its file says so, so there is one.
fn given_type(list: &ast::List, gives: &ast::Gives) -> Result<Type, Refusal> {
    let span = gives.ty.span;
    if list.from.is_none() {
        let message = format!("list `{}` gives values and has no file", list.name.text);
        return Err(Box::new(
            Diagnostic::new(codes::E0501, list.name.span, message)
                .with_help("add `from \"lists/limits.csv\"` with the columns `value,gives`"),
        ));
    }
    match (gives.ty.text.as_str(), &gives.currency) {
        ("money", Some(currency)) => {
            literals::currency(&currency.text, currency.span).map(Type::Money)
        }
        ("integer", _) => Ok(Type::Integer),
        ("number", _) => Ok(Type::Number),
        ("country", _) => Ok(Type::Country),
        (other, _) => Err(Box::new(
            Diagnostic::new(codes::E0202, span, format!("a list cannot give `{other}`")).with_help(
                "write `gives money EUR`, `gives integer`, `gives number` or `gives country`",
            ),
        )),
    }
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

/// A member, when it expires, and what it gives.
struct Member {
    value: String,
    expires: Option<i64>,
    gives: Option<Constant>,
    /// Where its line begins in the file.
    at: u64,
}

impl Member {
    fn given(&self) -> Option<(String, Constant)> {
        Some((self.value.clone(), self.gives.clone()?))
    }
}

type Members = Vec<Member>;

fn members(
    list: &ast::List,
    types: Types,
    (sources, timezone): (&Sources, &TimeZone),
    report: &mut Vec<Diagnostic>,
) -> Members {
    let Some(from) = &list.from else { return Vec::new() };
    let found = (0_u32..).zip(&sources.files).find(|(_, source)| source.path == from.text);
    let Some((index, source)) = found else {
        let is_csv = |path: &str| path.to_ascii_lowercase().ends_with(".csv");
        if !is_csv(&from.text) {
            let message = format!("`{}` is no `.csv` file", from.text);
            let help = "members of lists are read from `.csv` files, one a line: rename it";
            report.push(Diagnostic::new(codes::E0512, from.span, message).with_help(help));
            return Vec::new();
        }
        let known = sources.files.iter().map(|source| source.path.as_str());
        let known = known.filter(|path| is_csv(path));
        let diagnostic =
            Diagnostic::new(codes::E0512, from.span, format!("there is no file `{}`", from.text));
        let folder = rule_folder(sources, from);
        report.push(match suggest::nearest(&from.text, known) {
            _ if folder.is_some() => diagnostic.with_help(format!(
                "paths count from the rule folder, which seems to be `{}`: name that folder instead",
                folder.unwrap_or_default()
            )),
            Some(near) => diagnostic
                .with_help(format!("did you mean `{near}`?"))
                .with_fix(from.span, format!("\"{near}\"")),
            None => diagnostic
                .with_help("the path counts from the rule folder, as in `lists/sanctions.csv`"),
        });
        return Vec::new();
    };
    match read((source, FileId(index)), types, timezone) {
        Ok(members) => members,
        Err(diagnostic) => {
            report.push(*diagnostic);
            Vec::new()
        }
    }
}

/// Reads a file with the header `value[,gives][,expires[,note]]`, or with one value per line.
///
/// An entry that expires on a day is valid to the end of that day.
fn read(
    (source, file): (&Source, FileId),
    Types { ty, gives }: Types,
    timezone: &TimeZone,
) -> Result<Members, Refusal> {
    let text = source.text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let skipped = u64::try_from(source.text.len() - text.len()).unwrap_or(0);
    let mut columns: Option<Vec<String>> = None;
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for (index, record) in reader.records().enumerate() {
        let record =
            record.map_err(|error| wrong(source, file, 0, &format!("cannot be read: {error}")))?;
        let at = skipped + record.position().map_or(0, csv::Position::byte);
        let fields: Vec<&str> = record.iter().collect();
        if index == 0 && fields.first() == Some(&"value") {
            let found = header(&fields, gives.is_some());
            columns = Some(found.map_err(|why| wrong(source, file, at, &why))?);
            continue;
        }
        let Row { value, given, expires } =
            row(&fields, columns.as_deref(), (gives.is_some(), timezone))
                .map_err(|why| wrong(source, file, at, &why))?;
        if value.is_empty() || (columns.is_none() && value.starts_with('#')) {
            continue;
        }
        let value = member_of_file(value, ty).map_err(|why| wrong(source, file, at, &why))?;
        let gives = gives.map(|ty| given_value(given, ty)).transpose();
        let gives = gives.map_err(|why| wrong(source, file, at, &why))?;
        if members.len() >= MAX_LIST_MEMBERS {
            return Err(wrong(source, file, at, &format!("more than {MAX_LIST_MEMBERS} members")));
        }
        let member = Member { value, expires, gives, at };
        if let Some(known) = members.get(&member.value) {
            contradicts((source, file), known, &member)?;
            continue;
        }
        members.insert(member.value.clone(), member);
    }
    Ok(members.into_values().collect())
}

/// A value may stand twice when both lines say the same. Of two that do not, none is taken: which is meant nobody knows,
/// and one that has expired would take a value off the list.
fn contradicts(
    (source, file): (&Source, FileId),
    known: &Member,
    again: &Member,
) -> Result<(), Refusal> {
    let what = match (known.expires == again.expires, known.gives == again.gives) {
        (true, true) => return Ok(()),
        (false, true) => "with another end",
        (true, false) => "and gives something else",
        (false, false) => "with another end, and gives something else",
    };
    let why = format!("`{}` stands in it twice, {what}", again.value);
    let first = span_of(source, file, known.at);
    Err(Box::new(
        wrong(source, file, again.at, &why)
            .with_related(first, "it stands here first")
            .with_help("keep the line that holds"),
    ))
}

/// What a member gives, as text and as value.
fn given_value(text: &str, ty: Type) -> Result<Constant, String> {
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let value = match ty {
        // WHY: somebody who writes thousands with a point means another amount.
        Type::Money(currency) if decimals > usize::from(currency.minor_digits()) => {
            return Err(format!(
                "`{text}` has more decimals than {currency} has; thousands are written without a sign"
            ));
        }
        Type::Money(currency) => parse_minor(text.as_bytes(), currency.minor_digits())
            .ok()
            .map(|minor| Constant::Money(i128::from(minor) * MICRO_PER_MINOR)),
        Type::Integer => text.parse().ok().map(Constant::Int),
        Type::Country => parse_country(text.as_bytes()).map(Constant::Code),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Constant::Number),
    };
    value.ok_or_else(|| match (text, ty) {
        ("", _) => "a member gives nothing; the columns are `value,gives,expires,note`".to_owned(),
        (_, Type::Money(currency)) => format!("`{text}` is not an amount in {currency}"),
        (_, Type::Integer) => format!("`{text}` is not a whole number"),
        (_, Type::Country) => {
            format!("`{text}` is not a country of ISO 3166-1, such as `DE` or `GB`")
        }
        _ => format!("`{text}` is not a number"),
    })
}

fn header(fields: &[&str], gives: bool) -> Result<Vec<String>, String> {
    for field in fields {
        let known = ["value", "expires", "note"].contains(field) || gives && *field == "gives";
        if !known {
            return Err(format!("unknown column `{field}`; the columns are `value,expires,note`"));
        }
    }
    Ok(fields.iter().map(|&field| field.to_owned()).collect())
}

/// The cells of one line.
struct Row<'f> {
    value: &'f str,
    given: &'f str,
    expires: Option<i64>,
}

fn row<'f>(
    fields: &[&'f str],
    columns: Option<&[String]>,
    (gives, timezone): (bool, &TimeZone),
) -> Result<Row<'f>, String> {
    let header = if gives { "value,gives" } else { "value,expires,note" };
    let Some(columns) = columns else {
        return match fields {
            [] => Ok(Row { value: "", given: "", expires: None }),
            [value] => Ok(Row { value, given: "", expires: None }),
            _ => Err(format!("more than one column and no header; begin with `{header}`")),
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
    let cell = |name: &str| get(name).unwrap_or("");
    Ok(Row { value: cell("value"), given: cell("gives"), expires })
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

/// The folder below the one that was named from which the path of a list file would be right: it holds both files.
fn rule_folder<'s>(sources: &'s Sources, from: &ast::Text) -> Option<&'s str> {
    let own = &sources.get(from.span.file)?.path;
    let folders = sources
        .files
        .iter()
        .filter_map(|source| source.path.strip_suffix(from.text.as_str())?.strip_suffix('/'));
    folders
        .filter(|folder| own.strip_prefix(*folder).is_some_and(|rest| rest.starts_with('/')))
        .min_by_key(|folder| folder.len())
}

/// A member of a list's file as it is kept: one value, or a network of addresses by its first one.
fn member_of_file(value: &str, ty: Type) -> Result<String, String> {
    let Some((address, _)) = value.split_once('/').filter(|_| ty == Type::Ip) else {
        return list_member(value, ty);
    };
    let network = Network::parse(value).map_err(|why| match why {
        NoNetwork::Malformed => format!("`{value}` is no network, such as `192.0.2.0/24`"),
        NoNetwork::HoldsBoth => format!(
            "`{value}` holds IPv6 addresses and all IPv4 ones as IPv6 writes them, which are IPv4 here; write `0.0.0.0/0` for those, and `2000::/3` for all IPv6 addresses in use"
        ),
    })?;
    if parse_address(address) == Some(network.first()) {
        // The network of one address is that address.
        return Ok(network.only().map_or_else(|| network.to_string(), |only| only.to_string()));
    }
    Err(format!("`{value}` is not written by its first address; is `{network}` meant?"))
}

/// A member of a list as it is kept: the value as records have it.
///
/// # Errors
/// What is wrong, in words.
pub fn list_member(value: &str, ty: Type) -> Result<String, String> {
    match ty {
        Type::Ip => parse_address(value)
            .map(|address| address.to_string())
            .ok_or_else(|| format!("`{value}` is not an IP address")),
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
    let span = span_of(source, file, byte);
    Box::new(Diagnostic::new(codes::E0512, span, format!("list file `{}`: {why}", source.path)))
}

/// The line that begins at a byte.
fn span_of(source: &Source, file: FileId, byte: u64) -> Span {
    let start = usize::try_from(byte).unwrap_or(0).min(source.text.len());
    let line = source.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: narrow(start), end: narrow(start + line.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_a_file_is_written_by_its_first_address() {
        let read = |value: &str| member_of_file(value, Type::Ip);
        assert_eq!(read("192.0.2.0/24").as_deref(), Ok("192.0.2.0/24"));
        assert_eq!(read("2001:DB8:0::/32").as_deref(), Ok("2001:db8::/32"));
        assert_eq!(read("2001:DB8:0::1").as_deref(), Ok("2001:db8::1"));
        assert_eq!(read("::ffff:192.0.2.0/120").as_deref(), Ok("192.0.2.0/24"));
        assert_eq!(read("::ffff:192.0.2.1").as_deref(), Ok("192.0.2.1"));
        assert_eq!(read("192.0.2.1/32").as_deref(), Ok("192.0.2.1"));
        assert_eq!(read("2001:db8::1/128").as_deref(), Ok("2001:db8::1"));
        assert_eq!(list_member("::ffff:192.0.2.1", Type::Ip).as_deref(), Ok("192.0.2.1"));
        let why = |value: &str| read(value).unwrap_err();
        assert!(why("::/0").contains("holds IPv6 addresses and all IPv4 ones"), "{}", why("::/0"));
        assert!(
            why("192.0.2.7/24").ends_with("is `192.0.2.0/24` meant?"),
            "{}",
            why("192.0.2.7/24")
        );
        assert!(why("192.0.2.0/33").contains("is no network"), "{}", why("192.0.2.0/33"));
        assert!(why("192.0.2").contains("is not an IP address"), "{}", why("192.0.2"));
        // Only addresses have networks; a command or a rule adds one address.
        assert_eq!(member_of_file("a/8", Type::Text).as_deref(), Ok("a/8"));
        assert!(list_member("192.0.2.0/24", Type::Ip).is_err());
    }

    #[test]
    fn an_address_and_the_network_of_it_are_one_member() {
        let read_lines = |lines: &str| {
            let text = format!("value,gives\n{lines}");
            let source = Source { path: "a.csv".to_owned(), text };
            let types = Types { ty: Type::Ip, gives: Some(Type::Country) };
            let members = read((&source, FileId(0)), types, &TimeZone::UTC);
            members.map(|members| members.len()).map_err(|refusal| refusal.message)
        };
        assert_eq!(read_lines("192.0.2.1,DE\n192.0.2.1/32,DE\n::ffff:192.0.2.1/128,DE\n"), Ok(1));
        let why = read_lines("192.0.2.1,DE\n192.0.2.1/32,FR\n").unwrap_err();
        assert!(why.contains("`192.0.2.1` stands in it twice, and gives something else"), "{why}");
        assert!(read_lines("2001:db8::1/128,DE\n2001:db8::1,FR\n").is_err());
        assert!(read_lines("::ffff:192.0.2.0/120,DE\n192.0.2.0/24,FR\n").is_err());
    }
}
