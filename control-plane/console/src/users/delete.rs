//! Deletes a user after their email address was typed.

use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

use super::edit::{Refused, show};
use super::view::User;
use super::{PATH, call};
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::done::{self, Changed, Done};
use crate::failure::Failure;
use crate::id::Id;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, error, general_error};

pub(super) async fn delete(id: Id, Sent { session, fields }: Sent) -> Result<Response, Failure> {
    session.require("account:users:delete", "delete users")?;
    let call = call(&id);
    let user: User = session.api.get(&call).await?;
    let deleted = if fields.text("confirm").eq_ignore_ascii_case(&user.email) {
        session
            .api
            .send::<Changed>(Method::DELETE, &call, &json!({}))
            .await
    } else {
        Err(Refusal::of_field(
            "confirm",
            "This is not the user's email address, so nothing has changed.",
        ))
    };
    match deleted {
        Ok(Changed { enforcement }) => Ok(done::redirect(PATH, "deleted", Some(enforcement))),
        Err(refusal) if refusal.is_of_form() => {
            show(
                &session,
                &id,
                &Done::default(),
                &Refused::Deletion(&refusal),
            )
            .await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

pub(super) fn form(session: &Session, user: &User, refused: &Refused<'_>) -> Markup {
    let refusal = if let Refused::Deletion(refusal) = refused {
        Some(*refusal)
    } else {
        None
    };
    html! {
        section .card #delete {
            h2 { "Delete" }
            p { "Their API keys are revoked and their sessions end immediately. This is \
            permanent." }
            (general_error(refusal, &["confirm"]))
            form method="post" action={ (user.path()) "/delete#delete" } {
                (csrf(session))
                label { "Type " code { (user.email) } " to confirm"
                    input name="confirm" autocomplete="off" spellcheck="false" required
                        data-enables="delete-button" data-text=(user.email)
                        aria-invalid=[invalid(refusal, "confirm")]
                        aria-describedby=[described(refusal, "confirm", None)];
                    (error(refusal, "confirm"))
                }
                button .danger #delete-button type="submit" { "Delete the user" }
            }
        }
    }
}
