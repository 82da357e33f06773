//! The cards of a user's page that have a form.

use maud::{Markup, html};

use super::authority::{self, Authority};
use super::choices::Choices;
use super::view::User;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::conflict;
use crate::session::Session;
use crate::widgets::{csrf, error, general_error};

/// The name of the box that must be ticked to disable a user.
pub(super) const SURE: &str = "sure";

/// The name of the field for the email address of a user to delete.
pub(super) const CONFIRM: &str = "confirm";

/// Renders the form for the roles, permissions and subaccounts. A refused form is shown as it was
/// sent, with its error.
pub(super) fn authority(
    session: &Session,
    user: &User,
    choices: &Choices,
    refused: Option<(&Authority, &Refusal)>,
) -> Markup {
    let current = Authority::from_user(user, choices);
    let (authority, refusal) = match refused {
        Some((authority, refusal)) => (authority, Some(refusal)),
        None => (&current, None),
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

/// Renders the form that disables or enables the user.
pub(super) fn state(session: &Session, user: &User, refusal: Option<&Refusal>) -> Markup {
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

/// Renders the form that deletes the user.
pub(super) fn deletion(session: &Session, user: &User, refusal: Option<&Refusal>) -> Markup {
    html! {
        section .card #delete {
            h2 { "Delete" }
            p { "Their API keys are revoked and their sessions end immediately. This is \
            permanent." }
            (general_error(refusal, &[CONFIRM]))
            form method="post" action={ (user.path()) "/delete#delete" } {
                (csrf(session))
                label { "Type " code { (user.email) } " to confirm"
                    input name=(CONFIRM) autocomplete="off" spellcheck="false" required
                        data-enables="delete-button" data-text=(user.email)
                        aria-invalid=[invalid(refusal, CONFIRM)]
                        aria-describedby=[described(refusal, CONFIRM, None)];
                    (error(refusal, CONFIRM))
                }
                button .danger #delete-button type="submit" { "Delete the user" }
            }
        }
    }
}
