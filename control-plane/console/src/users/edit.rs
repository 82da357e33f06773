//! Changes a user's roles, permissions, subaccounts and state.

use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use super::authority::Authority;
use super::cards::SURE;
use super::read::{self, RefusedForm};
use super::view::User;
use super::{PATH, call};
use crate::api::Refusal;
use crate::conflict;
use crate::error::PageError;
use crate::flash::{self, ChangeResponse, Enforcement};
use crate::id::Id;
use crate::session::{Session, VerifiedForm};

/// Changes the user, or shows their page with the error.
pub(super) async fn save(
    id: Id,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require("account:users:update", "change users")?;
    let authority = Authority::from_form(&fields);
    let user: User = session.api.get(&call(&id)).await?;

    let saved = match conflict::check(&fields, &user.held()) {
        Ok(()) => change(&session, &id, &authority.body()).await,
        Err(refusal) => Err(refusal),
    };

    match saved {
        Ok(enforcement) => Ok(redirect(&id, "saved", enforcement)),
        Err(refusal) if refusal.is_about_form() => {
            let refused = RefusedForm::Authority(&authority, &refusal);
            read::render_refused(&session, &id, &refused).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Disables or enables the user, or shows their page with the error.
pub(super) async fn set_disabled(
    id: Id,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require("account:users:update", "change users")?;
    let disabled = fields.is_set("disabled");

    let changed = if disabled && !fields.is_set(SURE) {
        Err(Refusal::for_field(SURE, "Tick the box to confirm."))
    } else {
        change(&session, &id, &json!({ "disabled": disabled })).await
    };

    match changed {
        Ok(enforcement) => {
            let word = if disabled { "disabled" } else { "enabled" };
            Ok(redirect(&id, word, enforcement))
        }
        Err(refusal) if refusal.is_about_form() => {
            read::render_refused(&session, &id, &RefusedForm::State(&refusal)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Changes the user by a call of the API.
async fn change(session: &Session, id: &Id, body: &Value) -> Result<Enforcement, Refusal> {
    let ChangeResponse { enforcement } = session.api.send(Method::PATCH, &call(id), body).await?;
    Ok(enforcement)
}

/// Redirects to the user's page, which shows the notice of that word.
fn redirect(Id(id): &Id, word: &str, enforcement: Enforcement) -> Response {
    flash::redirect(&format!("{PATH}/{id}"), word, Some(enforcement))
}
