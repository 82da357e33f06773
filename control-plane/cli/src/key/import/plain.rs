//! Rows with the key itself: the key is replaced by its SHA-256, after an estimate of how hard it
//! is to guess, which the digest does not show.

use latchkey_policy::credential::may_be_imported;
use latchkey_policy::key::KeyDigest;
use serde_json::{Value, json};

use super::super::columns::{DIGEST, PLAIN};
use super::entropy;

/// A row in the API's form.
pub(super) struct ImportRow {
    pub(super) value: Value,
    /// The key itself, if it is known.
    plain: Option<String>,
}

impl ImportRow {
    pub(super) fn strength(&self) -> Strength {
        match &self.plain {
            None => Strength::Unknown,
            Some(key) if entropy::bits(key) < entropy::MIN_BITS => Strength::Weak,
            Some(_) => Strength::Enough,
        }
    }
}

/// The strength of a key against guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// The strength is unknown if only the digest is given.
    Unknown,
    Weak,
    Enough,
}

/// Replaces `key` by its digest. No error contains the key.
pub(super) fn hashed(mut row: Value) -> Result<ImportRow, String> {
    let plain = row
        .as_object_mut()
        .and_then(|fields| fields.remove(PLAIN))
        .filter(|key| !key.is_null());
    let Some(key) = plain else {
        return Ok(ImportRow {
            value: row,
            plain: None,
        });
    };

    let Value::String(key) = key else {
        return Err(format!("`{PLAIN}` must be text"));
    };
    if !may_be_imported(key.as_bytes()) || key.contains(',') {
        return Err(format!(
            "`{PLAIN}` must have 8 to 512 visible ASCII characters and no comma"
        ));
    }

    if row.get(DIGEST).is_some_and(|digest| !digest.is_null()) {
        return Err(format!(
            "`{PLAIN}` and `{DIGEST}` are both set: give only one of them"
        ));
    }

    row[DIGEST] = json!(format!("{:?}", KeyDigest::of(key.as_bytes())));
    Ok(ImportRow {
        value: row,
        plain: Some(key),
    })
}
