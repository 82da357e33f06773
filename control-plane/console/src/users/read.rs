//! Shows the page of a user.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::authority::Authority;
use super::choices::Choices;
use super::view::User;
use super::{PATH, call, cards};
use crate::api::Refusal;
use crate::audit;
use crate::error::PageError;
use crate::flash::Flash;
use crate::id::Id;
use crate::layout::{self, CURRENT_USER_PATH};
use crate::session::Session;
use crate::widgets::time;

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

/// The form that was refused, with its error.
pub(super) enum RefusedForm<'r> {
    None,
    Authority(&'r Authority, &'r Refusal),
    State(&'r Refusal),
    Deletion(&'r Refusal),
}

impl<'r> RefusedForm<'r> {
    fn status(&self) -> StatusCode {
        match self {
            Self::None => StatusCode::OK,
            Self::Authority(_, refusal) | Self::State(refusal) | Self::Deletion(refusal) => {
                refusal.status
            }
        }
    }

    fn authority(&self) -> Option<(&'r Authority, &'r Refusal)> {
        match *self {
            Self::Authority(authority, refusal) => Some((authority, refusal)),
            _ => None,
        }
    }

    fn state(&self) -> Option<&'r Refusal> {
        match *self {
            Self::State(refusal) => Some(refusal),
            _ => None,
        }
    }

    fn deletion(&self) -> Option<&'r Refusal> {
        match *self {
            Self::Deletion(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// Shows the page with the notice of the last change.
pub(super) async fn page(session: Session, id: Id, flash: Flash) -> Result<Response, PageError> {
    render(&session, &id, &flash, &RefusedForm::None).await
}

/// Renders the page, with an error at the form that was refused.
pub(super) async fn render_refused(
    session: &Session,
    id: &Id,
    refused: &RefusedForm<'_>,
) -> Result<Response, PageError> {
    render(session, id, &Flash::default(), refused).await
}

async fn render(
    session: &Session,
    id: &Id,
    flash: &Flash,
    refused: &RefusedForm<'_>,
) -> Result<Response, PageError> {
    let user: User = session.api.get(&call(id)).await?;
    let choices = Choices::load(session).await?;

    let is_within = user.is_within(&choices);
    let is_self = user.user_id == session.user.user_id;
    let can_update = session.user.may("account:users:update");
    let can_delete = session.user.may("account:users:delete");

    let content = html! {
        p { a href=(PATH) { "Users" } }
        h1 { (user.email) }
        (flash.notice(&SENTENCES))
        (details(&user, &choices))
        @if is_self { p { a href=(CURRENT_USER_PATH) { "Change my password" } } }
        @if is_within && can_update {
            (cards::authority(session, &user, &choices, refused.authority()))
            @if !is_self { (cards::state(session, &user, refused.state())) }
        }
        @if is_within && !is_self && can_delete {
            (cards::deletion(session, &user, refused.deletion()))
        }
        @if !is_within && can_update {
            p { "This user holds more than you do. Only someone who holds all of the user's \
            permissions can change them." }
        }
        (audit::recent_changes(session, &user.user_id).await)
    };
    let page = layout::page(session, PATH, &user.email, &content);
    Ok((refused.status(), page).into_response())
}

fn details(user: &User, choices: &Choices) -> Markup {
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
