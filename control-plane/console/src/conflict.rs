//! Detects that two people edit the same form: the form carries a fingerprint of its data, which
//! must still match when it is sent.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::api::Refusal;
use crate::form::Fields;

const WAS: &str = "was";

/// Renders the field with the fingerprint of the data that a form shows.
pub(super) fn field(of: &impl Serialize) -> Markup {
    html! { input type="hidden" name=(WAS) value=(fingerprint(of)); }
}

/// Checks that the form was made of the current data, `now`.
pub(super) fn check(fields: &Fields, now: &impl Serialize) -> Result<(), Refusal> {
    if fields.text(WAS) == fingerprint(now) {
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

fn fingerprint(of: &impl Serialize) -> String {
    // Data that cannot be serialized has an empty fingerprint.
    serde_json::to_vec(of)
        .map(|json| hex::encode(Sha256::digest(json)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_good_for_what_it_was_made_of() {
        let fields = |was: &str| {
            [(WAS.to_owned(), was.to_owned())]
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
