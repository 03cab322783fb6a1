//! Ed25519 keys in the PEM files that other tools read: PKCS#8 for the private one, SPKI for the public one.
//!
//! # Source
//! RFC 8032 (Ed25519), RFC 8410 (its place in PKCS#8 and SPKI).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _};
use thiserror::Error;

use crate::base::Digest;

/// What stands before the 32 bytes of a private key in PKCS#8.
const PRIVATE_HEAD: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// What stands before the 32 bytes of a public key in SPKI.
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// A key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it is no Ed25519 {0} key in PEM form")]
pub struct KeyError(&'static str);

/// A key that signs. Never shown.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SigningKey({}, ***)", self.public().id())
    }
}

impl SigningKey {
    /// The key of 32 random bytes.
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads a PEM file's text.
    ///
    /// # Errors
    /// It is no private key of this kind.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        unarmor(text, "PRIVATE KEY", &PRIVATE_HEAD)
            .map(|seed| Self::of_seed(&seed))
            .ok_or(KeyError("private"))
    }

    /// The text of its PEM file: a secret.
    pub fn to_pem(&self) -> String {
        armor("PRIVATE KEY", &PRIVATE_HEAD, &self.0.to_bytes())
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs.
    ///
    /// # Cost
    /// Some tens of microseconds.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// A key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Reads a PEM file's text.
    ///
    /// # Errors
    /// It is no public key of this kind.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let bytes = unarmor(text, "PUBLIC KEY", &PUBLIC_HEAD).ok_or(KeyError("public"))?;
        ed25519_dalek::VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| KeyError("public"))
    }

    /// The text of its PEM file.
    pub fn to_pem(&self) -> String {
        armor("PUBLIC KEY", &PUBLIC_HEAD, self.0.as_bytes())
    }

    /// By what checkpoints name it: the first 32 digits of the SHA-256 of its 32 bytes.
    pub fn id(&self) -> String {
        Digest::of(self.0.as_bytes()).short_hex()
    }

    /// Whether the key's owner signed this.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

fn armor(label: &str, head: &[u8], key: &[u8; 32]) -> String {
    let body = BASE64.encode([head, key].concat());
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn unarmor(text: &str, label: &str, head: &[u8]) -> Option<[u8; 32]> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    let bytes = BASE64.decode(body).ok()?;
    bytes.strip_prefix(head)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410, section 10.3, and the public key of section 10.1.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_have_the_form_of_the_standard() {
        let key = SigningKey::from_pem(PRIVATE).unwrap();
        assert_eq!((key.to_pem(), key.public().to_pem()), (PRIVATE.to_owned(), PUBLIC.to_owned()));
        assert_eq!(PublicKey::from_pem(PUBLIC), Ok(key.public()));
        assert!(SigningKey::from_pem(PUBLIC).is_err() && PublicKey::from_pem(PRIVATE).is_err());
        assert!(!format!("{key:?}").contains("1O5y"));
    }

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // RFC 8032, section 7.1, test 2: the message is the byte 72.
        let byte =
            |at: usize, text: &str| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap();
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let key = SigningKey::of_seed(&std::array::from_fn(|at| byte(at, seed)));
        let signature = key.sign(&[0x72]);
        assert_eq!(signature, std::array::from_fn(|at| byte(at, expected)));
        assert!(key.public().verifies(&[0x72], &signature));
        assert!(!key.public().verifies(&[0x73], &signature));
    }
}
