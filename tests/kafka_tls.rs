//! TLS and logins of Kafka as a deployment configures them, on a real broker whose certificates OpenSSL makes here.
//!
//! Runs with the cargo feature `secure` (or `secure-system`), which the test command gives; tokens of an identity provider
//! with `kafka-oidc`.
#![cfg(any(feature = "secure", feature = "secure-system"))]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use riskweir::config::{Sources, load};
use riskweir::runtime::{self, RunError};

use support::broker::{Broker, Tls};
use support::fleet::{Fleet, Payments};
use support::service::config;
use support::topics::prefix;

/// How long a connection is tried: a refusal is told within, a success is quicker.
const LIMIT: Duration = Duration::from_secs(4);

/// Keys and certificates of one authority, and of one that nobody trusts.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.authority("authority");
        made.authority("nobody");
        made.issue("authority", "broker", "subjectAltName=IP:127.0.0.1,DNS:localhost");
        made.issue("authority", "elsewhere", "subjectAltName=DNS:kafka.example");
        for (authority, name) in
            [("authority", "riskweir"), ("authority", "stranger"), ("nobody", "forger")]
        {
            made.issue(authority, name, "extendedKeyUsage=clientAuth");
        }
        for name in ["broker", "elsewhere"] {
            let [key, certificate] =
                ["key", "crt"].map(|kind| fs::read_to_string(made.path(name, kind)).unwrap());
            fs::write(made.path(name, "pem"), key + &certificate).unwrap();
        }
        made
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.0.path().join(format!("{name}.{kind}"))
    }

    fn text(&self, name: &str, kind: &str) -> String {
        self.path(name, kind).display().to_string()
    }

    fn authority(&self, name: &str) {
        openssl(&format!(
            "req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN={name} -keyout {} -out {}",
            self.text(name, "key"),
            self.text(name, "pem"),
        ));
    }

    /// A key, and a certificate of it from an authority.
    fn issue(&self, authority: &str, name: &str, extension: &str) {
        let [request, extensions] = ["csr", "ext"].map(|kind| self.text(name, kind));
        fs::write(&extensions, extension).unwrap();
        // The forger calls itself by the name of who may do everything.
        let subject = if name == "forger" { "riskweir" } else { name };
        openssl(&format!(
            "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN={subject} -keyout {} -out {request}",
            self.text(name, "key"),
        ));
        openssl(&format!(
            "x509 -req -in {request} -days 2 -CA {} -CAkey {} -CAcreateserial -extfile {extensions} -out {}",
            self.text(authority, "pem"),
            self.text(authority, "key"),
            self.text(name, "crt"),
        ));
    }
}

#[track_caller]
fn openssl(arguments: &str) {
    let made = Command::new("openssl").args(arguments.split(' ')).output();
    let made = made.expect("the command `openssl`, which makes the certificates of this test");
    assert!(made.status.success(), "openssl {arguments}: {made:?}");
}

/// The broker of all tests here.
fn secured() -> (&'static Broker, &'static Tls, &'static Certificates) {
    static SHARED: OnceLock<(Certificates, Broker)> = OnceLock::new();
    let (certificates, broker) = SHARED.get_or_init(|| {
        let certificates = Certificates::new();
        let broker = Broker::with_tls(certificates.0.path());
        (certificates, broker)
    });
    (broker, broker.tls(), certificates)
}

