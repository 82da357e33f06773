//! The third step: the roles and permissions.

use maud::{Markup, html};

use crate::api::Refusal;
use crate::aria::described;
use crate::keys::create::choices::StepChoices;
use crate::keys::create::draft::Draft;
use crate::widgets::error;

/// Renders the fields of the step.
pub(super) fn fields(choices: &StepChoices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    let StepChoices {
        grantable, roles, ..
    } = choices;

    html! {
        p .help { "You can grant only what you hold yourself. A key never has more permissions \
        than its owner." }
        fieldset aria-describedby=[described(refusal, "roles", None)] {
            legend { "Roles" }
            (error(refusal, "roles"))
            div .grid {
                @for role in roles.iter().filter(|role| grantable.roles.contains(&role.name)) {
                    label .box {
                        input type="checkbox" name="roles" value=(role.name) checked[draft.chose("roles", &role.name, false)];
                        span {
                            (role.name)
                            span .help { (role.meaning()) " " code { (role.permissions.join(", ")) } }
                        }
                    }
                }
                @if grantable.roles.is_empty() { span .help { "You cannot grant any role." } }
            }
        }
        fieldset aria-describedby=[described(refusal, "permissions", None)] {
            legend { "Additional permissions" }
            (error(refusal, "permissions"))
            div .buttons .scripted {
                @for (verb, text) in [("read", "Read all"), ("write", "Write all"), ("delete", "Delete all")] {
                    button .quiet type="button" data-tick={ "[data-verb=" (verb) "]" } { (text) }
                }
            }
            div .grid {
                @for permission in &grantable.permissions {
                    label .box {
                        input type="checkbox" name="permissions" value=(permission) data-verb=(verb(permission))
                            checked[draft.chose("permissions", permission, false)];
                        code { (permission) }
                    }
                }
            }
        }
    }
}

/// Returns which of the three buttons ticks the permission: read, write or delete.
fn verb(permission: &str) -> &'static str {
    match permission.rsplit(':').next() {
        Some("read" | "list" | "get") => "read",
        Some("delete" | "purge") => "delete",
        _ => "write",
    }
}
