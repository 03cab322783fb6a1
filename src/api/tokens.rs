//! Tokens: 256 random bits that are shown once, and a file of their digests.
//!
//! A line of the file is `NAME ROLES EXPIRES sha256:DIGEST [topics=TOPICS]`: roles and topics are joined by commas, `EXPIRES` is
//! RFC 3339 or `-`. What is random needs no slow hash: whoever reads the file cannot guess a token. Every digest is compared, each in constant time.
//!
//! The file is looked at again when it changes, so that a token can be withdrawn at once. A file that cannot be read then
//! leaves the tokens as they were, and the log says so. Which tokens came and went is kept until the audit trail was told.

use core::fmt;
use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::api::roles::{Person, Role, Scope};
use crate::base::Digest;
use crate::base::digest::hex;
use crate::base::time::{format_rfc3339, parse_rfc3339};
use crate::telemetry::api as happening;

/// What every token begins with, so that it is known when it turns up where it should not.
pub const PREFIX: &str = "rw_";

/// Largest file.
const MAX_BYTES: u64 = 1 << 20;

/// Most tokens: each is compared at every request.
const MAX_TOKENS: usize = 10_000;

/// Longest name of a person.
pub const MAX_NAME_BYTES: usize = 64;

/// Under which the service itself stands in records, so that nobody else has it.
pub(crate) const OWN_NAME: &str = "riskweir";

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A token. Neither `Debug` nor anything else but [`Token::reveal`] shows it.
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> io::Result<Self> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(format!("{PREFIX}{}", BASE64.encode(bytes))))
    }

    /// The text, for the one time that it is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The line that makes it known.
    pub fn line(&self, person: &Person, expires_ms: Option<i64>) -> String {
        let roles: Vec<&str> = person.roles.iter().map(|role| role.name()).collect();
        let expires = expires_ms.map_or_else(|| "-".to_owned(), format_rfc3339);
        let digest = hex(&digest(&self.0));
        let topics = person.scope.topics().map(|topics| {
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            format!(" topics={}", topics.join(","))
        });
        let topics = topics.unwrap_or_default();
        format!("{} {} {expires} sha256:{digest}{topics}", person.name, roles.join(","))
    }
}

/// Whether somebody can have this name: it stands in records, and in lines of the file.
pub fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
    let is_ours = name.eq_ignore_ascii_case(OWN_NAME);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(fits) && !is_ours
}

/// A line of the file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whose token it is.
    pub(crate) person: Person,
    /// SHA-256 of the token.
    pub(crate) digest: [u8; 32],
    /// Until when it is valid, ms since 1970; none: for ever.
    pub(crate) expires_ms: Option<i64>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.person.name)
    }
}

/// What became of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// They were there at the start.
    Known,
    /// They came.
    Added,
    /// They went.
    Withdrawn,
}

/// What the audit trail is to be told of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// What became of them.
    pub(crate) became: Became,
    /// The lines; at least one unless it is the start.
    pub(crate) entries: Arc<Vec<Entry>>,
}

/// The tokens that are known.
pub struct Tokens {
    path: Option<PathBuf>,
    known: Mutex<Known>,
}

struct Known {
    entries: Arc<Vec<Entry>>,
    looked: Instant,
    stamp: Option<Stamp>,
    /// Oldest first. What one change of the file brings, and the file changes at most once in [`LOOK_EVERY`].
    untold: VecDeque<News>,
}

impl Known {
    /// These lines from now on.
    fn become_known(&mut self, entries: Vec<Entry>) {
        let without = |all: &[Entry], others: &[Entry]| -> Arc<Vec<Entry>> {
            let digests: HashSet<_> = others.iter().map(|it| it.digest).collect();
            let is_same = |it: &Entry| digests.contains(&it.digest) && others.contains(it);
            Arc::new(all.iter().filter(|it| !is_same(it)).cloned().collect())
        };
        let went = News { became: Became::Withdrawn, entries: without(&self.entries, &entries) };
        let came = News { became: Became::Added, entries: without(&entries, &self.entries) };
        self.untold.extend([went, came].into_iter().filter(|news| !news.entries.is_empty()));
        self.entries = Arc::new(entries);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({:?})", self.path)
    }
}

impl Tokens {
    /// Reads the file; without one no token is known.
    ///
    /// # Errors
    /// It cannot be read, or a line is wrong; never what stands there.
    pub fn open(path: Option<&Path>) -> Result<Self, String> {
        let entries = Arc::new(path.map_or_else(|| Ok(Vec::new()), read)?);
        let start = News { became: Became::Known, entries: Arc::clone(&entries) };
        let known = Known {
            entries,
            looked: Instant::now(),
            stamp: path.and_then(stamp),
            untold: path.map(|_| start).into_iter().collect(),
        };
        Ok(Self { path: path.map(Path::to_owned), known: Mutex::new(known) })
    }

