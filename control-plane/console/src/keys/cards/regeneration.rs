//! The card with the form that regenerates a key's secret.

use maud::{Markup, html};

use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::form::Fields;
use crate::keys::expiry;
use crate::keys::view::Key;
use crate::session::Session;
use crate::widgets::{csrf, error, general_error, time};

/// The name of the field for the overlap.
pub(in crate::keys) const OVERLAP: &str = "overlap_seconds";

/// The name of the field for the key's name, which is required if the old secrets end at once.
pub(in crate::keys) const CONFIRM: &str = "confirm";

/// The fields that show their own errors.
const FIELDS: [&str; 3] = [OVERLAP, CONFIRM, "expires_at"];

/// The overlaps to choose from, in seconds: how long the old secret stays valid.
const OVERLAPS: [(u32, &str); 5] = [
    (0, "None: every older secret ends at once"),
    (3_600, "1 hour"),
    (86_400, "24 hours"),
    (604_800, "7 days"),
    (2_592_000, "30 days"),
];

/// The default overlap, which gives callers time to change the secret.
const DEFAULT_OVERLAP: u32 = 86_400;

/// Renders the card with the form, and the error of a refused regeneration.
pub(in crate::keys) fn card(session: &Session, key: &Key, refusal: Option<&Refusal>) -> Markup {
    let path = format!("{}/regenerate", key.path());
    let previous = key
        .secrets
        .iter()
        .find_map(|secret| Some((&secret.key_prefix, secret.ends_at.as_deref()?)));

    html! {
        section .card id="regenerate" aria-labelledby="regenerate-title" {
            h2 id="regenerate-title" { "Regenerate" }
            p { "The key gets a new secret, which is shown once. All its other attributes stay \
            the same." }
            @if let Some((masked, ends_at)) = previous {
                p .notice .warn {
                    "The previous secret, " code { (masked) } ", is valid until " (time(ends_at))
                    ". Until then, regenerating without an overlap ends both at once. \
                     Regenerating with an overlap is refused, unless you created the newest \
                     secret within the last 10 minutes and it is unused: then a new one replaces \
                     it, and the previous secret keeps its end."
                }
            }
            (general_error(refusal, &FIELDS))
            form method="post" action=(path) hx-post=(path) hx-target="#content" hx-swap="innerHTML show:window:top"
                hx-disabled-elt="find button" {
                (csrf(session))
                @if key.has_expired(session.now) {
                    p { "The key has expired, so it needs a new expiry. Its old secret stays refused." }
                    (expiry::fieldset(&on_a_date(), key.expires_at.as_deref(), refusal))
                } @else {
                    label { "The current secret stays valid for"
                        select name=(OVERLAP) {
                            @for (seconds, text) in OVERLAPS { option value=(seconds) selected[seconds == DEFAULT_OVERLAP] { (text) } }
                        }
                        (error(refusal, OVERLAP))
                    }
                    label { "Key's name, to end every older secret at once"
                        input type="text" name=(CONFIRM) autocomplete="off" autocapitalize="none" spellcheck="false"
                            aria-invalid=[invalid(refusal, CONFIRM)] aria-describedby=[described(refusal, CONFIRM, None)];
                        (error(refusal, CONFIRM))
                    }
                }
                button .quiet type="submit" { "Regenerate the secret" }
            }
        }
    }
}

/// Returns the fields of an expiry whose date is not chosen yet.
fn on_a_date() -> Fields {
    [("expires".to_owned(), "date".to_owned())]
        .into_iter()
        .collect()
}
