//! The layers together: origins, suggestions, references, secrets, and the example against the defaults.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::Problem;
use crate::config::keys::{Fallback, KEYS};
use crate::config::{ConfigError, DeliveryMode, Loaded, Origin, Sources, Value, example, load};

const BROKERS: &str = "kafka: {brokers: [k:9092]}\n";

struct Case {
    _folder: tempfile::TempDir,
    sources: Sources,
}

fn file(text: &str) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("riskweir.yaml");
    fs::write(&path, text).unwrap();
    Case { _folder: folder, sources: Sources { file: Some(path), ..Sources::default() } }
}

impl Case {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.flags.push(("--set".to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    #[track_caller]
    fn ok(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|errors| panic!("{errors:#?}"))
    }

    #[track_caller]
    fn error(&self) -> ConfigError {
        match load(&self.sources) {
            Err(errors) => match errors.as_slice() {
                [one] => one.clone(),
                several => panic!("expected one error: {several:#?}"),
            },
            Ok(loaded) => panic!("expected an error: {loaded:#?}"),
        }
    }
}

#[track_caller]
fn check_error(text: &str, code: &str, line: usize, column: usize, parts: &[&str]) {
    let case = file(text);
    let error = case.error();
    let path = case.sources.file.as_ref().map_or_else(String::new, |p| p.display().to_string());
    assert_eq!(error.code().0, code, "{error}");
    assert_eq!(error.at, Origin::File { path, line, column }, "{error}");
    let whole = format!("{error} {}", error.help().unwrap_or_default());
    for part in parts {
        assert!(whole.contains(part), "`{whole}` lacks `{part}`");
    }
}

#[test]
fn a_misspelled_key_does_not_hide_what_else_is_wrong() {
    let case = file("kafka:\n  broker: [k:9092]\nhttp:\n  listen: 0.0.0.0\n");
    let errors = load(&case.sources).unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let tells = |part: &str| told.iter().filter(|told| told.contains(part)).count();
    assert_eq!((tells("kafka.broker"), tells("http.listen")), (2, 1), "{told:#?}");
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn a_file_that_is_no_yaml_is_all_that_is_told() {
    assert_eq!(file("kafka: [").error().code().0, "C0002");
}

#[test]
fn each_layer_wins_over_the_one_before_and_every_value_knows_its_origin() {
    let case = file("kafka:\n  brokers: [k:9092]\n  group_id: from_file\n  client_id: from_file\n")
        .env("RISKWEIR__KAFKA__CLIENT_ID", "from_env")
        .env("RISKWEIR__RULES__PATH", "from_env")
        .flag("rules.path", "from_flag");
    let loaded = case.ok();
    let path = case.sources.file.as_ref().unwrap().display().to_string();
    let origin = |key: &str| loaded.resolved.get(key).unwrap().origin.clone();
    assert_eq!(loaded.config.kafka.group_id, "from_file");
    assert_eq!(origin("kafka.group_id"), Origin::File { path, line: 3, column: 13 });
    assert_eq!(loaded.config.kafka.client_id, "from_env");
    assert_eq!(origin("kafka.client_id"), Origin::Env("RISKWEIR__KAFKA__CLIENT_ID".to_owned()));
    assert_eq!(loaded.config.rules.path, PathBuf::from("from_flag"));
    assert_eq!(origin("rules.path"), Origin::Flag("--set".to_owned()));
    assert_eq!(origin("delivery.mode"), Origin::Default);
    assert_eq!(loaded.config.delivery.mode, DeliveryMode::Transactional);
}

#[test]
fn lists_are_replaced_and_not_merged() {
    let case = file("kafka: {brokers: [a:1, b:2]}").env("RISKWEIR__KAFKA__BROKERS", "c:3, d:4");
    assert_eq!(case.ok().config.kafka.brokers, ["c:3", "d:4"]);
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    check_error(
        "kafka:\n  broker: [k:9092]\n  brokers: [k:1]\n",
        "C0003",
        2,
        3,
        &["`kafka.brokers`?"],
    );
    check_error(&format!("{BROKERS}delivry: {{}}\n"), "C0003", 2, 1, &["`delivery`?"]);
    check_error(
        &format!("{BROKERS}replay_from: none\n"),
        "C0003",
        2,
        1,
        &["`recovery.replay_from`?"],
    );
    let error = file(BROKERS).env("RISKWEIR__KAFKA__GROUPID", "x").error();
    assert_eq!(error.help().unwrap(), "did you mean `kafka.group_id`?");
    assert_eq!(error.at, Origin::Env("RISKWEIR__KAFKA__GROUPID".to_owned()));
}

/// Found by a fuzz target: the loader follows nesting by calling itself, and the process ended for lack of stack.
#[test]
fn a_file_that_is_nested_too_deep_is_refused_and_not_followed() {
    let told = &["nested deeper than 16 levels"];
    // The seventeenth level begins behind sixteen marks of two characters.
    check_error(&"- ".repeat(50_000), "C0002", 1, 33, told);
    check_error(&format!("kafka: {}{}", "[".repeat(100), "]".repeat(100)), "C0002", 1, 23, told);
    check_error(&"? ".repeat(50_000), "C0002", 1, 33, told);
}

#[test]
fn a_wrong_type_is_told_with_line_and_column() {
    check_error(
        "kafka:\n  brokers: [k:9092]\n  linger: 5\n",
        "C0004",
        3,
        11,
        &["`kafka.linger`", "`250ms`", "a number without a unit"],
    );
    check_error(
        &format!("{BROKERS}http: 7\n"),
        "C0004",
        2,
        1,
        &["a section with listen", "a number"],
    );
    check_error("kafka:\n  brokers: k:9092\n", "C0004", 2, 12, &["a list of addresses", "a text"]);
    check_error(&format!("{BROKERS}shutdown: {{timeout: soon}}\n"), "C0005", 2, 21, &["`soon`"]);
    check_error(&format!("{BROKERS}limits: {{max_depth: 0}}\n"), "C0005", 2, 21, &["from 1 to"]);
    check_error(&format!("{BROKERS}delivery: {{mode: twice}}\n"), "C0005", 2, 18, &["idempotent"]);
}

#[test]
fn yaml_mistakes_are_told_with_their_place() {
    check_error("kafka: [\n", "C0002", 2, 1, &[]);
    check_error("kafka:\n  group_id: a\n  group_id: b\n", "C0002", 3, 3, &["keep one"]);
    check_error("- a\n", "C0002", 1, 1, &["a mapping of sections"]);
    check_error("version: 2\nkafka: {brokers: [k:1]}\n", "C0011", 1, 10, &["version 2"]);
}

#[test]
fn a_required_key_without_value_says_how_to_set_it() {
    let error = file("version: 1\n").error();
    assert_eq!(error.code().0, "C0006");
    assert!(error.help().unwrap().contains("RISKWEIR__KAFKA__BROKERS"));
}

#[test]
fn a_missing_file_is_an_error() {
    let sources = Sources { file: Some("/nonexistent/riskweir.yaml".into()), ..Sources::default() };
    let errors = load(&sources).unwrap_err();
    assert_eq!(errors[0].code().0, "C0001");
}

#[test]
fn references_are_filled_in_inside_texts_only_and_after_parsing() {
    let text = "kafka:\n  brokers: ['${env:HOST}:9092']\n  group_id: 'a${env:NAME}b$${env:NAME}'\n";
    let injected = "x\", version: 2, y: \"";
    let loaded = file(text).env("HOST", "k").env("NAME", injected).ok();
    assert_eq!(loaded.config.kafka.brokers, ["k:9092"]);
    assert_eq!(loaded.config.kafka.group_id, format!("a{injected}b${{env:NAME}}"));
}

#[test]
fn a_reference_that_cannot_be_filled_in_is_an_error_never_literal_text() {
    let text = |id: &str| format!("kafka:\n  brokers: [k:1]\n  group_id: '{id}'\n");
    check_error(&text("${env:NOBODY}"), "C0007", 3, 13, &["`NOBODY`", "not set"]);
    check_error(&text("${file:/nonexistent/x}"), "C0008", 3, 13, &["/nonexistent/x"]);
    check_error(&text("${exec:date}"), "C0009", 3, 13, &["${env:NAME}"]);
    check_error(&text("${env:OPEN"), "C0009", 3, 13, &["no `}`"]);
    let error = file(&text("${env:LINES}")).env("LINES", "a\nb").error();
    assert_eq!(error.code().0, "C0009");
    let error = file(BROKERS).env("RISKWEIR__KAFKA__GROUP_ID", "a\nb").error();
    assert_eq!(error.code().0, "C0009");
}

#[test]
fn a_secret_is_read_from_a_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "hunter2\n").unwrap();
    let text = format!(
        "kafka:\n  brokers: [k:1]\n  security:\n    protocol: sasl_plaintext\n    sasl: {{mechanism: PLAIN, username: me, password: '${{file:{}}}'}}\n  rdkafka: {{sasl.oauthbearer.client.secret: hunter3}}\n",
        path.display()
    );
    let loaded = file(&text).ok();
    let sasl = loaded.config.kafka.security.sasl.clone().unwrap();
    assert_eq!(sasl.password.unwrap().reveal(), "hunter2");
    let shown: String =
        loaded.resolved.iter().map(|(_, setting)| setting.value.to_string()).collect();
    let debug = format!("{:?}", loaded.config.kafka.security);
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(!debug.contains("hunter"), "{debug}");
}

