//! Renders the form of a step.

mod access;
mod details;
mod restrictions;
mod roles;

use latchkey_policy::limit::Window;
use maud::{Markup, html};

use super::choices::StepChoices;
use super::draft::{Draft, Step};
use crate::api::Refusal;
use crate::keys::PATH;
use crate::session::Session;
use crate::widgets::{csrf, general_error};

/// Renders the page of a step.
pub(super) fn page(
    session: &Session,
    choices: &StepChoices,
    draft: &Draft,
    step: Step,
    refusal: Option<&Refusal>,
) -> Markup {
    html! {
        h1 { "Create a key" }
        ol .steps {
            @for each in Step::ALL {
                li aria-current=[(each == step).then_some("step")] { (each.title()) }
            }
        }
        form .card method="post" action={ (PATH) "/new" }
            hx-post={ (PATH) "/new" } hx-target="#content" hx-swap="innerHTML show:window:top" {
            (csrf(session))
            input type="hidden" name="step" value=(step.number());
            @for (name, value) in draft.other_fields(step) { input type="hidden" name=(name) value=(value); }
            h2 tabindex="-1" autofocus[refusal.is_none() && step != Step::Details] { (step.title()) }
            (general_error(refusal, own_error_fields(step)))
            @match step {
                Step::Details => (details::fields(choices, draft, refusal)),
                Step::Access => (access::fields(choices, draft, refusal)),
                Step::Roles => (roles::fields(choices, draft, refusal)),
                Step::Restrictions => (restrictions::fields(draft, refusal)),
            }
            div .buttons {
                // Enter presses the first button.
                @if step == Step::LAST {
                    button type="submit" name="go" value="create" { "Create the key" }
                } @else {
                    button type="submit" name="go" value="next" { "Next" }
                }
                @if step != Step::Details {
                    button .quiet type="submit" name="go" value="back" formnovalidate { "Back" }
                }
                a href=(PATH) { "Cancel" }
            }
        }
    }
}

/// Returns the fields of a step that show their own errors.
fn own_error_fields(step: Step) -> &'static [&'static str] {
    match step {
        Step::Details => &["name", "description", "environment", "tier", "expires_at"],
        Step::Access => &["scope", "allowed_subaccounts"],
        Step::Roles => &["roles", "permissions"],
        Step::Restrictions => &["allowed_ips", "denied_ips", "limits"],
    }
}

/// Formats a window: `a minute`, `an hour`.
fn window_phrase(window: Window) -> String {
    format!(
        "{} {}",
        if window == Window::Hour { "an" } else { "a" },
        window.as_str()
    )
}
