//! House rules that the compiler does not know: layers, homes of third-party crates, sizes, words, codes and their
//! pages. Each check lists every offence at once, with the file and the line.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer; a module may import modules of lower layers only (and itself).
const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("diag", 0),
    ("event", 1),
    ("window", 1),
    ("state", 2),
    ("models", 3),
    ("rules", 4),
    ("decision", 5),
    ("engine", 6),
    ("audit", 7),
    ("config", 7),
    ("telemetry", 7),
    ("demo", 7),
    ("durable", 7),
    ("loader", 7),
    ("rule_tests", 7),
    ("backtest", 8),
    ("lsp", 8),
    ("runtime", 8),
    ("witness", 8),
    ("api", 9),
    ("train", 9),
    ("cli", 10),
];

/// Where a third-party crate may be named. Crates not listed may be used anywhere.
const HOMES: &[(&str, &[&str])] = &[
    ("rdkafka", &["runtime/kafka"]),
    ("tokio", &["telemetry", "runtime", "cli", "durable/object.rs", "api"]),
    ("axum", &["telemetry", "api"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api/server.rs"]),
    ("tokio_rustls", &["api/tls.rs"]),
    ("rustix", &["api/aside.rs"]),
    ("rusqlite", &["api/store"]),
    ("jsonwebtoken", &["api/jwt"]),
    ("ureq", &["api/jwt"]),
    ("dashmap", &["api"]),
    ("subtle", &["api/tokens.rs", "telemetry/http.rs"]),
    ("getrandom", &["api"]),
    ("tracing", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    ("saphyr", &["config"]),
    ("saphyr_parser", &["config"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("ed25519_dalek", &["audit"]),
    ("indicatif", &["cli"]),
    ("signal_hook", &["runtime", "cli"]),
    ("smartcore", &["train/fit.rs"]),
    ("csv", &["backtest", "train", "rules/check/lists.rs", "rules/check/rates.rs"]),
    ("zstd", &["backtest", "durable/container.rs"]),
    ("object_store", &["durable/object.rs"]),
    ("flate2", &["backtest"]),
    ("schemars", &["decision/wire", "api", "audit/checkpoint.rs"]),
    ("regex", &["rules/eval", "rules/oracle", "rules/check", "rules/analysis", "witness"]),
    ("regex_syntax", &["rules/check", "rules/analysis", "witness"]),
    ("jiff", &["rules", "base"]),
    ("num_bigint", &["rules/eval", "rules/oracle"]),
    ("num_rational", &["rules/eval", "rules/oracle"]),
    ("num_traits", &["rules/eval", "rules/oracle"]),
];

/// What the pure layers (0 to 6) must not name: they are a function of their input.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "files"),
    ("std::net::Tcp", "sockets"),
    ("std::env", "the environment"),
    ("std::thread", "threads"),
    ("SystemTime", "the wall clock"),
    ("Instant::now", "the wall clock"),
    ("rand::", "randomness without a seed"),
];

/// Longest file in lines.
const MAX_FILE_LINES: usize = 800;

/// Words that the glossary bans in names.
const BANNED_WORDS: &[&str] = &["txn_cnt", "usr", "rule_engine", "TODO", "FIXME"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_under(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// All sources: path relative to `src/` and text.
fn sources() -> Vec<(String, String)> {
    let folder = root().join("src");
    let mut paths = Vec::new();
    files_under(&folder, "rs", &mut paths);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// The lines of a file that are code: comments cut off, tests at the end of the file left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    code.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
}

fn layer_of(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/")
}

#[track_caller]
fn report(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn imports_go_strictly_downward() {
    let mut offences = Vec::new();
    for (name, text) in sources() {
        let Some(module) = name.split('/').next().filter(|_| name.contains('/')) else { continue };
        let Some(layer) = layer_of(module) else {
            offences.push(format!("src/{name}: module `{module}` has no layer; add it to LAYERS"));
            continue;
        };
        if is_test_file(&name) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for part in line.split("crate::").skip(1) {
                let imported: String =
                    part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let Some(lower) = layer_of(&imported) else { continue };
                if imported != module && lower >= layer {
                    offences.push(format!(
                        "src/{name}:{number}: `{module}` (layer {layer}) imports `{imported}` (layer {lower})"
                    ));
                }
            }
        }
    }
    report(&offences);
}

#[test]
fn third_party_crates_stay_in_their_homes() {
    let mut offences = Vec::new();
    for (name, text) in sources() {
        if is_test_file(&name) {
            continue;
        }
        // A module of our own may have the name of a crate, such as `config::rdkafka`.
        let own: Vec<&str> = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("use crate::")?.strip_suffix(';')?.rsplit("::").next()
            })
            .collect();
        for (number, line) in code_lines(&text) {
            for (krate, homes) in HOMES.iter().filter(|(krate, _)| !own.contains(krate)) {
                let named = line.contains(&format!("{krate}::")) && {
                    let before = line.split(&format!("{krate}::")).next().unwrap_or_default();
                    !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                };
                if named && !homes.iter().any(|home| name.starts_with(home)) {
                    offences.push(format!(
                        "src/{name}:{number}: `{krate}` belongs in {}",
                        homes.join(" or ")
                    ));
                }
            }
        }
    }
    report(&offences);
}

#[test]
fn the_decision_path_is_pure() {
    let mut offences = Vec::new();
    for (name, text) in sources() {
        let module = name.split('/').next().unwrap_or_default();
        if layer_of(module).is_none_or(|layer| layer > 6) || is_test_file(&name) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for (path, what) in IMPURE {
                if line.contains(path) {
                    offences.push(format!("src/{name}:{number}: {what} below layer 7 (`{path}`)"));
                }
            }
        }
    }
    report(&offences);
}

#[test]
fn files_are_short_and_free_of_banned_words() {
    let mut offences = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            offences.push(format!("src/{name}: {lines} lines, at most {MAX_FILE_LINES}"));
        }
        for (number, line) in text.lines().enumerate() {
            for word in BANNED_WORDS {
                let hit = line
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .any(|w| w == *word);
                if hit {
                    offences.push(format!("src/{name}:{}: banned word `{word}`", number + 1));
                }
            }
        }
    }
    report(&offences);
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut offences = Vec::new();
    for (name, text) in sources() {
        if !text.starts_with("//!") {
            offences.push(format!("src/{name}: no `//!` head"));
        }
    }
    report(&offences);
}

/// The registry of rule codes, and codes such as `C0001` in double quotes in the sources.
fn codes_in_sources() -> BTreeMap<String, String> {
    let registered = riskweir::diag::codes::REGISTRY.iter();
    let mut codes: BTreeMap<String, String> =
        registered.map(|info| (info.code.0.to_owned(), "diag/codes.rs".to_owned())).collect();
    for (name, text) in sources() {
        if is_test_file(&name) {
            continue;
        }
        for (_, line) in code_lines(&text) {
            for quoted in line.split('"').skip(1).step_by(2) {
                let Some((letter, digits)) = quoted.split_at_checked(1) else { continue };
                let is_code = matches!(letter, "E" | "W" | "C" | "D" | "K" | "S")
                    && digits.len() == 4
                    && digits.bytes().all(|b| b.is_ascii_digit());
                if is_code {
                    codes.entry(quoted.to_owned()).or_insert_with(|| name.clone());
                }
            }
        }
    }
    codes
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let codes = codes_in_sources();
    let mut pages = Vec::new();
    files_under(&root().join("docs/errors"), "md", &mut pages);
    let pages: BTreeSet<String> =
        pages.iter().map(|page| page.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let mut offences = Vec::new();
    for (code, file) in &codes {
        if !pages.contains(code) {
            offences.push(format!("src/{file}: `{code}` has no page docs/errors/{code}.md"));
        }
    }
    for page in pages.iter().filter(|page| *page != "README" && !codes.contains_key(*page)) {
        offences.push(format!("docs/errors/{page}.md: no such code in the sources"));
    }
    report(&offences);
}

/// Documents whose relative links must lead somewhere.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "rules", "examples", "editors", "starters"] {
        files_under(&root().join(folder), "md", &mut found);
    }
    found.retain(|path| path.exists());
    found
}

