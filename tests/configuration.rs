//! `riskweir config`, `completions` and `man`: what is shown of a configuration, and its schema against the table of keys.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::process::{Command, Output};

use jsonschema::validator_for;
use riskweir::config::keys::{Fallback, KEYS};
use serde_json::{Value, json};

const CONFIG: &str = "version: 1\nkafka:\n  brokers: [k:9092]\n  security:\n    protocol: sasl_plaintext\n    sasl:\n      mechanism: PLAIN\n      username: ann\n      password: hunter2\nsnapshot:\n  keep: 3\n";

fn called(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RISKWEIR__") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn each_value_is_shown_with_its_origin_and_secrets_are_not() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("riskweir.yaml");
    fs::write(&file, CONFIG).unwrap();
    let file = file.to_str().unwrap();
    let variables = [("RISKWEIR__KAFKA__GROUP_ID", "night")];
    let arguments = ["config", "print", "-c", file, "--set", "log.level=debug"];
    let told = said(&called(&arguments, &variables));
    let expected = format!(
        "version: 1  # {file}:1:10\nkafka.brokers: [k:9092]  # {file}:3:12\nkafka.group_id: night  # env RISKWEIR__KAFKA__GROUP_ID\nkafka.security.protocol: sasl_plaintext  # {file}:5:15\nkafka.security.sasl.mechanism: PLAIN  # {file}:7:18\nkafka.security.sasl.username: ann  # {file}:8:17\nkafka.security.sasl.password: ***  # {file}:9:17\nsnapshot.keep: 3  # {file}:11:9\nlog.level: debug  # flag --set\n"
    );
    assert_eq!(told, expected);
    let all = said(&called(&[&arguments[..], &["--resolved"]].concat(), &variables));
    assert_eq!(all.lines().count(), KEYS.len());
    assert!(all.contains("snapshot.interval: 30s  # default") && !all.contains("hunter2"));
    let defaults = said(&called(&["config", "print", "--defaults"], &[]));
    assert!(defaults.contains("kafka.group_id: riskweir  # default"), "{defaults}");
    let explained = said(&called(&[&arguments[..], &["--explain", "snapshot.keep"]].concat(), &[]));
    for part in ["value     3", "default   2", "RISKWEIR__SNAPSHOT__KEEP", ":11:9"] {
        assert!(explained.contains(part), "{explained}");
    }
    let unknown = called(&[&arguments[..], &["--explain", "snapshot.kept"]].concat(), &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("`snapshot.keep`"));
}

#[test]
fn the_schema_takes_what_the_table_of_keys_takes() {
    let schema: Value = serde_json::from_str(&said(&called(&["config", "schema"], &[]))).unwrap();
    let validator = validator_for(&schema).unwrap();
    for key in KEYS {
        let pointer = format!("/properties/{}", key.path.replace('.', "/properties/"));
        let property = schema.pointer(&pointer).unwrap();
        assert!(property["description"].as_str().unwrap().starts_with(key.doc), "{}", key.path);
        // Every default is a value that it takes.
        if matches!(key.fallback, Fallback::Value(_)) {
            let of_key = key
                .path
                .rsplit('.')
                .fold(property["default"].clone(), |inner, name| json!({ name: inner }));
            assert!(validator.is_valid(&of_key), "{}: {of_key}", key.path);
        }
    }
    for good in
        [json!({"kafka": {"brokers": ["a:1"], "rdkafka": {"fetch.min.bytes": 1}}}), json!({})]
    {
        assert!(validator.is_valid(&good), "{good}");
    }
    for bad in [
        json!({"kafka": {"broker": ["a:1"]}}),
        json!({"kafka": {"brokers": "a:1"}}),
        json!({"delivery": {"mode": "exactly_once"}}),
        json!({"snapshot": {"keep": 0}}),
        json!({"kafke": {}}),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

#[test]
fn completions_and_manual_pages_know_all_commands() {
    let help = said(&called(&["--help"], &[]));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|rest| rest.split_whitespace().next())
        .filter(|command| *command != "help" && command.bytes().all(|b| b.is_ascii_lowercase()))
        .collect();
    assert!(commands.len() > 25 && commands.contains(&"audit"), "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&called(&["completions", shell], &[]));
        let lacking: Vec<_> = commands.iter().filter(|it| !script.contains(**it)).collect();
        assert!(lacking.is_empty(), "{shell}: {lacking:?}");
    }
    let place = tempfile::tempdir().unwrap();
    said(&called(&["man", "--out", place.path().to_str().unwrap()], &[]));
    for command in commands {
        let page = fs::read_to_string(place.path().join(format!("riskweir-{command}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH OPTIONS"), "{command}");
    }
    assert!(place.path().join("riskweir-audit-verify.1").exists());
}