type Settings = Vec<(&'static str, String)>;

/// TLS to an address, with an authority that is trusted.
fn tls(address: &str, ca: &str) -> Settings {
    vec![
        ("kafka.brokers", address.to_owned()),
        ("kafka.security.protocol", "ssl".to_owned()),
        ("kafka.security.tls.ca", ca.to_owned()),
    ]
}

/// The same with a client certificate.
fn mutual(name: &str) -> Settings {
    let (_, listeners, certificates) = secured();
    let mut settings = tls(&listeners.mutual, &certificates.text("authority", "pem"));
    settings.push(("kafka.security.tls.certificate", certificates.text(name, "crt")));
    settings.push(("kafka.security.tls.key", certificates.text(name, "key")));
    settings
}

/// SASL over TLS.
fn login(mechanism: &str, who: Option<(&str, &str)>) -> Settings {
    let (_, listeners, _) = secured();
    let mut settings = tls(&listeners.sasl, &listeners.sasl_ca);
    settings.push(("kafka.security.protocol", "sasl_ssl".to_owned()));
    settings.push(("kafka.security.sasl.mechanism", mechanism.to_owned()));
    if let Some((user, password)) = who {
        settings.push(("kafka.security.sasl.username", user.to_owned()));
        settings.push(("kafka.security.sasl.password", password.to_owned()));
    }
    settings
}

/// OAUTHBEARER with an unsigned token of the client's own making.
fn token(claims: &str) -> Settings {
    let mut settings = login("OAUTHBEARER", None);
    settings.push(("kafka.rdkafka.enable.sasl.oauthbearer.unsecure.jwt", "true".to_owned()));
    settings.push(("kafka.rdkafka.sasl.oauthbearer.config", claims.to_owned()));
    settings
}

/// What a start says of the brokers and of a topic that is there.
fn connect(settings: &Settings) -> Result<(), RunError> {
    let (broker, ..) = secured();
    let topic = prefix("tls") + "in";
    broker.create_topic(&topic, 1);
    let outputs = ["decisions", "alerts", "holds", "audit", "dead_letter"]
        .map(|name| (format!("topics.{name}"), prefix("tls") + name));
    let mut all: Vec<(&str, &str)> =
        settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    for (key, topic) in &outputs {
        broker.create_topic(topic, 1);
        all.push((key, topic));
    }
    runtime::check_connection(&config(&all), &[topic], LIMIT)
}

#[track_caller]
fn refused(settings: &Settings, code: &str, words: &str) {
    let error = connect(settings).expect_err("a refusal");
    assert_eq!(error.code().0, code, "{error}");
    assert!(error.to_string().to_lowercase().contains(words), "{error}");
}

#[test]
fn payments_are_decided_over_mutual_tls() {
    let (broker, ..) = secured();
    // The second one leaves the broker's name out, which is taken with a warning.
    for (mode, is_weak) in [("transactional", false), ("idempotent", true)] {
        let fleet = Fleet::new(broker, "mutual", (mode, 1));
        let mut settings: Vec<String> =
            mutual("riskweir").iter().map(|(key, value)| format!("{key}={value}")).collect();
        let weak = "kafka.rdkafka.ssl.endpoint.identification.algorithm=none";
        settings.extend(is_weak.then(|| weak.to_owned()));
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        fleet.produce(&Payments::new(17, 1, 20).take(200));
        let service = fleet.start("one", &settings);
        fleet.wait_committed(200, &[&service]);
        let said = service.stop_in_order();
        assert_eq!(said.contains("weakens connections to Kafka"), is_weak, "{said}");
        fleet.check_golden();
    }
}

#[test]
fn a_client_is_let_in_by_its_certificate_and_not_without_one() {
    let (_, listeners, certificates) = secured();
    assert_eq!(connect(&mutual("riskweir")), Ok(()));
    refused(&mutual("stranger"), "K0004", "authorization failed");
    // The broker says so in a TLS alert: `certificate required`, or `bad certificate` before TLS 1.3.
    let ca = certificates.text("authority", "pem");
    refused(&tls(&listeners.mutual, &ca), "K0003", "certificate");
    refused(&mutual("forger"), "K0003", "certificate");
}

#[test]
fn a_broker_is_taken_for_one_by_a_trusted_certificate_of_its_name_alone() {
    let (_, listeners, certificates) = secured();
    let ca = certificates.text("authority", "pem");
    let elsewhere = tls(&listeners.elsewhere, &ca);
    refused(&elsewhere, "K0003", "certificate verify failed");
    let mut any_name = elsewhere;
    any_name.push(("kafka.rdkafka.ssl.endpoint.identification.algorithm", "none".to_owned()));
    assert_eq!(connect(&any_name), Ok(()), "its name alone was wrong");
    for authority in [Some(certificates.text("nobody", "pem")), None] {
        // None: the authorities of the system did not sign it either.
        let mut other = mutual("riskweir");
        other.retain(|(key, _)| *key != "kafka.security.tls.ca");
        other.extend(authority.map(|ca| ("kafka.security.tls.ca", ca)));
        refused(&other, "K0003", "certificate verify failed");
    }
}

#[test]
fn each_mechanism_of_passwords_lets_the_right_one_in_and_tells_a_wrong_one_at_once() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        assert_eq!(connect(&login(mechanism, Some(("riskweir", "riskweir")))), Ok(()));
        let wrong = login(mechanism, Some(("riskweir", "wrong")));
        refused(&wrong, "K0004", "authentication");
    }
    refused(&login("PLAIN", Some(("stranger", "stranger"))), "K0004", "authorization failed");
}