#[test]
fn relative_links_lead_somewhere() {
    let mut offences = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            let outside =
                target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !outside && !document.parent().unwrap().join(target).exists() {
                offences.push(format!("{}: broken link `{target}`", document.display()));
            }
        }
    }
    report(&offences);
}

/// The ids of the page on reliability: letter and how many there are.
const RELIABILITY_IDS: &[(char, u32)] = &[('P', 20), ('F', 26), ('H', 18)];

/// The names of the tests on a page: code of words joined by underscores, with `file::` before it or not.
fn tests_named_in(text: &str) -> Vec<(Option<&str>, &str)> {
    let named = text.split('`').skip(1).step_by(2).filter_map(|code| {
        let (file, name) =
            code.rsplit_once("::").map_or((None, code), |(file, name)| (Some(file), name));
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let is_sentence = name.matches('_').count() >= 3 && name.bytes().all(is_word);
        (is_sentence && !name.starts_with("riskweir_") && !name.starts_with('_'))
            .then_some((file, name))
    });
    named.collect()
}

#[test]
fn every_promise_fault_and_hostile_input_has_its_line_and_its_tests() {
    let page = fs::read_to_string(root().join("docs/RELIABILITY.md")).unwrap();
    let mut offences = Vec::new();
    for (letter, count) in RELIABILITY_IDS {
        for number in 1..=*count {
            let begin = format!("| {letter}{number} |");
            let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(&begin)).collect();
            let [line] = *lines else {
                offences.push(format!("{letter}{number} has {} lines", lines.len()));
                continue;
            };
            let says = !tests_named_in(line).is_empty() || line.to_lowercase().contains("not yet");
            // A line may lean on another one by its id.
            if !says && !line.contains(" of P") && !line.contains(" of F") {
                offences.push(format!("{letter}{number} names neither a test nor what is lacking"));
            }
        }
    }
    let mut paths = Vec::new();
    for folder in ["src", "tests"] {
        files_under(&root().join(folder), "rs", &mut paths);
    }
    let texts: Vec<(PathBuf, String)> =
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    for (file, name) in tests_named_in(&page) {
        let is_there = |(path, text): &(PathBuf, String)| {
            let wanted = file.is_none_or(|file| {
                let place = if file.starts_with("src/") {
                    file.to_owned()
                } else {
                    format!("tests/{file}")
                };
                *path == root().join(format!("{place}.rs"))
            });
            wanted && text.contains(&format!("fn {name}("))
        };
        if !texts.iter().any(is_there) {
            let file = file.map(|file| format!("{file}::")).unwrap_or_default();
            offences.push(format!("docs/RELIABILITY.md: no test `{file}{name}` in the sources"));
        }
    }
    report(&offences);
}

