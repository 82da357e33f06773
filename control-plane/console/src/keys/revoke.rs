//! Revokes a key after the user has typed its name.

use axum::http::Method;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::json;

use super::show::{self, Notes};
use super::target::Target;
use super::view::Key;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::done::{self, Changed};
use crate::failure::Failure;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, error, general_error};

/// The field for the key's name.
const NAME: &str = "name";

pub(super) async fn revoke(
    target: Target,
    Sent { session, fields }: Sent,
) -> Result<Response, Failure> {
    let shown = target.shown(&session).await?;
    let revoked = if fields.text(NAME) == shown.key.name {
        target
            .call::<Changed>(&session, Method::DELETE, "", &json!({}))
            .await?
    } else {
        Err(Refusal::of_field(NAME, "This is not the name of the key."))
    };
    match revoked {
        Ok(Changed { enforcement }) => {
            Ok(done::redirect(&target.page(), "revoked", Some(enforcement)))
        }
        Err(refusal) => {
            let status = refusal.status;
            let notes = Notes {
                revocation: Some(refusal),
                ..Notes::default()
            };
            Ok((status, show::whole(&session, &target, &notes).await?).into_response())
        }
    }
}

/// Renders the form.
pub(super) fn card(session: &Session, key: &Key, refusal: Option<&Refusal>) -> Markup {
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
