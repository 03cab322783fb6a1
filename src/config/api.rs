//! The settings of the HTTP API, and which of them contradict each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::Currency;
use crate::base::amount::parse_minor;
use crate::config::error::{ConfigError, Problem};
use crate::config::typed::Reader;
use crate::config::value::{Rate, Value};

const LISTEN: &str = "api.listen";

/// The HTTP API.
#[derive(Clone, Debug)]
pub struct Api {
    /// Address.
    pub listen: SocketAddr,
    /// Whether it travels without encryption beyond this machine.
    pub is_plaintext_exposed: bool,
    /// Certificate and key.
    pub tls: Option<ApiTls>,
    /// File of tokens.
    pub tokens: Option<PathBuf>,
    /// An identity provider whose tokens are taken, too.
    pub jwt: Option<ApiJwt>,
    /// Most requests of one token.
    pub rate_limit: Rate,
    /// Largest body.
    pub max_body_bytes: usize,
    /// File of the read model; none: in memory.
    pub store: Option<PathBuf>,
    /// Most bytes of the read model, where there is a bound.
    pub store_bytes: Option<u64>,
    /// How long the read model keeps what has ended.
    pub retention: Duration,
    /// By currency, in minor units: above it two people release a hold. None at all: one is enough.
    pub four_eyes_above: BTreeMap<Currency, i64>,
    /// Kinds of commands that take two people whatever the amount.
    pub four_eyes_for: BTreeSet<&'static str>,
    /// Whether rule sets that two people let in are written into the rule folder.
    pub writes_rules: bool,
    /// Whether one person may do alone what takes two.
    pub lets_override: bool,
}

/// What may take two people.
///
/// WHY: refusing a payment and putting its deadline off are not among them. They stop money, and must not wait for anybody.
pub const FOR_TWO: [&str; 6] =
    ["hold.release", "hold.place", "list.add", "list.remove", "snooze.set", "snooze.end"];

/// Certificate and key of the API.
#[derive(Clone, Debug)]
pub struct ApiTls {
    /// PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// An identity provider whose tokens (JWT) are taken.
#[derive(Clone, Debug)]
pub struct ApiJwt {
    /// Its name: `iss` of its tokens.
    pub issuer: String,
    /// Our name there: in `aud` of its tokens.
    pub audience: String,
    /// Where its public keys are.
    pub keys: JwtKeys,
    /// Algorithms that are taken.
    pub algorithms: Vec<String>,
    /// How far its clock may be from ours.
    pub leeway: Duration,
    /// How often the address of the keys is asked.
    pub refresh: Duration,
    /// The claim that is the name which stands in records.
    pub name_claim: String,
    /// The claim that says roles.
    pub roles_claim: String,
    /// The claim that says of which input topics somebody sees payments; none: of all.
    pub topics_claim: Option<String>,
    /// Words of that claim and the roles for which they stand; none: each stands for the role that it names.
    pub roles: BTreeMap<String, String>,
}

/// Where the public keys of an identity provider are (JWKS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Address(String),
}

/// Algorithms that may be taken: signatures with public keys, and no shared secret.
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// Reads the section. None where the API is off or something is wrong.
pub(super) fn build(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<Api> {
    let four_eyes_above = four_eyes(read, errors);
    let four_eyes_for = for_two(read, errors);
    let (certificate, key) = (read.path("api.tls.certificate"), read.path("api.tls.key"));
    if certificate.is_some() != key.is_some() {
        let reason = "`api.tls.certificate` and `api.tls.key` go together";
        errors.push(read.contradiction("api.tls.certificate", reason));
    }
    let tls = certificate.zip(key).map(|(certificate, key)| ApiTls { certificate, key });
    if tls.is_some() && !cfg!(feature = "api-tls") {
        let key = "api.tls.certificate".to_owned();
        let feature = "the cargo feature `api-tls`".to_owned();
        let at = read.origin("api.tls.certificate");
        errors.push(ConfigError::new(at, Problem::NotBuiltIn { key, feature }));
    }
    let jwt = jwt(read, errors);
    let text = read.text(LISTEN)?;
    let Ok(listen) = text.parse::<SocketAddr>() else {
        let expected = "an IP address with a port such as `127.0.0.1:9465`";
        errors.push(read.bad_value(LISTEN, expected, &text));
        return None;
    };
    let is_exposed = !listen.ip().is_loopback();
    if is_exposed && read.text("api.expose")? != "on" {
        let reason = format!(
            "`{LISTEN}: {listen}` is reached by other machines: set `api.expose: on` if that is meant"
        );
        errors.push(read.contradiction(LISTEN, reason));
    }
    let is_plaintext_exposed = is_exposed && tls.is_none();
    if is_plaintext_exposed && read.text("api.plaintext")? != "allow" {
        let reason = format!(
            "`{LISTEN}: {listen}` would send tokens and payment data without encryption: give `api.tls.certificate` and `api.tls.key`, or set `api.plaintext: allow` where something before it speaks TLS"
        );
        errors.push(read.contradiction(LISTEN, reason));
    }
    let Value::Rate(rate_limit) = *read.value("api.rate_limit")? else { return None };
    Some(Api {
        listen,
        is_plaintext_exposed,
        tls,
        tokens: read.path("api.tokens"),
        jwt,
        rate_limit,
        max_body_bytes: usize::try_from(read.size("api.max_body")?).unwrap_or(usize::MAX),
        store: read.path("api.store"),
        store_bytes: store_bytes(read),
        retention: read.duration("api.retention")?,
        four_eyes_above,
        four_eyes_for,
        writes_rules: read.text("api.write_rules")? == "on",
        lets_override: read.text("api.override")? == "on",
    })
}

/// WHY: what lies in memory lies beside the windows, in the process that decides.
const IN_MEMORY_BYTES: u64 = 256 << 20;

fn store_bytes(read: &Reader<'_>) -> Option<u64> {
    let in_memory = read.path("api.store").is_none().then_some(IN_MEMORY_BYTES);
    read.size("api.store_size").or(in_memory)
}

/// What takes two people whatever the amount. A word that is none is refused: it must not pass for one that protects.
fn for_two(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> BTreeSet<&'static str> {
    const KEY: &str = "api.four_eyes_for";
    let mut found = BTreeSet::new();
    let text = read.text(KEY).unwrap_or_default();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match FOR_TWO.into_iter().find(|known| *known == word) {
            Some(known) => _ = found.insert(known),
            None => errors.push(read.bad_value(KEY, &FOR_TWO.join(", "), word)),
        }
    }
    if found.is_empty() {
        return found;
    }
    if read.text(LISTEN).is_none() {
        let reason = "two people need the HTTP API to agree: set `api.listen`";
        errors.push(read.contradiction(KEY, reason));
    }
    found
}

