//! The API's fields of users that pages show.

use latchkey_model::selection::Selection;
use latchkey_policy::permission::covers;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::PATH;
use super::choices::Choices;
use crate::widgets::badge;

/// A user.
#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) user_id: String,
    pub(super) email: String,
    pub(super) roles: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) subaccounts: Selection,
    pub(super) disabled: bool,
    pub(super) created_at: String,
}

impl User {
    /// Returns the path of the user's page.
    pub(super) fn path(&self) -> String {
        format!("{PATH}/{}", self.user_id)
    }

    /// Returns the editable roles, permissions and subaccounts of the user.
    pub(super) fn held(&self) -> impl Serialize {
        (&self.roles, &self.permissions, &self.subaccounts)
    }

    /// Renders whether the user is enabled.
    pub(super) fn state(&self) -> Markup {
        if self.disabled {
            badge("warn", "disabled")
        } else {
            badge("good", "enabled")
        }
    }

    /// Returns whether the logged-in user, whose `choices` these are, holds everything that this
    /// user holds. Only then can they change this user.
    pub(super) fn is_within(&self, choices: &Choices) -> bool {
        let held = choices.held();
        let given = choices.patterns_of(&self.roles, &self.permissions);
        given.is_some_and(|given| given.iter().all(|pattern| covers(&held, pattern)))
            && choices.grantable.subaccounts.has_all(&self.subaccounts)
    }

    /// Renders the names of the roles.
    pub(super) fn roles(&self) -> Markup {
        html! { @if self.roles.is_empty() { span .faint { "none" } } @else { (self.roles.join(", ")) } }
    }

    /// Renders the permissions.
    pub(super) fn permissions(&self) -> Markup {
        html! {
            @match &self.permissions[..] {
                [] => { span .faint { "none" } },
                [first, rest @ ..] => {
                    code { (first) }
                    @for permission in rest { ", " code { (permission) } }
                },
            }
        }
    }

    /// Renders the names of the subaccounts.
    pub(super) fn subaccounts(&self, choices: &Choices) -> Markup {
        match self.subaccounts.listed() {
            None => html! { "all" },
            Some([]) => html! { span .faint { "none" } },
            Some(ids) => {
                html! { (ids.iter().map(|id| choices.name_of(id)).collect::<Vec<_>>().join(", ")) }
            }
        }
    }
}
