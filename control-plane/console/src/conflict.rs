//! Detects that two people edit the same form: the form carries a fingerprint of its data, which
//! must still match when it is sent.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::api::Refusal;
use crate::form::Fields;

/// The name of the field with the fingerprint.
const FIELD: &str = "was";

/// Renders the field with the fingerprint of the data that a form shows.
pub(super) fn field(data: &impl Serialize) -> Markup {
    html! { input type="hidden" name=(FIELD) value=(fingerprint(data)); }
}

/// Checks that the form was made of the current data, `now`.
pub(super) fn check(fields: &Fields, now: &impl Serialize) -> Result<(), Refusal> {
    if fields.text(FIELD) == fingerprint(now) {
        return Ok(());
    }
    Err(Refusal {
        status: StatusCode::CONFLICT,
        error:
            "Somebody else has changed this meanwhile, so nothing was saved. If you save again, \
             your version replaces theirs."
                .to_owned(),
        field: None,
        retry_after: None,
    })
}

fn fingerprint(data: &impl Serialize) -> String {
    // Data that cannot be serialized has an empty fingerprint.
    serde_json::to_vec(data)
        .map(|json| hex::encode(Sha256::digest(json)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_valid_for_initial_values() {
        let fields = |was: &str| {
            [(FIELD.to_owned(), was.to_owned())]
                .into_iter()
                .collect::<Fields>()
        };
        assert!(check(&fields(&fingerprint(&["a"])), &["a"]).is_ok());

        for (was, now) in [(fingerprint(&["a"]), ["b"]), (String::new(), ["a"])] {
            assert_eq!(
                check(&fields(&was), &now).unwrap_err().status,
                StatusCode::CONFLICT
            );
        }
    }
}