/// Whether a licence expression can be met with these licences: what stands before `OR` or what stands behind it, and of
/// `AND` both. As SPDX has it, `AND` binds more tightly.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let text = expression.trim().replace('/', " OR ");
    let text = text.as_str();
    for word in [" OR ", " AND "] {
        let mut depth = 0_i32;
        for (at, c) in text.char_indices() {
            depth += i32::from(c == '(') - i32::from(c == ')');
            if depth == 0 && text[at..].starts_with(word) {
                let met = [&text[..at], &text[at + word.len()..]].map(|it| is_met(it, allowed));
                return if word == " OR " { met[0] || met[1] } else { met[0] && met[1] };
            }
        }
    }
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inner.map_or_else(|| allowed.contains(text), |inner| is_met(inner, allowed))
}

/// What `cargo deny check licenses sources` says of the default build, where that is not installed.
#[test]
fn dependencies_come_from_one_registry_under_licences_that_deny_toml_names() {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    let listed = deny.split("\nallow = [").nth(1).unwrap().split(']').next().unwrap();
    let allowed: BTreeSet<&str> = listed.split('"').skip(1).step_by(2).collect();
    assert!(allowed.contains("Apache-2.0") && !is_met("GPL-3.0-only AND (MIT)", &allowed));
    assert!(is_met("(MIT OR GPL-2.0-only) AND Unicode-3.0", &allowed) && !is_met("", &allowed));
    let version = std::process::Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let made = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let told: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let packages = told["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let mut offences = Vec::new();
    for package in packages.iter().filter(|package| package["name"] != "riskweir") {
        let of = |name: &str| package[name].as_str().unwrap_or_default();
        let (name, license) = (of("name"), of("license"));
        if !is_met(license, &allowed) {
            offences.push(format!("{name}: the licence `{license}` is not in deny.toml"));
        }
        if of("source") != "registry+https://github.com/rust-lang/crates.io-index" {
            offences.push(format!("{name}: comes from `{}`", of("source")));
        }
    }
    report(&offences);
}
