//! The expiry of a key in forms: never, or the end of a day in UTC.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::form::Fields;
use crate::widgets::{error, time};

/// The numbers of days that have a button.
const SHORTCUTS: [u32; 3] = [30, 60, 90];

const NAME: &str = "expires_at";

/// Renders the fields. `current` is the key's expiry, if it has one.
pub(super) fn fieldset(
    fields: &Fields,
    current: Option<&str>,
    refusal: Option<&Refusal>,
) -> Markup {
    let on_a_date = is_set(fields);
    html! {
        fieldset {
            legend { "Expires" }
            label .box { input type="radio" name="expires" value="never" checked[!on_a_date]; "Never" }
            label .box {
                input type="radio" id="on-a-date" name="expires" value="date" checked[on_a_date];
                "On a date"
            }
            div .row {
                label for=(NAME) .hidden { "Date" }
                input type="date" id=(NAME) name=(NAME) value=(fields.raw(NAME)) data-chooses="on-a-date"
                    aria-invalid=[invalid(refusal, NAME)]
                    aria-describedby=[described(refusal, NAME, Some("expires_at-help"))];
                @for days in SHORTCUTS {
                    button .quiet .scripted type="button" data-days=(days) data-sets=(NAME) { (days) " days" }
                }
                (error(refusal, NAME))
            }
            span .help id="expires_at-help" {
                "The key is refused from the end of that day, in UTC."
                @if let Some(end) = current { " Current expiry: " (time(end)) "." }
            }
        }
    }
}

/// Returns whether an expiry is chosen.
pub(super) fn is_set(fields: &Fields) -> bool {
    fields.text("expires") == "date"
}

/// Returns the end of the chosen day in UTC, in Unix seconds, if it is a valid day.
pub(super) fn end(fields: &Fields) -> Option<i64> {
    let day = fields.text(NAME);
    format!("{day}T23:59:59Z")
        .parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_second)
}
