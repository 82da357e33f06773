//! The card with the form that revokes a key.

use maud::{Markup, html};

use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::keys::view::Key;
use crate::session::Session;
use crate::widgets::{csrf, error, general_error};

/// The name of the field for the key's name.
pub(in crate::keys) const NAME: &str = "name";

/// Renders the card with the form, and the error of a refused revocation.
pub(in crate::keys) fn card(session: &Session, key: &Key, refusal: Option<&Refusal>) -> Markup {
    html! {
        section .card id="revoke" aria-labelledby="revoke-title" {
            h2 id="revoke-title" { "Revoke" }
            p { "Every node refuses the key from then on. Revocation is permanent." }
            (general_error(refusal, &[NAME]))
            form method="post" action={ (key.path()) "/revoke" } {
                (csrf(session))
                label { "Type the key's name to confirm: " code .exact { (key.name) }
                    input type="text" name=(NAME) required autocomplete="off" autocapitalize="none" spellcheck="false"
                        data-text=(key.name) data-enables="revoke-button"
                        aria-invalid=[invalid(refusal, NAME)] aria-describedby=[described(refusal, NAME, None)];
                    (error(refusal, NAME))
                }
                button .danger type="submit" id="revoke-button" { "Revoke this key" }
            }
        }
    }
}
