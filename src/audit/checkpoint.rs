//! A checkpoint: the service's word, signed, that the chain of an input partition stood so when a record was decided.
//!
//! The body is one JSON object whose last member is `signature`, in base64. Signed are the bytes of the same object without
//! that member: everything before `,"signature":"` and a closing brace. So whoever verifies needs no rules of how JSON is
//! written.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::key::{PublicKey, SigningKey};

/// The value of `schema`.
pub const SCHEMA: &str = "riskweir.checkpoint.v1";

/// What stands between what is signed and the signature.
const SEAM: &[u8] = br#","signature":""#;
/// What stands behind it.
const END: &[u8] = br#""}"#;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpoint {
    /// `riskweir.checkpoint.v1`.
    pub schema: String,
    /// Topic of the input.
    pub topic: String,
    /// Partition of the input.
    pub partition: i32,
    /// Offset of the record after which it stands so.
    pub offset: i64,
    /// Number of the chain's last audit record; 0 where there is none yet.
    pub seq: u64,
    /// SHA-256 of that record's body, hexadecimal; zeros where there is none.
    pub hash: String,
    /// Digest of all that the engine decided up to the record, hexadecimal. Engines with equal digests read the same
    /// records in the same order and answered alike.
    pub decisions: String,
    /// When it was signed, by the clock of the service, RFC 3339 UTC.
    pub time: String,
    /// The key, as [`PublicKey::id`] names it.
    pub key: String,
}

/// A checkpoint as it was found, and what was signed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What it says.
    pub says: Checkpoint,
    signed: Vec<u8>,
    signature: [u8; 64],
}

impl Checkpoint {
    /// Signs it: the body as it is written.
    pub fn seal(&self, key: &SigningKey) -> Vec<u8> {
        // WHY: texts and whole numbers always become JSON.
        let mut body = serde_json::to_vec(self).unwrap_or_default();
        let signature = BASE64.encode(key.sign(&body));
        body.pop();
        body.extend_from_slice(SEAM);
        body.extend_from_slice(signature.as_bytes());
        body.extend_from_slice(END);
        body
    }
}

impl Sealed {
    /// Reads a body; none where it has not the form of a checkpoint.
    pub fn read(body: &[u8]) -> Option<Self> {
        let at = memchr::memmem::rfind(body, SEAM)?;
        let (before, rest) = body.split_at_checked(at)?;
        let text = rest.strip_prefix(SEAM)?.strip_suffix(END)?;
        let signature = BASE64.decode(text).ok()?.try_into().ok()?;
        let signed = [before, b"}"].concat();
        let says: Checkpoint = serde_json::from_slice(&signed).ok()?;
        (says.schema == SCHEMA).then_some(Self { says, signed, signature })
    }

    /// Whether one of these keys signed it.
    pub fn is_by(&self, keys: &[PublicKey]) -> bool {
        keys.iter().any(|key| key.verifies(&self.signed, &self.signature))
    }
}
