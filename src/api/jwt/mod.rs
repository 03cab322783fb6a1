//! Tokens of an identity provider: JSON Web Tokens, where the cargo feature `api-jwt` is on.
//!
//! What counts is written down here and not in the token: the algorithms that are allowed (public keys only, so that no public
//! key serves as a shared secret), the issuer, the audience. A token names its key, and the key must be known. Keys come from a
//! file that is looked at again when it changes, or from an address that is asked again now and then, and when a token names a
//! key that is not known. While they cannot be had, those that were known stay; what cannot be judged is not let in.
//!
//! # Source
//! RFC 7519 (JWT), RFC 7517 (JWK), RFC 8725 (best current practices).

#[cfg(feature = "api-jwt")]
mod with {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io;
    use std::path::Path;
    use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread;
    use std::time::{Duration, Instant, SystemTime};

    use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
    use jsonwebtoken::{
        Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header,
    };
    use serde_json::{Map, Value};

    use crate::api::roles::{Person, Role, Scope};
    use crate::api::tokens::is_name;
    use crate::config::{ApiJwt, JwtKeys};
    use crate::telemetry::api as happening;

    /// Largest set of keys.
    const MAX_BYTES: u64 = 1 << 20;

    /// How often the file is looked at.
    const LOOK_EVERY: Duration = Duration::from_secs(1);

    /// How long the address may take.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// What a claim says of whoever may see the payments of all topics.
    const EVERY_TOPIC: &str = "*";

    /// How often a key that is not known has the address asked, at most.
    const ASK_EVERY: Duration = Duration::from_secs(30);

    /// Whoever says who somebody is.
    pub(crate) struct Issuer {
        settings: ApiJwt,
        /// What words of the claim stand for; none: for the roles that they name.
        roles: BTreeMap<String, Role>,
        known: Arc<Mutex<Known>>,
        /// Has the address asked again; gone with the issuer, and then the thread ends.
        ask: Option<SyncSender<()>>,
    }

    struct Known {
        keys: Arc<Vec<Key>>,
        looked: Instant,
        stamp: Option<(SystemTime, u64)>,
    }

    struct Key {
        id: String,
        /// What it may be used with; absent: all of its family.
        algorithm: Option<Algorithm>,
        verifier: DecodingKey,
    }