#[test]
fn client_settings_pass_through_unless_they_are_owned_or_unsafe() {
    let with = |entry: &str| format!("kafka:\n  brokers: [k:1]\n  rdkafka: {{{entry}}}\n");
    let loaded = file(&with("fetch.min.bytes: 2, enable.auto.commit: false"))
        .env("RISKWEIR__KAFKA__RDKAFKA__FETCH_MAX_BYTES", "4096")
        .ok();
    let expected =
        [("enable.auto.commit", "false"), ("fetch.max.bytes", "4096"), ("fetch.min.bytes", "2")];
    assert_eq!(loaded.config.kafka.rdkafka, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    for unsafe_entry in [
        "enable.auto.commit: true",
        "enable.idempotence: false",
        "acks: 1",
        "enable.ssl.certificate.verification: false",
    ] {
        check_error(&with(unsafe_entry), "C0010", 3, 3, &["kafka.rdkafka"]);
    }
    check_error(&with("group.id: x"), "C0010", 3, 3, &["`kafka.group_id` instead"]);
    check_error(&with("statistics.interval.ms: 0"), "C0010", 3, 3, &["which commits have landed"]);
}

#[test]
fn a_file_that_is_larger_than_any_configuration_is_refused_and_not_read_whole() {
    let large = file(&format!("{BROKERS}# {}\n", "x".repeat(1 << 20)));
    let error = large.error().to_string();
    assert!(error.contains("larger than 1024 KiB"), "{error}");
    let path = large.sources.file.as_ref().unwrap().display().to_string();
    let secret = file(&format!("kafka: {{brokers: [k:1], group_id: \"${{file:{path}}}\"}}\n"));
    let error = secret.error().to_string();
    assert!(error.contains("larger than 1024 KiB"), "{error}");
}

#[test]
fn settings_that_contradict_are_refused() {
    let security = |inner: &str| format!("kafka:\n  brokers: [k:1]\n  security: {{{inner}}}\n");
    let code = |text: &str| file(text).error().code().0;
    assert_eq!(code(&security("protocol: sasl_plaintext")), "C0012");
    assert_eq!(code(&security("sasl: {mechanism: PLAIN, username: a, password: b}")), "C0012");
    assert_eq!(code("kafka: {brokers: [nonsense]}"), "C0005");
    assert_eq!(code(&format!("{BROKERS}topics: {{inputs: [risk.holds]}}")), "C0012");
    assert_eq!(code(&format!("{BROKERS}http: {{listen: here}}")), "C0005");
    if !cfg!(any(feature = "secure", feature = "secure-system")) {
        assert_eq!(code(&security("protocol: ssl")), "C0013");
        let token = security("protocol: sasl_plaintext, sasl: {mechanism: OAUTHBEARER}");
        let told = format!("{token}  rdkafka: {{enable.sasl.oauthbearer.unsecure.jwt: 'true'}}\n");
        assert_eq!(code(&told), "C0013");
    }
}

/// Each was accepted by `validate`, and ended `run`, stopped it from doing anything, or made it do nothing but one thing.
#[test]
fn a_number_out_of_its_range_is_refused_with_the_range() {
    let refused = |key: &str, value: &str, range: &str| {
        let error = file(BROKERS).flag(key, value).error();
        assert_eq!(error.code().0, "C0005", "{key}: {value}: {error}");
        let expected = format!("`{key}` expects {range}, found `{value}`");
        assert_eq!(error.problem.to_string(), expected);
    };
    refused("kafka.session_timeout", "0s", "a duration from `1s` to `1h`");
    refused("kafka.session_timeout", "2h", "a duration from `1s` to `1h`");
    refused("shutdown.timeout", "0s", "a duration from `1s` to `1d`");
    refused("http.progress_timeout", "0s", "a duration from `100ms` to `1h`");
    refused("snapshot.interval", "0s", "a duration from `1ms` to `7d`");
    refused("time.allowed_lateness", "99999999d", "a duration from `0s` to `3650d`");
    refused("limits.max_record", "0B", "a size from `1KiB` to `1GiB`");
    refused("state.budget", "1B", "a size from `1MiB` to `65536GiB`");
    refused("limits.max_depth", "99999999999", "a whole number from 1 to 4294967295");
    refused("log.repeat_limit", "0/s", "a rate with its unit, at least `1/h`, such as `100/s`");
    let edges = file(BROKERS).flag("kafka.session_timeout", "1s").flag("limits.max_record", "1GiB");
    edges.ok();
}

#[test]
fn an_address_is_a_host_with_a_port_and_nothing_else() {
    let brokers = |text: &str| file("version: 1\n").flag("kafka.brokers", text);
    for good in ["k:9092", "10.0.0.1:1", "[::1]:9092", "[k:1, [fe80::1]:2]", "käse.example:65535"]
    {
        brokers(good).ok();
    }
    for bad in [
        "k",
        "k:",
        ":9092",
        "k:0",
        "k:65536",
        "k:+1",
        "http://k:9092",
        "a b:9092",
        "::1:9092",
        "[]",
    ] {
        let error = brokers(bad).error();
        assert_eq!(error.code().0, "C0005", "{bad}");
        assert!(error.problem.to_string().contains("such as `[kafka:9092]`"), "{error}");
    }
    // The one of several that is wrong is named.
    let error = brokers("a:1,b,c:3").error();
    assert!(error.problem.to_string().ends_with("found `b`"), "{error}");
}

#[test]
fn a_topic_has_a_name_that_kafka_takes_and_one_use() {
    let error = |key: &str, value: &str| file(BROKERS).flag(key, value).error();
    for bad in ["a b", "", "..", "a/b", &"x".repeat(250)] {
        assert_eq!(error("topics.alerts", bad).code().0, "C0005", "{bad}");
    }
    assert_eq!(error("topics.inputs", "good,not good").code().0, "C0005");
    assert_eq!(error("topics.inputs", "[]").code().0, "C0005");
    let shared = error("topics.holds", "risk.decisions");
    assert_eq!(shared.code().0, "C0012");
    let told = shared.problem.to_string();
    assert!(told.contains("`topics.decisions` and `topics.holds` are both"), "{told}");
    let circle = error("topics.commands", "risk.holds").problem.to_string();
    assert!(circle.contains("records would go in circles"), "{circle}");
    let mixed = file(BROKERS).flag("topics.inputs", "a,b").flag("topics.commands", "b").error();
    assert_eq!(mixed.code().0, "C0012");
    assert!(mixed.problem.to_string().contains("`b` would hold events and commands"), "{mixed}");
}

#[test]
fn a_reference_means_the_same_in_the_file_in_a_variable_and_in_a_flag() {
    let id = "a${env:NAME}$${x}";
    let layers = [
        file(&format!("kafka: {{brokers: [k:1], group_id: '{id}'}}\n")),
        file(BROKERS).env("RISKWEIR__KAFKA__GROUP_ID", id),
        file(BROKERS).flag("kafka.group_id", id),
    ];
    for case in layers {
        assert_eq!(case.env("NAME", "b").ok().config.kafka.group_id, "ab${x}");
    }
    let error = file(BROKERS).flag("kafka.group_id", "${env:NOBODY}").error();
    assert_eq!((error.code().0, error.at), ("C0007", Origin::Flag("--set".to_owned())));
    let error =
        file(BROKERS).env("RISKWEIR__KAFKA__RDKAFKA__FETCH_MAX_BYTES", "${file:/none}").error();
    assert_eq!(error.code().0, "C0008");
    // The text is cut into items before references are filled in, so one item stays one.
    let one = file("version: 1\n").flag("kafka.brokers", "${env:HOST}:1,k:2").env("HOST", "h");
    assert_eq!(one.ok().config.kafka.brokers, ["h:1", "k:2"]);
    let two = file("version: 1\n").flag("kafka.brokers", "${env:HOSTS}").env("HOSTS", "h:1,k:2");
    assert_eq!(two.error().code().0, "C0005");
}

#[test]
fn a_variable_that_looks_like_one_of_ours_and_sets_nothing_is_refused_with_the_right_name() {
    for (wrong, right) in [
        ("RISKWEIR_KAFKA_BROKERS", "RISKWEIR__KAFKA__BROKERS"),
        ("RISKWEIR_KAFKA__BROKERS", "RISKWEIR__KAFKA__BROKERS"),
        ("RISKWEIR_KAFKA_GROUP_ID", "RISKWEIR__KAFKA__GROUP_ID"),
        ("riskweir__kafka__group_id", "RISKWEIR__KAFKA__GROUP_ID"),
        ("RISKWEIR_SNAPSHOT_DIRR", "RISKWEIR__SNAPSHOT__DIR"),
        ("RISKWEIR_KAFKA_RDKAFKA_FETCH_MAX_BYTES", "RISKWEIR__KAFKA__RDKAFKA__NAME"),
    ] {
        let error = file(BROKERS).env(wrong, "x:1").error();
        assert_eq!((error.code().0, &error.at), ("C0014", &Origin::Env(wrong.to_owned())));
        assert!(error.help().unwrap().contains(&format!("`{right}`")), "{wrong}: {error}");
    }
    // Two underscores in front, and one further on: an unknown key.
    assert_eq!(file(BROKERS).env("RISKWEIR__KAFKA_BROKERS", "k:1").error().code().0, "C0003");
}

#[test]
fn variables_of_others_are_told_or_left_alone() {
    // Kubernetes sets these where a service is called `riskweir`.
    let links = ["RISKWEIR_SERVICE_HOST", "RISKWEIR_PORT", "RISKWEIR_PORT_9464_TCP_ADDR"];
    let case = links.into_iter().fold(file(BROKERS), |case, name| case.env(name, "10.0.0.1"));
    assert_eq!(case.ok().unknown_variables, [""; 0]);
    let case = file(BROKERS).env("RISKWEIR_HOME", "/opt").env("RISKWEIR_A", "x").env("OTHER", "x");
    assert_eq!(case.ok().unknown_variables, ["RISKWEIR_A", "RISKWEIR_HOME"]);
}

#[test]
fn the_example_is_the_table_and_parses_to_exactly_the_defaults() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/riskweir.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, example::text()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), example::text(), "run with UPDATE_GOLDEN=1");
    let loaded = load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    let required = ("--set".to_owned(), "kafka.brokers".to_owned(), "127.0.0.1:9092".to_owned());
    let defaults = load(&Sources { flags: vec![required], ..Sources::default() }).unwrap();
    for (key, setting) in loaded.resolved.iter() {
        assert_eq!(
            Some(&setting.value),
            defaults.resolved.get(key.path).map(|s| &s.value),
            "{}",
            key.path
        );
        match key.fallback {
            Fallback::Value(text) => assert!(same_text(&setting.value, text), "{}", key.path),
            Fallback::Unset(_) => assert_eq!(setting.value, Value::Unset, "{}", key.path),
            Fallback::Required(_) => {}
        }
    }
    assert_eq!(loaded.resolved.digest(), defaults.resolved.digest());
    assert_eq!(loaded.config.shutdown_timeout, Duration::from_secs(25));
}

