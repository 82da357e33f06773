//! The last step: the IP lists and limits.

use latchkey_policy::limit::Window;
use maud::{Markup, html};

use super::window_phrase;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::ip_rows::{self, IpEntry};
use crate::keys::create::draft::Draft;
use crate::keys::limit_field;
use crate::widgets::error;

/// Renders the fields of the step.
pub(super) fn fields(draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    let fields = draft.fields();
    let entries = |list| ip_rows::read(list, fields);

    html! {
        h3 { "Addresses" }
        p .help {
            "With allow entries, the key works only from those addresses, and deny entries have \
             no effect. Without allow entries, it works from everywhere except the denied \
             addresses."
        }
        (ip_list("allowed_ips", "Allow", &entries("allowed_ips"), refusal))
        (ip_list("denied_ips", "Deny", &entries("denied_ips"), refusal))
        fieldset {
            legend { "Limits of this key" }
            span .help { "If empty, the tier's limit applies." }
            div .grid {
                @for window in Window::ALL {
                    @let name = limit_field(window);
                    label { "Requests " (window_phrase(window))
                        input type="text" inputmode="numeric" pattern="[0-9]*" name=(name) value=(fields.raw(&name))
                            aria-invalid=[invalid(refusal, &name)] aria-describedby=[described(refusal, &name, None)];
                        (error(refusal, &name))
                    }
                }
            }
            @if refusal.is_some_and(|refusal| refusal.field.as_deref() == Some("limits")) { (error(refusal, "limits")) }
        }
    }
}

fn ip_list(name: &str, legend: &str, entries: &[IpEntry], refusal: Option<&Refusal>) -> Markup {
    html! { fieldset { legend { (legend) } (ip_rows::editor(name, entries, refusal)) } }
}
