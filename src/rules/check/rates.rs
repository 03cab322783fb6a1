//! The table of exchange rates that the policy names.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::base::rates::{Rate, Rates};
use crate::base::{Currency, Digest};
use crate::diag::{Diagnostic, FileId, Source, Sources, Span, codes, suggest};
use crate::rules::check::limits::MAX_RATES;
use crate::rules::syntax::ast::{Item, PolicyClauseKind, Text};

/// How long a rate counts that no other follows: long enough for the longest row of days without trade.
const DEFAULT_EXPIRES_MS: i64 = 7 * 86_400_000;

/// Most digits of a rate.
const MAX_DIGITS: usize = 12;

/// The table, where the policy names one.
pub(super) fn compile(
    items: &[&Item],
    (base, timezone): (Currency, &TimeZone),
    sources: &Sources,
    report: &mut Vec<Diagnostic>,
) -> Option<Rates> {
    let clauses = items.iter().filter_map(|item| match item {
        Item::Policy(policy) => Some(&policy.clauses),
        _ => None,
    });
    let named = clauses.flatten().find_map(|clause| match &clause.kind {
        PolicyClauseKind::Rates { from, expires_ms } => Some((from, *expires_ms, clause.span)),
        _ => None,
    });
    let (from, expires_ms, span) = named?;
    let expires_ms = expires_ms.unwrap_or(DEFAULT_EXPIRES_MS);
    if expires_ms <= 0 {
        report.push(
            Diagnostic::new(codes::E0511, span, "rates that expire at once never count")
                .with_help("write a time above zero, as in `expires 7d`"),
        );
        return None;
    }
    let (source, file) = found(from, sources, report)?;
    let version = Digest::of_parts(&[source.text.as_bytes()]).short_hex();
    match read(source, timezone, Rates::new(base, expires_ms, version), base) {
        Ok(rates) => Some(rates),
        Err((byte, why)) => {
            report.push(wrong(source, file, byte, &why));
            None
        }
    }
}

fn found<'s>(
    from: &Text,
    sources: &'s Sources,
    report: &mut Vec<Diagnostic>,
) -> Option<(&'s Source, FileId)> {
    let mut files = (0_u32..).zip(&sources.files);
    if let Some((index, source)) = files.find(|(_, source)| source.path == from.text) {
        return Some((source, FileId(index)));
    }
    let message = format!("there is no file `{}`", from.text);
    let diagnostic = Diagnostic::new(codes::E0530, from.span, message);
    let known = sources.files.iter().map(|source| source.path.as_str());
    report.push(match suggest::nearest(&from.text, known) {
        Some(near) => diagnostic
            .with_help(format!("did you mean `{near}`?"))
            .with_fix(from.span, format!("\"{near}\"")),
        None => diagnostic.with_help("the path counts from the rule folder, as in `rates.csv`"),
    });
    None
}

/// Which column of the file says what.
struct Columns {
    date: usize,
    currency: usize,
    rate: usize,
    /// The rate says how many units of the currency one of the base is worth.
    per_base: bool,
}

/// Where in a file something is wrong, and what.
type Flaw = (u64, String);

fn read(
    source: &Source,
    timezone: &TimeZone,
    mut rates: Rates,
    base: Currency,
) -> Result<Rates, Flaw> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(source.text.trim_start_matches('\u{feff}').as_bytes());
    let mut columns = None;
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| (0, format!("cannot be read: {error}")))?;
        let at = record.position().map_or(0, csv::Position::byte);
        let fields: Vec<&str> = record.iter().collect();
        let Some(columns) = &columns else {
            columns = Some(header(&fields).map_err(|why| (at, why))?);
            continue;
        };
        if index > MAX_RATES {
            return Err((at, format!("more than {MAX_RATES} rates")));
        }
        let (currency, rate) = row(&fields, columns, timezone).map_err(|why| (at, why))?;
        if currency == base {
            return Err((at, format!("{base} is the base currency, its rate is 1")));
        }
        if !rates.add(currency, rate) {
            return Err((at, format!("a second rate of {currency} for this day")));
        }
    }
    Ok(rates)
}

fn header(fields: &[&str]) -> Result<Columns, String> {
    let place = |name: &str| fields.iter().position(|field| *field == name);
    let (rate, per_base) = (place("rate"), place("per_base"));
    match (place("date"), place("currency"), rate.xor(per_base)) {
        (Some(date), Some(currency), Some(value)) if fields.len() == 3 => {
            Ok(Columns { date, currency, rate: value, per_base: per_base.is_some() })
        }
        _ => Err("the first line is `date,currency,rate`, where `rate` is what one unit is worth in the base currency, or `date,currency,per_base`, the other way round"
            .to_owned()),
    }
}