#[test]
fn a_token_lets_in_who_it_names_with_the_scope_that_the_broker_asks_for() {
    assert_eq!(connect(&token("principal=riskweir scope=kafka")), Ok(()));
    refused(&token("principal=stranger scope=kafka"), "K0004", "authorization failed");
    refused(&token("principal=riskweir scope=other"), "K0004", "authentication");
}

#[test]
fn a_login_by_token_says_where_tokens_come_from() {
    let codes = |setting: Option<(&str, &str)>| -> Vec<&'static str> {
        let mut all = login("OAUTHBEARER", None);
        let key = setting.map(|(name, value)| (format!("kafka.rdkafka.{name}"), value.to_owned()));
        let mut flags: Vec<(String, String)> =
            all.drain(..).map(|(key, value)| (key.to_owned(), value)).collect();
        flags.extend(key);
        let flags = flags.into_iter().map(|(key, value)| ("--set".to_owned(), key, value));
        let loaded = load(&Sources { flags: flags.collect(), ..Sources::default() });
        loaded.err().iter().flatten().map(|error| error.code().0).collect()
    };
    assert_eq!(codes(None), ["C0012"]);
    assert_eq!(codes(Some(("sasl.oauthbearer.method", "default"))), ["C0012"]);
    assert!(codes(Some(("enable.sasl.oauthbearer.unsecure.jwt", "true"))).is_empty());
    let built: &[&str] = if cfg!(feature = "kafka-oidc") { &[] } else { &["C0013"] };
    assert_eq!(codes(Some(("sasl.oauthbearer.method", "oidc"))), built);
}

#[test]
fn a_listener_of_the_other_kind_is_not_reached() {
    let (broker, listeners, certificates) = secured();
    let ca = certificates.text("authority", "pem");
    refused(&tls(broker.address(), &ca), "K0003", "answered within");
    let plain = vec![("kafka.brokers", listeners.elsewhere.clone())];
    refused(&plain, "K0003", "answered within");
}

#[cfg(feature = "kafka-oidc")]
mod oidc {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const SECRET: &str = "a secret of the client";

    /// An identity provider: gives whoever shows the secret a token for an hour, whose subject is the name of the client.
    fn provider() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(&stream);
                let (mut head, mut length) = (Vec::new(), 0_usize);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                        break;
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push(line);
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let (status, answer) = grant(&head, &String::from_utf8(body).unwrap());
                let _ = write!(
                    &stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                    answer.len()
                );
            }
        });
        format!("http://{address}/token")
    }

    fn grant(head: &[String], body: &str) -> (&'static str, String) {
        let basic = head.iter().find_map(|line| line.trim().strip_prefix("Authorization: Basic "));
        let shown = STANDARD.decode(basic.unwrap_or_default()).unwrap_or_default();
        let shown = String::from_utf8(shown).unwrap();
        let (client, secret) = shown.split_once(':').unwrap_or_default();
        if secret != SECRET || !body.contains("grant_type=client_credentials") {
            return ("401 Unauthorized", r#"{"error": "invalid_client"}"#.to_owned());
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let (from, until) = (now.as_secs(), now.as_secs() + 3_600);
        let claims = format!(
            r#"{{"sub":"{client}","iat":{from},"exp":{until},"scope":"kafka","iss":"test"}}"#
        );
        let [header, claims] =
            [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        (
            "200 OK",
            format!(
                r#"{{"access_token": "{header}.{claims}.", "token_type": "Bearer", "expires_in": 3600}}"#
            ),
        )
    }

    fn client(endpoint: &str, name: &str, secret: &str) -> Settings {
        let mut settings = login("OAUTHBEARER", None);
        for (key, value) in [
            ("kafka.rdkafka.sasl.oauthbearer.method", "oidc"),
            ("kafka.rdkafka.sasl.oauthbearer.client.id", name),
            ("kafka.rdkafka.sasl.oauthbearer.client.secret", secret),
            ("kafka.rdkafka.sasl.oauthbearer.token.endpoint.url", endpoint),
        ] {
            settings.push((key, value.to_owned()));
        }
        settings
    }

    #[test]
    fn the_client_fetches_its_token_from_the_provider() {
        let endpoint = provider();
        assert_eq!(connect(&client(&endpoint, "riskweir", SECRET)), Ok(()));
        refused(&client(&endpoint, "stranger", SECRET), "K0004", "authorization failed");
        // No token: there is nothing to log in with, and the words are the provider's.
        refused(&client(&endpoint, "riskweir", "wrong"), "K0004", "invalid_client");
    }
}