fn jwt(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> Option<ApiJwt> {
    const ISSUER: &str = "api.jwt.issuer";
    const KEYS: &str = "api.jwt.keys";
    const ALGORITHM: &str = "api.jwt.algorithms";
    let named = [ISSUER, "api.jwt.audience", KEYS].map(|key| read.text(key));
    let [issuer, audience, keys] = match named {
        [None, None, None] => return None,
        [Some(issuer), Some(audience), Some(keys)] => [issuer, audience, keys],
        _ => {
            let reason = "`api.jwt.issuer`, `api.jwt.audience` and `api.jwt.keys` go together";
            errors.push(read.contradiction(ISSUER, reason));
            return None;
        }
    };
    if !cfg!(feature = "api-jwt") {
        let feature = "the cargo feature `api-jwt`".to_owned();
        let problem = Problem::NotBuiltIn { key: ISSUER.to_owned(), feature };
        errors.push(ConfigError::new(read.origin(ISSUER), problem));
    }
    let loopback = ["http://127.0.0.1:", "http://[::1]:"];
    let is_safe = keys.starts_with("https://") || loopback.iter().any(|it| keys.starts_with(it));
    if keys.contains("://") && !is_safe {
        let expected = "a path, or an address such as `https://id.example/keys`";
        errors.push(read.bad_value(KEYS, expected, &keys));
    }
    let text = read.text(ALGORITHM)?;
    let algorithms: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
    if !algorithms.iter().all(|it| ALGORITHMS.contains(&it.as_str())) {
        let expected = "some of RS256, ES256, EdDSA, joined by commas";
        errors.push(read.bad_value(ALGORITHM, expected, &text));
    }
    let roles = match read.value("api.jwt.roles") {
        Some(Value::Map(entries)) => {
            entries.iter().map(|(word, (role, _))| (word.clone(), role.clone())).collect()
        }
        _ => BTreeMap::new(),
    };
    Some(ApiJwt {
        issuer,
        audience,
        keys: if is_safe { JwtKeys::Address(keys) } else { JwtKeys::File(PathBuf::from(keys)) },
        algorithms,
        leeway: read.duration("api.jwt.leeway")?,
        refresh: read.duration("api.jwt.refresh")?,
        name_claim: read.text("api.jwt.name_claim")?,
        roles_claim: read.text("api.jwt.roles_claim")?,
        topics_claim: read.text("api.jwt.topics_claim"),
        roles,
    })
}

fn four_eyes(read: &Reader<'_>, errors: &mut Vec<ConfigError>) -> BTreeMap<Currency, i64> {
    const KEY: &str = "api.four_eyes_above";
    let mut above = BTreeMap::new();
    let Some(Value::Map(entries)) = read.value(KEY) else { return above };
    for (code, (text, _)) in entries {
        let parsed = Currency::parse(code).and_then(|currency| {
            Some((currency, parse_minor(text.as_bytes(), currency.minor_digits()).ok()?))
        });
        match parsed {
            Some((currency, minor)) if minor >= 0 => _ = above.insert(currency, minor),
            _ => {
                let expected = "currencies with amounts such as `{EUR: 10000}`";
                errors.push(read.bad_value(KEY, expected, &format!("{code}: {text}")));
            }
        }
    }
    above
}