    impl core::fmt::Debug for Issuer {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "Issuer({})", self.settings.issuer)
        }
    }

    impl Issuer {
        /// Reads the keys. An address that does not answer is asked again; until then nobody is let in by it.
        ///
        /// # Errors
        /// The file cannot be used, or the system has no thread, in words.
        pub(crate) fn open(settings: &ApiJwt) -> Result<Self, String> {
            let role = |(word, name): (&String, &String)| {
                let role = Role::named(name).ok_or_else(|| {
                    let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
                    format!("`api.jwt.roles` of `{word}`: the roles are {}", names.join(", "))
                })?;
                Ok((word.clone(), role))
            };
            let roles = settings.roles.iter().map(role).collect::<Result<_, String>>()?;
            let (keys, stamp) = match &settings.keys {
                JwtKeys::File(path) => (read(path)?, stamp(path)),
                JwtKeys::Address(_) => (Vec::new(), None),
            };
            let known = Known { keys: Arc::new(keys), looked: Instant::now(), stamp };
            let known = Arc::new(Mutex::new(known));
            let ask = match &settings.keys {
                JwtKeys::File(_) => None,
                JwtKeys::Address(address) => Some(follow(address, settings.refresh, &known)?),
            };
            Ok(Self { settings: settings.clone(), roles, known, ask })
        }

        /// Whose token this is, if it is a valid one.
        pub(crate) fn person(&self, token: &str) -> Option<Person> {
            let header = decode_header(token).ok()?;
            let (id, algorithm) = (header.kid?, header.alg);
            if !self.allows(algorithm) {
                return None;
            }
            let keys = self.keys();
            let Some(key) = keys.iter().find(|key| key.id == id) else {
                self.ask_again();
                return None;
            };
            let fits = key.verifier.family().algorithms().contains(&algorithm)
                && key.algorithm.is_none_or(|it| it == algorithm);
            if !fits {
                return None;
            }
            let mut wanted = Validation::new(algorithm);
            wanted.leeway = self.settings.leeway.as_secs();
            wanted.validate_nbf = true;
            wanted.set_issuer(&[&self.settings.issuer]);
            wanted.set_audience(&[&self.settings.audience]);
            wanted.set_required_spec_claims(&["exp", "iss", "aud"]);
            let claims = decode::<Map<String, Value>>(token, &key.verifier, &wanted).ok()?.claims;
            self.read_claims(&claims)
        }

        fn allows(&self, algorithm: Algorithm) -> bool {
            let name = match algorithm {
                Algorithm::RS256 => "RS256",
                Algorithm::ES256 => "ES256",
                Algorithm::EdDSA => "EdDSA",
                // WHY: shared secrets above all; what is not on the list is not there by oversight.
                _ => return false,
            };
            self.settings.algorithms.iter().any(|it| it == name)
        }

        fn read_claims(&self, claims: &Map<String, Value>) -> Option<Person> {
            let of = |name: &str| match name.strip_prefix('/') {
                None => claims.get(name),
                Some(rest) => match rest.split_once('/') {
                    None => claims.get(rest),
                    Some((first, rest)) => claims.get(first)?.pointer(&format!("/{rest}")),
                },
            };
            let name = of(&self.settings.name_claim)?.as_str().filter(|name| is_name(name))?;
            let said = words(of(&self.settings.roles_claim));
            let mut roles: Vec<Role> =
                said.into_iter().filter_map(|word| self.role(word)).collect();
            roles.sort_unstable();
            roles.dedup();
            // WHY: where topics are asked for, a token that says nothing of them sees nothing.
            let scope = match self.settings.topics_claim.as_deref().map(|claim| words(of(claim))) {
                None => Scope::All,
                Some(topics) if topics == [EVERY_TOPIC] => Scope::All,
                Some(topics) => Scope::of(topics).ok()?,
            };
            Some(Person { name: name.to_owned(), roles, scope })
        }

        /// The role that a word of the claim stands for.
        fn role(&self, word: &str) -> Option<Role> {
            if self.roles.is_empty() { Role::named(word) } else { self.roles.get(word).copied() }
        }

        fn keys(&self) -> Arc<Vec<Key>> {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let JwtKeys::File(path) = &self.settings.keys
                && known.looked.elapsed() >= LOOK_EVERY
            {
                known.looked = Instant::now();
                let found = stamp(path);
                if found != known.stamp {
                    match read(path) {
                        Ok(keys) => known.keys = Arc::new(keys),
                        Err(error) => failed(&error),
                    }
                    known.stamp = found;
                }
            }
            Arc::clone(&known.keys)
        }

        fn ask_again(&self) {
            if let Some(ask) = &self.ask {
                // WHY: full means that it is asked anyway.
                _ = ask.try_send(());
            }
        }
    }

    /// The words of a claim: a list, or a text with blanks between.
    fn words(claim: Option<&Value>) -> Vec<&str> {
        match claim {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => text.split(' ').collect(),
            _ => Vec::new(),
        }
    }

    /// Asks the address now, and again and again until the issuer is gone.
    fn follow(
        address: &str,
        every: Duration,
        known: &Arc<Mutex<Known>>,
    ) -> Result<SyncSender<()>, String> {
        let (ask, asked) = sync_channel(1);
        let (address, known) = (address.to_owned(), Arc::clone(known));
        let work = move || {
            loop {
                let began = Instant::now();
                match fetch(&address) {
                    Ok(keys) => {
                        known.lock().unwrap_or_else(PoisonError::into_inner).keys = Arc::new(keys);
                    }
                    Err(error) => failed(&error),
                }
                // WHY: whoever makes up names of keys must not have the address asked as often as they like.
                let pause = ASK_EVERY.saturating_sub(began.elapsed());
                match asked.recv_timeout(every) {
                    Ok(()) if waited(&asked, pause) => {}
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        };
        let thread = thread::Builder::new().name("api-keys".to_owned()).spawn(work);
        thread.map_err(|error| error.to_string())?;
        Ok(ask)
    }

    /// Waits; false: the issuer is gone.
    fn waited(asked: &std::sync::mpsc::Receiver<()>, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match asked.recv_timeout(left) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn failed(error: &str) {
        happening::ApiFailed { attempted: "read the keys of the identity provider", error }.emit();
    }

    fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
        let found = fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    }

    fn read(path: &Path) -> Result<Vec<Key>, String> {
        let refused = |error: io::Error| format!("could not read `{}`: {error}", path.display());
        if fs::metadata(path).map_err(refused)?.len() > MAX_BYTES {
            return Err(format!("`{}` has more than {MAX_BYTES} bytes", path.display()));
        }
        let text = fs::read(path).map_err(refused)?;
        parse(&text).map_err(|reason| format!("`{}` {reason}", path.display()))
    }

    fn fetch(address: &str) -> Result<Vec<Key>, String> {
        let refused = |error: ureq::Error| format!("could not read `{address}`: {error}");
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0);
        let agent: ureq::Agent = config.build().into();
        let mut answer = agent.get(address).call().map_err(refused)?;
        let body =
            answer.body_mut().with_config().limit(MAX_BYTES).read_to_vec().map_err(refused)?;
        parse(&body).map_err(|reason| format!("`{address}` {reason}"))
    }

    /// The public keys for signatures that have a name.
    fn parse(text: &[u8]) -> Result<Vec<Key>, String> {
        let set: JwkSet = serde_json::from_slice(text).map_err(|_| "is no set of keys (JWKS)")?;
        let keys: Vec<Key> = set.keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err("has no public key for signatures with a `kid`".to_owned());
        }
        Ok(keys)
    }

    fn key(jwk: &Jwk) -> Option<Key> {
        let id = jwk.common.key_id.clone()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature) {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        if key.family() == AlgorithmFamily::Hmac {
            return None;
        }
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            // WHY: a key for something that is not known here is for nothing here.
            Some(name) => Some(name.to_string().parse().ok()?),
        };
        Some(Key { id, algorithm, verifier: key })
    }
}

#[cfg(not(feature = "api-jwt"))]
mod without {
    use crate::api::roles::Person;
    use crate::config::ApiJwt;

    /// There is none in this build.
    #[derive(Debug)]
    pub(crate) enum Issuer {}

    impl Issuer {
        /// Refuses.
        ///
        /// # Errors
        /// Always.
        pub(crate) fn open(_: &ApiJwt) -> Result<Self, String> {
            Err("tokens of an identity provider need the cargo feature `api-jwt`".to_owned())
        }

        /// Nobody's.
        pub(crate) fn person(&self, _: &str) -> Option<Person> {
            match *self {}
        }
    }
}

#[cfg(feature = "api-jwt")]
pub(crate) use with::Issuer;
#[cfg(not(feature = "api-jwt"))]
pub(crate) use without::Issuer;

#[cfg(test)]
#[cfg(feature = "api-jwt")]
mod tests;
