//! Tokens against keys that are made here: by OpenSSL for RSA, of random bytes for the curves.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use super::Issuer;
use crate::api::roles::{Person, Role, Scope};
use crate::config::{ApiJwt, JwtKeys};

/// A private key with the name and the algorithm that its tokens have.
struct Signer {
    kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        // PKCS #8 (RFC 5958): version, algorithm, and the key in an octet string; RFC 5915 for P-256, RFC 8410 for Ed25519.
        let p256 = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420";
        let key = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_der(&rsa()),
            Algorithm::ES256 => EncodingKey::from_ec_der(&pkcs8(p256)),
            _ => EncodingKey::from_ed_der(&pkcs8("302e020100300506032b657004220420")),
        };
        Self { kid, algorithm, key }
    }

    /// Its public key as an identity provider publishes it.
    fn published(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

fn pkcs8(head: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..head.len() / 2)
        .map(|at| u8::from_str_radix(&head[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).unwrap();
    // Below the order of P-256, which begins with ffffffff.
    secret[0] &= 0x7f;
    bytes.extend(secret);
    bytes
}

fn rsa() -> Vec<u8> {
    let made = Command::new("openssl").args(["genrsa", "2048"]).stderr(Stdio::null()).output();
    let mut convert = Command::new("openssl")
        .args(["rsa", "-traditional", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    convert.stdin.take().unwrap().write_all(&made.unwrap().stdout).unwrap();
    convert.wait_with_output().unwrap().stdout
}

fn settings(keys: JwtKeys) -> ApiJwt {
    ApiJwt {
        issuer: "https://id.example".to_owned(),
        audience: "riskweir".to_owned(),
        keys,
        algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
        leeway: Duration::from_secs(30),
        refresh: Duration::from_secs(600),
        name_claim: "sub".to_owned(),
        roles_claim: "roles".to_owned(),
        topics_claim: None,
        roles: BTreeMap::new(),
    }
}

/// A folder with the keys of these, and the settings that name them.
fn published(signers: &[&Signer]) -> (tempfile::TempDir, PathBuf, ApiJwt) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, set(signers)).unwrap();
    let settings = settings(JwtKeys::File(path.clone()));
    (folder, path, settings)
}

fn set(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.published()).collect();
    json!({ "keys": keys }).to_string()
}

/// Claims that are good for five minutes, with these changed; null takes one out.
fn claims(changes: &Value) -> Value {
    let now = get_current_timestamp();
    let mut claims = json!({
        "iss": "https://id.example", "aud": "riskweir", "sub": "ann", "exp": now + 300, "roles": ["analyst"],
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_token_of_the_issuer_says_who_somebody_is_under_each_algorithm() {
    let signers = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|algorithm| {
        Signer::new(Box::leak(format!("{algorithm:?}").into_boxed_str()), algorithm)
    });
    let (_folder, _, settings) = published(&signers.iter().collect::<Vec<_>>());
    let issuer = Issuer::open(&settings).unwrap();
    let ann = Person { name: "ann".to_owned(), roles: vec![Role::Analyst], scope: Scope::All };
    for signer in &signers {
        let token = signer.token(&claims(&json!({})));
        assert_eq!(issuer.person(&token), Some(ann.clone()), "{:?}", signer.algorithm);
        // One letter of the claims is another.
        let parts: Vec<&str> = token.split('.').collect();
        let other = BASE64.encode(claims(&json!({"sub": "bob"})).to_string());
        assert_eq!(issuer.person(&format!("{}.{other}.{}", parts[0], parts[2])), None);
    }
    // Audiences may be several.
    let several = claims(&json!({"aud": ["other", "riskweir"]}));
    assert_eq!(issuer.person(&signers[2].token(&several)), Some(ann));
}

#[test]
fn what_is_not_for_us_not_now_or_not_by_the_issuer_is_nobody() {
    let signer = Signer::new("k1", Algorithm::EdDSA);
    let (_folder, _, settings) = published(&[&signer]);
    let issuer = Issuer::open(&settings).unwrap();
    let now = get_current_timestamp();
    for changes in [
        json!({"iss": "https://other.example"}),
        json!({"iss": null}),
        json!({"aud": "shop"}),
        json!({"aud": null}),
        json!({"exp": now - 31}),
        json!({"exp": null}),
        json!({"nbf": now + 60}),
        json!({"sub": null}),
        json!({"sub": "a/b"}),
        json!({"sub": 7}),
    ] {
        assert_eq!(issuer.person(&signer.token(&claims(&changes))), None, "{changes}");
    }
    // Within the leeway of both clocks.
    for changes in [json!({"exp": now - 20}), json!({"nbf": now + 20})] {
        assert!(issuer.person(&signer.token(&claims(&changes))).is_some(), "{changes}");
    }
    for token in ["", ".", "..", "a.b.c", "rw_x"] {
        assert_eq!(issuer.person(token), None, "{token}");
    }
}

#[test]
fn neither_the_header_nor_a_public_key_makes_a_signature() {
    let signer = Signer::new("k1", Algorithm::RS256);
    let (_folder, _, settings) = published(&[&signer]);
    let issuer = Issuer::open(&settings).unwrap();
    let text = claims(&json!({})).to_string();
    let part = |value: &Value| BASE64.encode(value.to_string());
    let none = format!("{}.{}.", part(&json!({"alg": "none", "kid": "k1"})), BASE64.encode(&text));
    assert_eq!(issuer.person(&none), None);
    // The public key as a shared secret, in any form that somebody could have meant.
    let jwk = signer.published();
    for secret in [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned()] {
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
        let key = EncodingKey::from_secret(secret.as_bytes()).unwrap();
        let token = encode(&header, &claims(&json!({})), &key).unwrap();
        assert_eq!(issuer.person(&token), None);
    }
    // A key of somebody else under the known name, and a name that nobody knows.
    let other = Signer::new("k1", Algorithm::RS256);
    assert_eq!(issuer.person(&other.token(&claims(&json!({})))), None);
    let unknown = Signer { kid: "k2", ..signer };
    assert_eq!(issuer.person(&unknown.token(&claims(&json!({})))), None);
    let nameless =
        encode(&Header::new(Algorithm::RS256), &claims(&json!({})), &unknown.key).unwrap();
    assert_eq!(issuer.person(&nameless), None);
    // An algorithm that is not allowed here.
    let known = Signer { kid: "k1", ..unknown };
    let narrow = ApiJwt { algorithms: vec!["EdDSA".to_owned()], ..settings };
    assert_eq!(Issuer::open(&narrow).unwrap().person(&known.token(&claims(&json!({})))), None);
}

#[test]
fn roles_are_what_the_settings_make_of_the_claim() {
    let signer = Signer::new("k1", Algorithm::EdDSA);
    let (_folder, _, plain) = published(&[&signer]);
    let roles = |settings: &ApiJwt, changes: &Value| {
        let issuer = Issuer::open(settings).unwrap();
        issuer.person(&signer.token(&claims(changes))).unwrap().roles
    };
    assert_eq!(
        roles(&plain, &json!({"roles": "viewer king senior"})),
        [Role::Viewer, Role::Senior]
    );
    assert_eq!(roles(&plain, &json!({"roles": null})), []);
    let mapped = ApiJwt {
        roles_claim: "/realm/groups".to_owned(),
        name_claim: "email".to_owned(),
        roles: BTreeMap::from([("fraud-desk".to_owned(), "analyst".to_owned())]),
        ..plain
    };
    let said = json!({"email": "ann@example.com", "realm": {"groups": ["fraud-desk", "admin", "fraud-desk"]}});
    // A group that has the name of a role is no role.
    assert_eq!(roles(&mapped, &said), [Role::Analyst]);
    let wrong = BTreeMap::from([("fraud-desk".to_owned(), "king".to_owned())]);
    let said = Issuer::open(&ApiJwt { roles: wrong, ..mapped }).unwrap_err();
    assert!(said.contains("`fraud-desk`"), "{said}");
}

#[test]
fn topics_are_those_of_the_claim_and_none_where_it_says_nothing() {
    let signer = Signer::new("k1", Algorithm::EdDSA);
    let (_folder, _, plain) = published(&[&signer]);
    let said = json!({"tenant": {"topics": ["cards", "bank"]}, "words": "cards bank", "all": "*"});
    let scope = |claim: Option<&str>| {
        let settings = ApiJwt { topics_claim: claim.map(str::to_owned), ..plain.clone() };
        let issuer = Issuer::open(&settings).unwrap();
        issuer.person(&signer.token(&claims(&said))).map(|person| person.scope)
    };
    let both = Scope::of(["bank", "cards"]).unwrap();
    assert_eq!(scope(None), Some(Scope::All));
    assert_eq!(scope(Some("/tenant/topics")), Some(both.clone()));
    assert_eq!(scope(Some("words")), Some(both));
    assert_eq!(scope(Some("all")), Some(Scope::All));
    assert_eq!(scope(Some("none")), Some(Scope::of([]).unwrap()));
}

#[test]
fn keys_change_with_their_file_and_a_broken_one_leaves_those_that_were_known() {
    let (old, new) = (Signer::new("old", Algorithm::EdDSA), Signer::new("new", Algorithm::EdDSA));
    let (_folder, path, settings) = published(&[&old]);
    let issuer = Issuer::open(&settings).unwrap();
    let is_known = |signer: &Signer| issuer.person(&signer.token(&claims(&json!({})))).is_some();
    let until = |wanted: [bool; 2]| {
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while [is_known(&old), is_known(&new)] != wanted {
            assert!(std::time::Instant::now() < end, "{wanted:?}");
            std::thread::yield_now();
        }
    };
    until([true, false]);
    std::fs::write(&path, set(&[&new])).unwrap();
    until([false, true]);
    std::fs::write(&path, "no keys").unwrap();
    let looked = std::time::Instant::now();
    while looked.elapsed() < Duration::from_secs(2) {
        assert_eq!([is_known(&old), is_known(&new)], [false, true]);
    }
    assert!(Issuer::open(&settings).is_err_and(|said| said.contains("no set of keys")));
}

#[test]
fn keys_come_from_an_address() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/keys", listener.local_addr().unwrap());
    let issuer = Issuer::open(&settings(JwtKeys::Address(address))).unwrap();
    let token = signer.token(&claims(&json!({})));
    assert_eq!(issuer.person(&token), None, "nobody before there are keys");
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 1024];
    let n = stream.read(&mut request).unwrap();
    assert!(request[..n].starts_with(b"GET /keys HTTP/1.1\r\n"));
    let body = set(&[&signer]);
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    drop(stream);
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while issuer.person(&token).is_none() {
        assert!(std::time::Instant::now() < end, "the keys do not come");
        std::thread::yield_now();
    }
}