    /// Whose token this is at `now_ms`, if anybody's.
    pub fn person(&self, token: &str, now_ms: i64) -> Option<Person> {
        let entries = self.entries();
        let digest = digest(token);
        let mut found = None;
        for entry in entries.iter() {
            // WHY: no early end, so that the time tells nothing about the others.
            if bool::from(entry.digest.ct_eq(&digest)) {
                found = Some(entry);
            }
        }
        let entry = found?;
        let is_valid = entry.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms);
        is_valid.then(|| entry.person.clone())
    }

    /// Whether the audit trail is still to be told of a token that is let in.
    pub(crate) fn is_untold(&self, token: &str) -> bool {
        let known = self.lock();
        let came = known.untold.iter().filter(|news| news.became != Became::Withdrawn);
        let digest = Digest::of(token.as_bytes()).0;
        came.flat_map(|news| news.entries.iter()).any(|entry| entry.digest == digest)
    }

    /// The oldest of what the audit trail was not told of; it looks at the file.
    pub(crate) fn untold(&self) -> Option<News> {
        self.entries();
        self.lock().untold.front().cloned()
    }

    /// It was told of that.
    pub(crate) fn told(&self) {
        self.lock().untold.pop_front();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> Arc<Vec<Entry>> {
        let mut known = self.lock();
        let Some(path) = self.path.as_deref().filter(|_| known.looked.elapsed() >= LOOK_EVERY)
        else {
            return Arc::clone(&known.entries);
        };
        known.looked = Instant::now();
        let stamp = stamp(path);
        if stamp != known.stamp {
            match read(path) {
                Ok(entries) => known.become_known(entries),
                Err(reason) => happening::ApiTokensRefused { reason: &reason }.emit(),
            }
            known.stamp = stamp;
        }
        Arc::clone(&known.entries)
    }
}

/// By what a file is known not to have changed: which one it is, its length, and when its content or anything else of it was
/// changed, which nobody can set back.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let refused = |error: io::Error| format!("could not read `{}`: {error}", path.display());
    if fs::metadata(path).map_err(refused)?.len() > MAX_BYTES {
        return Err(format!("`{}` has more than {MAX_BYTES} bytes", path.display()));
    }
    parse(&fs::read_to_string(path).map_err(refused)?)
        .map_err(|reason| format!("`{}` {reason}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = entry(line).map_err(|what| format!("line {}: {what}", at + 1))?;
        let of_name = |other: &Entry| other.person.name == entry.person.name;
        if entries.iter().any(|other| of_name(other) && other.person != entry.person) {
            let what = "the name stands for other roles or topics above";
            return Err(format!("line {}: {what}", at + 1));
        }
        // WHY: whose it is would hang on the order of the lines, and one bearer would be two people.
        if entries.iter().any(|other| other.digest == entry.digest && *other != entry) {
            let what = "the same token stands above with another name or expiry";
            return Err(format!("line {}: {what}", at + 1));
        }
        entries.push(entry);
        if entries.len() > MAX_TOKENS {
            return Err(format!("has more than {MAX_TOKENS} tokens"));
        }
    }
    Ok(entries)
}

const LINE: &str = "a line is `NAME ROLES EXPIRES sha256:DIGEST [topics=TOPICS]`";

