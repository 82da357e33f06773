//! The part of forms with a user's roles, permissions and subaccounts.

use latchkey_model::selection::Selection;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::choices::Choices;
use super::view::User;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::form::Fields;
use crate::widgets::error;

/// The fields of the API whose errors this part shows.
pub(super) const FIELDS: [&str; 3] = ["roles", "permissions", "subaccounts"];

/// The chosen roles, permissions and subaccounts.
#[derive(Default)]
pub(super) struct Authority {
    roles: Vec<String>,
    /// The permissions that have a box.
    permissions: Vec<String>,
    /// All other permissions, one per line.
    patterns: String,
    subaccounts: Selection,
}

impl Authority {
    /// Reads the fields of a sent form.
    pub(super) fn from_form(fields: &Fields) -> Self {
        let all = |name| fields.all(name).map(str::to_owned).collect();
        let some = fields.text("subaccounts") == "some";

        Self {
            roles: all("roles"),
            permissions: all("permissions"),
            patterns: fields.text("patterns").to_owned(),
            subaccounts: if some {
                Selection::Listed(all("subaccount"))
            } else {
                Selection::All
            },
        }
    }

    /// Returns what the user holds.
    pub(super) fn from_user(user: &User, choices: &Choices) -> Self {
        let has_box = |permission: &String| choices.grantable.permissions.contains(permission);
        let (permissions, patterns): (Vec<_>, Vec<_>) =
            user.permissions.iter().cloned().partition(has_box);

        Self {
            roles: user.roles.clone(),
            permissions,
            patterns: patterns.join("\n"),
            subaccounts: user.subaccounts.clone(),
        }
    }

    /// Returns the API's fields.
    pub(super) fn body(&self) -> Value {
        let patterns = self.patterns.split_whitespace().map(str::to_owned);
        let permissions: Vec<_> = self.permissions.iter().cloned().chain(patterns).collect();
        json!({ "roles": self.roles, "permissions": permissions, "subaccounts": self.subaccounts })
    }

    /// Renders the fields.
    pub(super) fn fields(&self, choices: &Choices, refusal: Option<&Refusal>) -> Markup {
        html! {
            (self.role_boxes(choices, refusal))
            (self.permission_boxes(choices, refusal))
            (self.subaccount_boxes(choices, refusal))
        }
    }

    fn role_boxes(&self, choices: &Choices, refusal: Option<&Refusal>) -> Markup {
        html! {
            fieldset aria-describedby=[described(refusal, "roles", None)] {
                legend { "Roles" }
                (error(refusal, "roles"))
                div .grid {
                    @for role in choices.grantable_roles() {
                        label .box {
                            input type="checkbox" name="roles" value=(role.name) checked[self.roles.contains(&role.name)];
                            span {
                                (role.name)
                                span .help { (role.meaning()) " " code { (role.permissions.join(", ")) } }
                            }
                        }
                    }
                }
                @if choices.grantable_roles().next().is_none() {
                    p .help { "You cannot grant any role." }
                }
            }
        }
    }

    fn permission_boxes(&self, choices: &Choices, refusal: Option<&Refusal>) -> Markup {
        let open = !self.permissions.is_empty() || !self.patterns.is_empty();
        html! {
            fieldset {
                legend { "Additional permissions" }
                (error(refusal, "permissions"))
                details open[open || invalid(refusal, "permissions").is_some()] {
                    summary { "Permissions and patterns" }
                    div .grid {
                        @for permission in &choices.grantable.permissions {
                            label .box {
                                input type="checkbox" name="permissions" value=(permission)
                                    checked[self.permissions.contains(permission)];
                                code { (permission) }
                            }
                        }
                    }
                    label { "Others"
                        textarea .code .short name="patterns" rows="3" spellcheck="false"
                            aria-invalid=[invalid(refusal, "permissions")]
                            aria-describedby=[described(refusal, "permissions", Some("patterns-help"))] { (self.patterns) }
                        span .help #patterns-help { "One per line, such as " code { "dns:read" } " or " code { "dns:*" } "." }
                    }
                }
            }
        }
    }

    fn subaccount_boxes(&self, choices: &Choices, refusal: Option<&Refusal>) -> Markup {
        let chosen = self.subaccounts.listed();
        html! {
            fieldset aria-describedby=[described(refusal, "subaccounts", None)] {
                legend { "Subaccounts" }
                (error(refusal, "subaccounts"))
                @if choices.grantable.subaccounts == Selection::All {
                    label .box {
                        input type="radio" name="subaccounts" value="all" checked[chosen.is_none()];
                        "All, including future ones"
                    }
                }
                label .box {
                    input type="radio" #some-subaccounts name="subaccounts" value="some"
                        checked[chosen.is_some() || choices.grantable.subaccounts != Selection::All];
                    "Only these:"
                }
                div .grid {
                    @for subaccount in choices.grantable_subaccounts() {
                        label .box {
                            input type="checkbox" name="subaccount" value=(subaccount.subaccount_id)
                                checked[chosen.is_some_and(|chosen| chosen.contains(&subaccount.subaccount_id))]
                                data-chooses="some-subaccounts";
                            (subaccount.name)
                        }
                    }
                    @for deleted in chosen.unwrap_or_default().iter().filter(|id| !choices.has_subaccount(id)) {
                        label .box {
                            input type="checkbox" name="subaccount" value=(deleted) checked;
                            span { code { (deleted) } @if choices.lists_subaccounts { " " span .faint { "deleted" } } }
                        }
                    }
                }
            }
        }
    }
}
