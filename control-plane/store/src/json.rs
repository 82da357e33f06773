//! Columns that hold JSON.

use latchkey_model::authority::Authority;
use latchkey_model::selection::Selection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

pub(super) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged("a value that is no JSON"))
}

/// Parses a column. `what` is the expected content, for the error.
pub(super) fn from_json<T: DeserializeOwned>(
    text: &str,
    what: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged(what))
}

/// Encodes a selection as a list, or as NULL for all.
pub(super) fn listed_to_json(selection: &Selection) -> Result<Option<String>, StoreError> {
    selection.listed().map(|names| to_json(&names)).transpose()
}

/// The inverse of [`listed_to_json`].
pub(super) fn selection(column: Option<&str>) -> Result<Selection, StoreError> {
    Ok(column
        .map(|text| from_json::<Vec<String>>(text, "a list of names"))
        .transpose()?
        .into())
}

/// Returns the authority in the columns `roles` and `permissions`.
pub(super) fn authority(roles: &str, permissions: &str) -> Result<Authority, StoreError> {
    Ok(Authority {
        roles: from_json(roles, "a list of roles")?,
        permissions: from_json(permissions, "permissions")?,
    })
}