fn entry(line: &str) -> Result<Entry, &'static str> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let (name, roles, expires, digest, topics) = match *parts {
        [name, roles, expires, digest] => (name, roles, expires, digest, None),
        [name, roles, expires, digest, topics] => (name, roles, expires, digest, Some(topics)),
        _ => return Err(LINE),
    };
    if !is_name(name) {
        return Err(
            "a name has 1 to 64 letters, digits, `.`, `_`, `-` or `@`, and is not `riskweir`",
        );
    }
    let roles: Option<Vec<Role>> = roles.split(',').map(Role::named).collect();
    let roles = roles.ok_or("an unknown role")?;
    let expires_ms = match expires {
        "-" => None,
        text => Some(parse_rfc3339(text.as_bytes()).ok_or("an expiry is RFC 3339, or `-`")?),
    };
    let digest = digest.strip_prefix("sha256:").and_then(Digest::of_hex).map(|digest| digest.0);
    let digest = digest.ok_or("a digest is `sha256:` and 64 hexadecimal digits")?;
    let scope = match topics.map(|topics| topics.strip_prefix("topics=").ok_or(LINE)) {
        // WHY: a line that ends short must not let somebody see everything.
        Some(topics) => Scope::of(topics?.split(','))?,
        None => Scope::All,
    };
    Ok(Entry { person: Person { name: name.to_owned(), roles, scope }, digest, expires_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_line_until_it_expires() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = Token::new().unwrap();
        let (name, roles) = ("ann".to_owned(), vec![Role::Analyst, Role::RuleAuthor]);
        let ann = Person { name, roles, scope: Scope::of(["cards", "bank"]).unwrap() };
        let line = token.line(&ann, Some(2_000));
        assert!(line.ends_with(" topics=bank,cards"), "{line}");
        assert!(line.starts_with("ann analyst,rule-author 1970-01-01T00:00:02Z sha256:"), "{line}");
        assert!(!line.contains(token.reveal()) && !format!("{token:?}").contains(token.reveal()));
        fs::write(file.path(), format!("# people\n\n{line}\n")).unwrap();
        let tokens = Tokens::open(Some(file.path())).unwrap();
        assert_eq!(tokens.person(token.reveal(), 1_999), Some(ann));
        assert_eq!(tokens.person(token.reveal(), 2_000), None);
        assert_eq!(tokens.person(Token::new().unwrap().reveal(), 0), None);
        assert_eq!(tokens.person("", 0), None);
        assert_eq!(Tokens::open(None).unwrap().person(token.reveal(), 0), None);
    }

    #[test]
    fn what_came_is_untold_until_the_trail_was_told_of_it_and_what_went_is_told_of_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [first, second] = [Token::new().unwrap(), Token::new().unwrap()];
        let line = |name: &str, token: &Token| {
            let (name, roles) = (name.to_owned(), vec![Role::Senior]);
            token.line(&Person { name, roles, scope: Scope::All }, None)
        };
        fs::write(file.path(), line("ann", &first)).unwrap();
        let tokens = Tokens::open(Some(file.path())).unwrap();
        let is_untold = || [&first, &second].map(|token| tokens.is_untold(token.reveal()));
        assert_eq!(is_untold(), [true, false]);
        let news = tokens.untold().unwrap();
        assert_eq!((news.became, news.entries.len()), (Became::Known, 1));
        tokens.told();
        assert_eq!((is_untold(), tokens.untold()), ([false, false], None));
        tokens.lock().become_known(parse(&line("bob", &second)).unwrap());
        assert_eq!(is_untold(), [false, true]);
        let names = |news: Option<News>| {
            news.map(|it| (it.became, it.entries.iter().map(|it| it.person.name.clone()).collect()))
        };
        assert_eq!(
            names(tokens.lock().untold.pop_front()),
            Some((Became::Withdrawn, vec!["ann".to_owned()]))
        );
        assert_eq!(
            names(tokens.lock().untold.pop_front()),
            Some((Became::Added, vec!["bob".to_owned()]))
        );
        assert_eq!(is_untold(), [false, false]);
    }

    /// The digest of "abc" is the first example of FIPS 180-2.
    #[test]
    fn what_is_kept_is_the_digest() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let entries = parse(&format!("x viewer - sha256:{abc}")).unwrap();
        assert_eq!(entries[0].digest, digest("abc"));
        assert_eq!(hex(&digest("abc")), abc);
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_alone() {
        let other = "0".repeat(64);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (line, part) in [
            ("x viewer - sha256:00".to_owned(), "64 hexadecimal"),
            (format!("x king - sha256:{abc}"), "unknown role"),
            (format!("x viewer soon sha256:{abc}"), "RFC 3339"),
            (format!("x/y viewer - sha256:{abc}"), "a name has"),
            (format!("x viewer sha256:{abc}"), "NAME ROLES"),
            (format!("riskweir viewer - sha256:{other}"), "is not `riskweir`"),
            (format!("w admin - sha256:{abc}"), "other roles"),
            (format!("x viewer - sha256:{abc}"), "the same token stands above"),
            (format!("w viewer 2027-01-31T00:00:00Z sha256:{abc}"), "the same token stands above"),
            (format!("w viewer - sha256:{abc} topics=cards"), "or topics"),
            (format!("x viewer - sha256:{abc} topics="), "a topic has"),
            (format!("x viewer - sha256:{abc} topics=cards,"), "a topic has"),
            (format!("x viewer - sha256:{abc} cards"), "a line is"),
            (format!("x viewer - sha256:{abc} topics=cards bank"), "a line is"),
        ] {
            let text = format!("w viewer - sha256:{abc}\n{line}\n");
            let Err(said) = parse(&text) else { panic!("{line}") };
            assert!(said.starts_with("line 2: ") && said.contains(part), "{said}");
            assert!(!said.contains("ba78"), "{said}");
        }
    }
}
