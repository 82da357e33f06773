//! Deletes a user after their email address was typed.

use axum::http::Method;
use axum::response::Response;
use serde_json::json;

use super::cards::CONFIRM;
use super::read::{self, RefusedForm};
use super::view::User;
use super::{PATH, call};
use crate::api::Refusal;
use crate::error::PageError;
use crate::flash::{self, ChangeResponse};
use crate::id::Id;
use crate::session::VerifiedForm;

/// Deletes the user, or shows their page with the error.
pub(super) async fn delete(
    id: Id,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require("account:users:delete", "delete users")?;
    let call = call(&id);
    let user: User = session.api.get(&call).await?;

    let deleted = if fields.text(CONFIRM).eq_ignore_ascii_case(&user.email) {
        session
            .api
            .send::<ChangeResponse>(Method::DELETE, &call, &json!({}))
            .await
    } else {
        Err(Refusal::for_field(
            CONFIRM,
            "This is not the user's email address, so nothing has changed.",
        ))
    };

    match deleted {
        Ok(ChangeResponse { enforcement }) => {
            Ok(flash::redirect(PATH, "deleted", Some(enforcement)))
        }
        Err(refusal) if refusal.is_about_form() => {
            read::render_refused(&session, &id, &RefusedForm::Deletion(&refusal)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}
