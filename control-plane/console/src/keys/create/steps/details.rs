//! The first step: the name, description, expiry, environment and tier.

use latchkey_policy::limit::{Limits, Window};
use maud::{Markup, html};

use super::window_phrase;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::keys::create::choices::StepChoices;
use crate::keys::create::draft::Draft;
use crate::keys::expiry;
use crate::widgets::error;

/// Renders the fields of the step.
pub(super) fn fields(choices: &StepChoices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    let fields = draft.fields();
    html! {
        label { "Name"
            input type="text" name="name" value=(fields.raw("name")) maxlength="100" required autofocus[refusal.is_none()]
                aria-invalid=[invalid(refusal, "name")] aria-describedby=[described(refusal, "name", None)];
            (error(refusal, "name"))
        }
        label { "Description"
            input type="text" name="description" value=(fields.raw("description")) maxlength="500"
                placeholder="What uses the key, and who looks after it"
                aria-invalid=[invalid(refusal, "description")] aria-describedby=[described(refusal, "description", None)];
            (error(refusal, "description"))
        }
        (expiry::fieldset(fields, None, refusal))
        fieldset aria-describedby=[described(refusal, "environment", None)] {
            legend { "Environment" }
            (error(refusal, "environment"))
            @for (word, text) in [("live", "Live"), ("test", "Test")] {
                label .box {
                    input type="radio" name="environment" value=(word) checked[draft.chose("environment", word, word == "live")];
                    (text)
                }
            }
        }
        label { "Tier"
            select name="tier" aria-invalid=[invalid(refusal, "tier")]
                aria-describedby=[described(refusal, "tier", Some("tier-help"))] {
                option value="" { "The account's tier" }
                @for tier in &choices.tiers {
                    option value=(tier.name) selected[tier.name == fields.text("tier")] { (tier.name) (limits_phrase(tier.limits.0)) }
                }
            }
            span .help id="tier-help" { "The tier sets the key's limits, unless you set others in \
            the last step." }
            (error(refusal, "tier"))
        }
    }
}

/// Describes the limits of a tier, such as `: 100 a minute`; empty if there are none.
fn limits_phrase(limits: Limits) -> String {
    let each = |window: Window| Some(format!("{} {}", limits.get(window)?, window_phrase(window)));
    let limits: Vec<_> = Window::ALL.into_iter().filter_map(each).collect();
    if limits.is_empty() {
        String::new()
    } else {
        format!(": {}", limits.join(", "))
    }
}