fn row(
    fields: &[&str],
    columns: &Columns,
    timezone: &TimeZone,
) -> Result<(Currency, Rate), String> {
    let get = |at: usize| fields.get(at).copied().unwrap_or_default();
    let (date, code, rate) = (get(columns.date), get(columns.currency), get(columns.rate));
    let from_ms = day_ms(date, timezone)
        .ok_or_else(|| format!("`{date}` is not a day; write `2026-01-31`"))?;
    let currency = Currency::parse(code)
        .ok_or_else(|| format!("`{code}` is not an active currency of ISO 4217"))?;
    let (value, unit) = fraction(rate).ok_or_else(|| {
        format!("`{rate}` is not a rate: a decimal above 0 of at most {MAX_DIGITS} digits")
    })?;
    let (base_units, units) = if columns.per_base { (unit, value) } else { (value, unit) };
    Ok((currency, Rate { from_ms, base_units, units }))
}

/// The first instant of a day.
fn day_ms(text: &str, timezone: &TimeZone) -> Option<i64> {
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10)?;
    let start = date.to_zoned(timezone.clone()).ok()?.start_of_day().ok()?;
    Some(start.timestamp().as_millisecond())
}

/// A decimal above 0 as a fraction over a power of ten.
fn fraction(text: &str) -> Option<(u64, u64)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() + part.len() > MAX_DIGITS + 1 {
        return None;
    }
    let unit = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let value = whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part.parse().ok()?)?;
    (value > 0).then_some((value, unit))
}

fn wrong(source: &Source, file: FileId, byte: u64, why: &str) -> Diagnostic {
    let start = usize::try_from(byte).unwrap_or(0).min(source.text.len());
    let line = source.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let span = Span { file, start: narrow(start), end: narrow(start + line.len()) };
    Diagnostic::new(codes::E0530, span, format!("rate file `{}`: {why}", source.path))
}

#[cfg(test)]
mod tests {
    use crate::diag::{Source, Sources};
    use crate::rules::check::compile;

    /// What is said about a table, beside the place.
    fn said(table: &str) -> Vec<String> {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let policy = "policy p base currency EUR timezone \"Europe/Berlin\" rates from \"r.csv\"";
        let files = vec![file("p.risk", policy), file("r.csv", table)];
        let (program, found) = compile(&Sources::of(files));
        assert_eq!(program.is_some(), found.is_empty());
        assert!(found.iter().all(|diagnostic| diagnostic.code.0 == "E0530"));
        found.into_iter().map(|diagnostic| diagnostic.message).collect()
    }

    #[test]
    fn a_table_is_read_line_by_line_and_the_first_flaw_is_told() {
        let good =
            "date,currency,rate\n2026-01-01,USD,0.85\n2026-01-02,USD,1\n2026-01-01,JPY,0.006\n";
        assert_eq!(said(good), Vec::<String>::new());
        assert_eq!(said("currency,date,per_base\nUSD,2026-01-01,1.1764\n"), Vec::<String>::new());
        for (line, why) in [
            ("2026-02-30,USD,1", "`2026-02-30` is not a day; write `2026-01-31`"),
            ("2026-01-01T00,USD,1", "`2026-01-01T00` is not a day; write `2026-01-31`"),
            ("2026-01-01,usd,1", "`usd` is not an active currency of ISO 4217"),
            ("2026-01-01,DEM,1", "`DEM` is not an active currency of ISO 4217"),
            ("2026-01-01,EUR,1", "EUR is the base currency, its rate is 1"),
            ("2026-01-01,USD,0", "`0` is not a rate: a decimal above 0 of at most 12 digits"),
            ("2026-01-01,USD,-1", "`-1` is not a rate: a decimal above 0 of at most 12 digits"),
            ("2026-01-01,USD,1e3", "`1e3` is not a rate: a decimal above 0 of at most 12 digits"),
            ("2026-01-01,USD,1.", "`1.` is not a rate: a decimal above 0 of at most 12 digits"),
            ("2026-01-03,GBP,1\n2026-01-03,GBP,2", "a second rate of GBP for this day"),
        ] {
            let table = format!("date,currency,rate\n{line}\n");
            assert_eq!(said(&table), [format!("rate file `r.csv`: {why}")], "{line}");
        }
        let header = "rate file `r.csv`: the first line is `date,currency,rate`, where `rate` is what one unit is worth in the base currency, or `date,currency,per_base`, the other way round";
        assert_eq!(said("2026-01-01,USD,1\n"), [header]);
        assert_eq!(said("date,currency,rate,per_base\n"), [header]);
    }
}
