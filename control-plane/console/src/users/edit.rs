//! A user's page, which shows and changes their roles, permissions and state.

use axum::http::Method;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde_json::json;

use super::authority::{self, Authority};
use super::choices::Choices;
use super::view::User;
use super::{PATH, call, delete};
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::audit;
use crate::conflict;
use crate::done::{self, Changed, Done, Enforcement};
use crate::failure::Failure;
use crate::id::Id;
use crate::layout;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, error, general_error, time};

const SENTENCES: [(&str, &str); 4] = [
    (
        "created",
        "The user is added. Send them the password over a private channel",
    ),
    ("saved", "The changes are saved"),
    (
        "disabled",
        "The user and all of their API keys are disabled",
    ),
    ("enabled", "The user is enabled"),
];

/// The name of the box that must be ticked to disable a user.
const SURE: &str = "sure";

/// The form that was refused, with its error.
pub(super) enum Refused<'r> {
    Nothing,
    Edit(&'r Authority, &'r Refusal),
    State(&'r Refusal),
    Deletion(&'r Refusal),
}

pub(super) async fn page(session: Session, id: Id, done: Done) -> Result<Response, Failure> {
    show(&session, &id, &done, &Refused::Nothing).await
}

pub(super) async fn save(id: Id, Sent { session, fields }: Sent) -> Result<Response, Failure> {
    session.require("account:users:update", "change users")?;
    let authority = Authority::of_form(&fields);
    let user: User = session.api.get(&call(&id)).await?;
    let saved = match conflict::check(&fields, &user.held()) {
        Ok(()) => {
            session
                .api
                .send::<Changed>(Method::PATCH, &call(&id), &authority.body())
                .await
        }
        Err(refusal) => Err(refusal),
    };
    match saved {
        Ok(Changed { enforcement }) => Ok(to(&id, "saved", enforcement)),
        Err(refusal) if refusal.is_of_form() => {
            show(
                &session,
                &id,
                &Done::default(),
                &Refused::Edit(&authority, &refusal),
            )
            .await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

pub(super) async fn set_disabled(
    id: Id,
    Sent { session, fields }: Sent,
) -> Result<Response, Failure> {
    session.require("account:users:update", "change users")?;
    let disabled = fields.is_set("disabled");
    let edited = if disabled && !fields.is_set(SURE) {
        Err(Refusal::of_field(SURE, "Tick the box to confirm."))
    } else {
        session
            .api
            .send::<Changed>(Method::PATCH, &call(&id), &json!({ "disabled": disabled }))
            .await
    };
    match edited {
        Ok(Changed { enforcement }) => Ok(to(
            &id,
            if disabled { "disabled" } else { "enabled" },
            enforcement,
        )),
        Err(refusal) if refusal.is_of_form() => {
            show(&session, &id, &Done::default(), &Refused::State(&refusal)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn to(Id(id): &Id, done: &str, enforcement: Enforcement) -> Response {
    done::redirect(&format!("{PATH}/{id}"), done, Some(enforcement))
}

/// Renders the page, with an error at the form that was refused.
pub(super) async fn show(
    session: &Session,
    id: &Id,
    done: &Done,
    refused: &Refused<'_>,
) -> Result<Response, Failure> {
    let user: User = session.api.get(&call(id)).await?;
    let choices = Choices::of(session).await?;
    let (within, themselves) = (user.is_within(&choices), user.user_id == session.me.user_id);
    let content = html! {
        p { a href=(PATH) { "Users" } }
        h1 { (user.email) }
        (done.notice(&SENTENCES))
        (facts(&user, &choices))
        @if themselves { p { a href="/console/me" { "Change my password" } } }
        @if within && session.me.may("account:users:update") {
            (form(session, &user, &choices, refused))
            @if !themselves { (state(session, &user, refused)) }
        }
        @if within && !themselves && session.me.may("account:users:delete") {
            (delete::form(session, &user, refused))
        }
        @if !within && session.me.may("account:users:update") {
            p { "This user holds more than you do. Only someone who holds all of the user's \
            permissions can change them." }
        }
        (audit::recent_of(session, &user.user_id).await)
    };
    let status = match refused {
        Refused::Nothing => axum::http::StatusCode::OK,
        Refused::Edit(_, refusal) | Refused::State(refusal) | Refused::Deletion(refusal) => {
            refusal.status
        }
    };
    Ok((status, layout::page(session, PATH, &user.email, &content)).into_response())
}

fn facts(user: &User, choices: &Choices) -> Markup {
    html! {
        section .card aria-label="Details" {
            dl {
                dt { "State" } dd { (user.state()) }
                dt { "Id" } dd { code { (user.user_id) } }
                dt { "Roles" } dd { (user.roles()) }
                dt { "Additional permissions" } dd { (user.permissions()) }
                dt { "Subaccounts" } dd { (user.subaccounts(choices)) }
                dt { "Created" } dd { (time(&user.created_at)) }
            }
        }
    }
}

fn form(session: &Session, user: &User, choices: &Choices, refused: &Refused<'_>) -> Markup {
    let theirs = Authority::of_user(user, choices);
    let (authority, refusal) = match refused {
        Refused::Edit(authority, refusal) => (*authority, Some(*refusal)),
        _ => (&theirs, None),
    };
    html! {
        section .card {
            h2 { "Roles and permissions" }
            p { "They also limit all of the user's API keys: what a user loses, their keys lose \
            too." }
            (general_error(refusal, &authority::FIELDS))
            form method="post" action=(user.path()) {
                (csrf(session))
                (conflict::field(&user.held()))
                (authority.fields(choices, refusal))
                button type="submit" { "Save" }
            }
        }
    }
}

fn state(session: &Session, user: &User, refused: &Refused<'_>) -> Markup {
    let refusal = if let Refused::State(refusal) = refused {
        Some(*refusal)
    } else {
        None
    };
    html! {
        section .card {
            @if user.disabled { h2 { "Enable" } p { "They can log in again, and their API keys work again." } }
            @else { h2 { "Disable" } p { "They cannot log in, and their API keys are refused, until they are enabled again." } }
            (general_error(refusal, &[SURE]))
            form method="post" action={ (user.path()) "/disabled" } {
                (csrf(session))
                @if user.disabled { button type="submit" { "Enable the user" } }
                @else {
                    input type="hidden" name="disabled" value="true";
                    label .box {
                        input type="checkbox" name=(SURE) value="true" required data-enables="disable-button"
                            aria-invalid=[invalid(refusal, SURE)] aria-describedby=[described(refusal, SURE, None)];
                        "Refuse all of their API keys from now on"
                    }
                    (error(refusal, SURE))
                    button .danger #disable-button type="submit" { "Disable the user" }
                }
            }
        }
    }
}
