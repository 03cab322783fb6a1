//! Tokens: what stands for a value that nobody behind the parser may see, such as a card number.
//!
//! A token is the keyed hash (HMAC-SHA-256, RFC 2104) of the value, so equal values have equal tokens, and without the key no
//! value can be tried against a token. It is written in letters alone, so that none contains a run of digits that looks like
//! a card number, and begins with the name of its key.
//!
//! # Source
//! PCI DSS 4.0.1, 3.5.1.1: hashes of card numbers are keyed, over the whole number.

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a token begins with.
const BEGIN: &[u8] = b"tk_";
/// Letters of the name of a key.
const ID_LEN: usize = 6;
/// Letters of the hash: 128 of its 256 bits.
const HASH_LEN: usize = 32;
/// Bytes of a token: `tk_`, the name of the key, `_`, the hash.
pub const TOKEN_LEN: usize = BEGIN.len() + ID_LEN + 1 + HASH_LEN;
/// Letters for the values of four bits.
const LETTERS: [u8; 16] = *b"abcdefghijkmnpqr";
/// Fewest bytes of a key.
pub const MIN_KEY_BYTES: usize = 32;
/// What the name of a key is the hash of.
const NAME: &[u8] = b"riskweir: name of this key";
/// A key that everybody knows, for rules that are tried on files.
const PUBLIC: &[u8; MIN_KEY_BYTES] = b"riskweir: everybody knows this 1";

/// A key that makes tokens. It is never shown; [`TokenKey::id`] names it.
#[derive(Clone)]
pub struct TokenKey {
    mac: Hmac<Sha256>,
    id: [u8; ID_LEN],
}

impl TokenKey {
    /// The key of these bytes; none where they are fewer than [`MIN_KEY_BYTES`].
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < MIN_KEY_BYTES {
            return None;
        }
        let mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        let mut id = Vec::with_capacity(ID_LEN);
        letters(&mac.clone().chain_update(NAME).finalize().into_bytes(), ID_LEN, &mut id);
        Some(Self { mac, id: id.try_into().ok()? })
    }

    /// A key that everybody knows: for rules that are tested, and tried on files.
    ///
    /// # Panics
    /// Never: it is long enough.
    #[expect(clippy::expect_used, reason = "it has as many bytes as a key needs")]
    pub fn public() -> Self {
        Self::new(PUBLIC).expect("a key that is long enough")
    }

    /// Its name: a keyed hash, too, so it tells nothing of the key.
    pub fn id(&self) -> &str {
        core::str::from_utf8(&self.id).unwrap_or_default()
    }

    /// Appends the token of a value. Spaces and hyphens between digits alone mean nothing: `4111 1111` is `41111111`.
    ///
    /// # Cost
    /// Two blocks of SHA-256.
    pub fn token(&self, value: &[u8], out: &mut Vec<u8>) {
        let mac = self.mac.clone();
        let is_apart = |byte: &u8| matches!(byte, b' ' | b'-');
        let mac = if value.iter().all(|byte| byte.is_ascii_digit() || is_apart(byte))
            && value.iter().any(is_apart)
        {
            let digits: Vec<u8> = value.iter().copied().filter(u8::is_ascii_digit).collect();
            mac.chain_update(digits)
        } else {
            mac.chain_update(value)
        };
        out.extend_from_slice(BEGIN);
        out.extend_from_slice(&self.id);
        out.push(b'_');
        letters(&mac.finalize().into_bytes(), HASH_LEN, out);
    }

    /// The token of a text that people or files give: one that is a token already is taken as it is.
    pub fn token_of(&self, text: &str) -> String {
        if is_token(text) {
            return text.to_owned();
        }
        let mut token = Vec::with_capacity(TOKEN_LEN);
        self.token(text.as_bytes(), &mut token);
        // INVARIANT: a token has letters of ASCII alone.
        String::from_utf8(token).unwrap_or_default()
    }
}

/// Whether a text has the form of a token, of whatever key.
pub fn is_token(text: &str) -> bool {
    let Some(rest) = text.as_bytes().strip_prefix(BEGIN) else { return false };
    let is_letter = |byte: &u8| LETTERS.contains(byte);
    rest.split_at_checked(ID_LEN).is_some_and(|(id, hash)| {
        let hash = hash.strip_prefix(b"_").unwrap_or_default();
        id.iter().all(is_letter) && hash.len() == HASH_LEN && hash.iter().all(is_letter)
    })
}

/// The first letters of a hash.
fn letters(hash: &[u8], n: usize, out: &mut Vec<u8>) {
    let halves = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    out.extend(halves.take(n).map(|half| LETTERS[usize::from(half)]));
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id())
    }
}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for TokenKey {}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: &TokenKey, value: &str) -> String {
        let mut out = Vec::new();
        key.token(value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_token_is_the_keyed_hash_of_the_value_in_letters() {
        // RFC 4231, test case 3: twenty times 0xaa, and fifty times 0xdd; the key is too short for tokens, so by the class alone.
        let mac = Hmac::<Sha256>::new_from_slice(&[0xaa; 20]).unwrap();
        let hash = mac.chain_update([0xdd; 50]).finalize().into_bytes();
        assert_eq!(hash[..4], [0x77, 0x3e, 0xa9, 0x1e]);
        // Worked out with Python: hmac.new(bytes(range(32)), b"4111111111111111", "sha256").hexdigest()
        let key = TokenKey::new(&(0..32).collect::<Vec<u8>>()).unwrap();
        let hex = "0622241201382a45912fb22828b3f7db5153cf2072722a73ded22623ea79abc9";
        let expected: String = hex
            .chars()
            .take(32)
            .map(|digit| char::from(LETTERS[digit.to_digit(16).unwrap() as usize]))
            .collect();
        let made = token(&key, "4111111111111111");
        assert_eq!(made, format!("tk_{}_{expected}", key.id()));
        assert_eq!(made.len(), TOKEN_LEN);
        assert_eq!(token(&key, "4111 1111-1111 1111"), made, "in groups it is the same number");
        assert_ne!(token(&key, "4111 1111 1111 111x"), token(&key, "411111111111111x"));
    }

    #[test]
    fn keys_have_names_and_never_show_themselves() {
        let (a, b) = (TokenKey::new(&[1; 32]).unwrap(), TokenKey::new(&[2; 40]).unwrap());
        assert_ne!(a, b);
        assert_ne!(token(&a, "x"), token(&b, "x"));
        assert_eq!(format!("{a:?}"), format!("TokenKey({})", a.id()));
        assert!(TokenKey::new(&[1; 31]).is_none());
    }

    #[test]
    fn what_is_a_token_already_stays() {
        let key = TokenKey::public();
        let made = key.token_of("4111111111111111");
        assert!(is_token(&made) && made.chars().all(|letter| !letter.is_ascii_digit()));
        assert_eq!(key.token_of(&made), made);
        for text in
            ["", "tk_", "4111111111111111", &made[1..], &made[..TOKEN_LEN - 1], &format!("{made}a")]
        {
            assert!(!is_token(text), "{text}");
        }
    }
}