fn same_text(value: &Value, text: &str) -> bool {
    value.to_string() == text
}

#[test]
fn the_digest_changes_with_any_value_but_not_with_its_origin() {
    let digest = |case: Case| case.ok().config.digest;
    let file_says = digest(file("kafka: {brokers: [k:9092], group_id: a}"));
    assert_eq!(file_says, digest(file(BROKERS).env("RISKWEIR__KAFKA__GROUP_ID", "a")));
    assert_ne!(file_says, digest(file("kafka: {brokers: [k:9092], group_id: b}")));
}

#[test]
fn every_key_of_the_table_has_a_unique_path_and_a_default_that_parses() {
    let mut paths: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), KEYS.len());
    let loaded = file(BROKERS).ok();
    for (key, setting) in loaded.resolved.iter() {
        let set = matches!(key.fallback, Fallback::Value(_));
        assert!(!set || setting.value != Value::Unset, "{} does not parse", key.path);
    }
}

#[test]
fn several_mistakes_are_told_at_once() {
    let errors = load(&file("kafka: {linger: 5}\nlogs: {}\n").sources).unwrap_err();
    let codes: Vec<&str> = errors.iter().map(|error| error.code().0).collect();
    assert_eq!(codes, ["C0003", "C0004", "C0006"]);
    assert!(
        matches!(&errors[0].problem, Problem::UnknownKey { nearest: Some(n), .. } if n == "log")
    );
}

