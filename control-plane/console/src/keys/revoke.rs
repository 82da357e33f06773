//! Revokes a key after the user has typed its name.

use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::cards::revocation::NAME;
use super::read::{self, Notices};
use super::target_key::TargetKey;
use crate::api::Refusal;
use crate::error::PageError;
use crate::flash::{self, ChangeResponse};
use crate::session::VerifiedForm;

/// Revokes the key, or shows its page with the error.
pub(super) async fn revoke(
    target: TargetKey,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    let key = target.load(&session).await?.key;

    let revoked = if fields.text(NAME) == key.name {
        target
            .call::<ChangeResponse>(&session, Method::DELETE, "", &json!({}))
            .await?
    } else {
        Err(Refusal::for_field(NAME, "This is not the name of the key."))
    };

    match revoked {
        Ok(ChangeResponse { enforcement }) => Ok(flash::redirect(
            &target.page(),
            "revoked",
            Some(enforcement),
        )),
        Err(refusal) => {
            let status = refusal.status;
            let notices = Notices {
                revocation: Some(refusal),
                ..Notices::default()
            };
            let page = read::render(&session, &target, &notices).await?;
            Ok((status, page).into_response())
        }
    }
}
