//! Proof that audit records are what was written: signed checkpoints of their chains, and whoever checks both.
//!
//! A chain of digests alone can be rebuilt by whoever owns it, and cut at its end. So the service signs, with a key that
//! readers of the topics lack, which digest stands at which number ([`checkpoint`]); to verify needs the public key only
//! ([`verify`]). It knows bytes and nothing of brokers or files. Start reading at [`verify::Verifier`].

pub mod checkpoint;
pub mod key;
pub mod live;
pub mod outputs;
pub mod verify;

pub use checkpoint::Checkpoint;
pub use key::{KeyError, PublicKey, SigningKey};
pub use verify::{Problem, Report, Verifier};
