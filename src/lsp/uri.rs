//! File URIs (RFC 8089) and paths.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The path of a `file:` URI on this machine; none for other schemes and hosts.
pub(super) fn path_of(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file:")?;
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => {
            let slash = rest.find('/')?;
            let (host, path) = rest.split_at(slash);
            (host.is_empty() || host.eq_ignore_ascii_case("localhost")).then_some(path)?
        }
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let bytes = decoded(path.as_bytes());
    let path = from_bytes(bytes)?;
    path.is_absolute().then_some(path)
}

/// The URI of a path.
pub(super) fn of_path(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    let text = path.to_string_lossy();
    let text = if cfg!(windows) { text.replace('\\', "/") } else { text.into_owned() };
    if !text.starts_with('/') {
        uri.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        let byte = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt as _;
    (!bytes.contains(&0)).then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// `/c:/rules` is `c:/rules`.
#[cfg(not(unix))]
fn from_bytes(bytes: Vec<u8>) -> Option<PathBuf> {
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    let drive = text.as_bytes().get(2) == Some(&b':');
    let text = if drive { text.get(1..).unwrap_or_default().to_owned() } else { text };
    Some(PathBuf::from(OsString::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, path: Option<&str>) {
        assert_eq!(path_of(uri), path.map(PathBuf::from), "{uri}");
    }

    #[test]
    fn uris_of_files_are_paths_and_others_are_none() {
        check("file:///rules/a.risk", Some("/rules/a.risk"));
        check("file:/rules/a.risk", Some("/rules/a.risk"));
        check("file://localhost/rules/a%20b.risk", Some("/rules/a b.risk"));
        check("file:///caf%C3%A9/%25.risk", Some("/café/%.risk"));
        check("file:///bad%zz%", Some("/bad%zz%"));
        check("file://elsewhere/rules/a.risk", None);
        check("untitled:Untitled-1", None);
        check("file://", None);
        check("file:rules", None);
        check("file:///a%00b", None);
    }

    #[test]
    fn a_path_comes_back_from_its_uri() {
        for path in ["/rules/a.risk", "/a b/ü#?%.risk", "/[x]/(y)&'z'.risk"] {
            assert_eq!(path_of(&of_path(Path::new(path))), Some(PathBuf::from(path)));
        }
        assert_eq!(of_path(Path::new("/a b.risk")), "file:///a%20b.risk");
    }
}