#[test]
fn an_exposed_api_is_refused_without_tls_and_without_being_asked_for() {
    let with = |api: &str| file(&format!("{BROKERS}api: {api}\n"));
    let api = with("{listen: '127.0.0.1:9465'}").ok().config.api.unwrap();
    assert!(!api.is_plaintext_exposed && api.tls.is_none());
    assert!(file(BROKERS).ok().config.api.is_none());
    let refused = |text: &str, part: &str| {
        let case = with(text);
        let told: Vec<String> =
            load(&case.sources).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains(part)), "{text}: {told:?}");
    };
    refused("{listen: '0.0.0.0:9465'}", "api.expose: on");
    refused("{listen: '0.0.0.0:9465', expose: on}", "api.plaintext: allow");
    refused("{listen: localhost}", "an IP address with a port");
    refused("{listen: '127.0.0.1:1', tls: {key: k}}", "go together");
    refused("{listen: '127.0.0.1:1', four_eyes_above: {EUR: many}}", "{EUR: 10000}");
    refused("{listen: '127.0.0.1:1', four_eyes_above: {XYZ: 1}}", "{EUR: 10000}");
    refused("{listen: '127.0.0.1:1', four_eyes_for: 'list.add, snooze'}", "snooze.set");
    refused("{four_eyes_for: list.add}", "`api.listen`");
    refused("{listen: '127.0.0.1:1', four_eyes_for: hold.confirm}", "snooze.set");
    let open = with(
        "{listen: '0.0.0.0:9465', expose: on, plaintext: allow, four_eyes_above: {EUR: 10000, JPY: 5}}",
    );
    let api = open.ok().config.api.unwrap();
    assert!(api.is_plaintext_exposed);
    let minor: Vec<i64> = api.four_eyes_above.values().copied().collect();
    assert_eq!(minor, [1_000_000, 5]);
}
