//! The at-rest key: it encrypts the digests of imported keys in the database. It is kept outside
//! the database, so that a copy of just the database cannot confirm a guess of an imported key.

use latchkey_model::random::{self, NoRandomness};
use std::fmt;

/// The instructions for operators on how to set an at-rest key; they follow a reason.
pub const HOW_TO: &str = "create an at-rest key with `latchkey at-rest-key generate FILE`, keep \
it outside the database and its backups, and set --at-rest-key-file (LATCHKEY_AT_REST_KEY_FILE), \
or LATCHKEY_AT_REST_KEY";

/// An at-rest key: 256 random bits, written as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct AtRestKey([u8; Self::LEN]);

impl AtRestKey {
    const LEN: usize = 32;

    /// Returns a new random key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut key = [0; Self::LEN];
        random::fill(&mut key)?;
        Ok(Self(key))
    }

    /// Parses the output of [`to_hex`](Self::to_hex). Returns `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; Self::LEN];
        hex::decode_to_slice(text, &mut key).ok()?;
        Some(Self(key))
    }

    /// Returns the key as 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Returns the key's bytes, to derive other keys from.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AtRestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The at-rest key in use and, while it is being replaced, the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtRestKeys {
    /// The key in use.
    pub current: Option<AtRestKey>,
    /// The key before it, which may have encrypted data in the database.
    pub old: Option<AtRestKey>,
}
