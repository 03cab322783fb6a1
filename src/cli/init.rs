//! `riskweir init`: a new project to begin with: schema, rules with tests, lists, policy, configuration, a page to read.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::{Console, Exit, Failure, Format};

/// What the payments are.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    /// Top-ups, payouts and logins of a wallet.
    Wallet,
    /// Transfers and cash of a bank.
    Bank,
    /// Payments by card.
    Cards,
}

/// Arguments of `riskweir init`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What the payments are.
    #[arg(value_enum)]
    profile: Profile,
    /// Folder of the project; it may be there, but none of the files that are written.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// How deep folders within the rule folder are looked into, as deep as it is read.
const MAX_DEPTH: usize = 8;

macro_rules! files {
    ($profile:literal: $($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../starters/", $profile, "/", $name)))),*]
    };
}

const WALLET: &[(&str, &str)] = files!("wallet":
    "README.md" "events.ndjson" "riskweir.yaml" "rules/lists/household_devices.csv" "rules/login_farm.risk"
    "rules/policy.risk" "rules/schema.risk" "rules/takeover.risk" "rules/topup_cashout.risk"
);

const BANK: &[(&str, &str)] = files!("bank":
    "README.md" "events.ndjson" "riskweir.yaml" "rules/lists/verified_payees.csv" "rules/new_payee.risk"
    "rules/pass_through.risk" "rules/policy.risk" "rules/schema.risk" "rules/structuring.risk"
);

const CARDS: &[(&str, &str)] = files!("cards":
    "README.md" "events.ndjson" "riskweir.yaml" "rules/above_habit.risk" "rules/card_testing.risk"
    "rules/card_velocity.risk" "rules/lists/trusted_merchants.csv" "rules/policy.risk" "rules/schema.risk"
);

/// Runs the command.
///
/// # Errors
/// When one of the files is there already, or cannot be written.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let files = match arguments.profile {
        Profile::Wallet => WALLET,
        Profile::Bank => BANK,
        Profile::Cards => CARDS,
    };
    let folder = &arguments.folder;
    if let Some((name, _)) =
        files.iter().find(|(name, _)| folder.join(name).symlink_metadata().is_ok())
    {
        return Err(Failure::invalid(format!(
            "`{}` is there already: name an empty folder, nothing is written over",
            folder.join(name).display()
        )));
    }
    if let Some(rules) = rule_in(folder, 0).or_else(|| rule_in(&folder.join("rules"), MAX_DEPTH)) {
        return Err(Failure::invalid(format!(
            "`{}` is a rule file already, and a rule folder is one rule set: nothing was written; name an empty folder, as in `riskweir init {} mine`",
            rules.display(),
            arguments
                .profile
                .to_possible_value()
                .map_or_else(String::new, |it| it.get_name().to_owned()),
        )));
    }
    for (name, text) in files {
        write(&folder.join(name), text)?;
    }
    match console.format {
        Format::Json => {
            let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
            console.data(&format!("{}\n", json!({ "folder": folder, "files": names })));
        }
        Format::Text => {
            for (name, _) in files {
                console.data(&format!("{}\n", folder.join(name).display()));
            }
            console.message(&format!("next: read `{}`", folder.join("README.md").display()));
        }
    }
    Ok(Exit::Ok)
}

/// A rule file in a folder or below, where there is one. What cannot be read holds none.
fn rule_in(folder: &Path, depth: usize) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let is_rule = |path: &&PathBuf| {
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("risk")) && path.is_file()
    };
    paths.iter().find(is_rule).cloned().or_else(|| {
        let below = depth.checked_sub(1)?;
        paths.iter().filter(|path| path.is_dir()).find_map(|path| rule_in(path, below))
    })
}

/// Writes a file that is not there.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::invalid(format!("could not write `{}`: {error}", path.display()))
    };
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::invalid(format!("`{}` is there already", path.display()))
        }
        _ => failed(error),
    })?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)
}
