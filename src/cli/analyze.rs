//! `riskweir analyze`: what is proved of the rules, what an event refutes, and what is unknown.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::rules::compile_folder;
use crate::cli::{Console, Exit, Failure, Format};
use crate::rules::program::{Program, RuleId};
use crate::rules::statements::{Statement, statements};
use crate::witness::{Effort, Finding, Verdict, analyze};

/// Most pairs of rules of which something is said.
const MAX_PAIRS: usize = 5_000;

/// Arguments of `riskweir analyze`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(value_name = "PATH", default_value = "rules")]
    path: PathBuf,
    /// Only statements about rules whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Events to try for a statement before it is called unknown.
    #[arg(long, value_name = "N", default_value_t = Effort::default().tries)]
    tries: u32,
    /// Another seed tries other events.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Runs the command.
///
/// # Errors
/// When the rules cannot be read, or no rule is meant.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(program) = compile_folder(&arguments.path, console)? else {
        return Ok(Exit::Invalid);
    };
    let program = Arc::new(program);
    let (mut wanted, left_out) = statements(&program, MAX_PAIRS);
    if let Some(filter) = &arguments.filter {
        let is_meant = |rule: &RuleId| name(&program, *rule).contains(filter.as_str());
        wanted.retain(|statement| statement.rules().iter().any(is_meant));
        if wanted.is_empty() {
            let message = format!("no rule whose name contains `{filter}` is evaluated");
            return Err(Failure::invalid(message));
        }
    }
    let effort = Effort { seed: arguments.seed, tries: arguments.tries };
    let found = analyze(&program, &wanted, effort).map_err(Failure::invalid)?;
    match console.format {
        Format::Json => {
            let statements: Vec<_> = found.iter().map(|found| entry(&program, found)).collect();
            let out = json!({ "statements": statements, "pairs_left_out": left_out });
            console.data(&format!("{out}\n"));
        }
        Format::Text => {
            console.data(&text(&program, &found));
            console.message(&summary(&found, left_out));
        }
    }
    Ok(Exit::Ok)
}

fn name(program: &Program, rule: RuleId) -> &str {
    program.rules.get(usize::from(rule.0)).map_or("", |info| &info.name)
}

/// A rule file: verdicts are comments, witnesses are tests.
fn text(program: &Program, found: &[Finding]) -> String {
    let mut out = String::new();
    let of_rule = |a: &Finding, b: &Finding| a.statement.rule() == b.statement.rule();
    for (n, found) in found.chunk_by(of_rule).enumerate() {
        let rule = found.first().map_or("", |found| name(program, found.statement.rule()));
        out.push_str(&format!("{}# rule {rule}\n", if n == 0 { "" } else { "\n" }));
        for Finding { statement, verdict } in found {
            let verdict = match verdict {
                Verdict::Proved => "proved",
                Verdict::Refuted(_) => "refuted",
                Verdict::Unknown => "unknown",
            };
            out.push_str(&format!("#   {verdict:<8} {}\n", words(program, *statement)));
        }
        for Finding { verdict, .. } in found {
            if let Verdict::Refuted(tests) = verdict {
                out.extend(tests.iter().map(|test| format!("\n{test}")));
            }
        }
    }
    out
}

fn words(program: &Program, statement: Statement) -> String {
    let other = |rule: RuleId| name(program, rule);
    match statement {
        Statement::NeverHits(_) => "it never hits".to_owned(),
        Statement::NeverFalse(_) => "its condition is never false".to_owned(),
        Statement::NeverExempt(_) => "its exemption never applies".to_owned(),
        Statement::Within(_, rule) => format!("all that it hits, `{}` hits, too", other(rule)),
        Statement::NeverBoth(_, rule) => {
            format!("it never hits where `{}` allows", other(rule))
        }
    }
}

fn entry(program: &Program, Finding { statement, verdict }: &Finding) -> serde_json::Value {
    let what = match statement {
        Statement::NeverHits(_) => "never_hits",
        Statement::NeverFalse(_) => "never_false",
        Statement::NeverExempt(_) => "never_exempt",
        Statement::Within(..) => "within",
        Statement::NeverBoth(..) => "never_both",
    };
    let other = statement.rules().get(1).map(|rule| name(program, *rule));
    let (verdict, tests) = match verdict {
        Verdict::Proved => ("proved", &[][..]),
        Verdict::Refuted(tests) => ("refuted", &tests[..]),
        Verdict::Unknown => ("unknown", &[][..]),
    };
    json!({
        "rule": name(program, statement.rule()), "statement": what, "other": other,
        "verdict": verdict, "tests": tests,
    })
}

fn summary(found: &[Finding], left_out: usize) -> String {
    let count = |is: fn(&Verdict) -> bool| found.iter().filter(|found| is(&found.verdict)).count();
    let (proved, unknown) = (
        count(|verdict| *verdict == Verdict::Proved),
        count(|verdict| *verdict == Verdict::Unknown),
    );
    let refuted = found.len() - proved - unknown;
    let more = if left_out > 0 {
        format!("; {left_out} pairs of rules were left out")
    } else {
        String::new()
    };
    format!(
        "{} statements: {proved} proved, {refuted} refuted, {unknown} unknown{more}",
        found.len()
    )
}
