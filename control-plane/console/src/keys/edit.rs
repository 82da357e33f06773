//! Edits the attributes of a key that can be changed, except its IP lists.

mod change;

use axum::http::Method;
use axum::response::{Html, IntoResponse, Redirect, Response};
use latchkey_policy::limit::{Limits, Window};
use maud::{Markup, html};
use serde_json::json;

use super::target_key::TargetKey;
use super::view::Key;
use super::{PATH, expiry, limit_field, tiers};
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::conflict;
use crate::error::PageError;
use crate::flash::{self, ChangeResponse};
use crate::form::Fields;
use crate::layout;
use crate::session::{Session, VerifiedForm};
use crate::widgets::{csrf, error, general_error};
use change::CurrentFields;

/// The fields that show their own errors.
const FIELDS: [&str; 6] = [
    "name",
    "description",
    "expires_at",
    "active",
    SURE,
    "limits",
];

/// The name of the box that must be ticked to disable a key.
const SURE: &str = "sure";

/// Shows the form, or the key's page if the key is revoked.
pub(super) async fn page(session: Session, target: TargetKey) -> Result<Response, PageError> {
    session.require("account:apikeys:update", "edit API keys")?;
    let key = target.load(&session).await?.key;
    if key.revoked_at.is_some() {
        return Ok(Redirect::to(&target.page()).into_response());
    }

    let inherited = inherited(&session, &key).await?;
    let current = CurrentFields::new(&key, inherited);
    Ok(form(&session, &key, inherited, &current, current.fields(), None).into_response())
}

/// Changes the key, or shows the form with the error.
pub(super) async fn save(
    target: TargetKey,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require("account:apikeys:update", "edit API keys")?;
    let key = target.load(&session).await?.key;
    let inherited = inherited(&session, &key).await?;
    let current = CurrentFields::new(&key, inherited);

    let change = conflict::check(&fields, current.fields()).and_then(|()| current.change(&fields));
    let change = change.and_then(|change| {
        if change.get("active") == Some(&json!(false)) && !fields.is_set(SURE) {
            return Err(Refusal::for_field(SURE, "Tick the box to disable the key."));
        }
        Ok(change)
    });

    let changed = match change {
        Ok(change) => {
            target
                .call::<ChangeResponse>(&session, Method::PATCH, "", &change)
                .await?
        }
        Err(refusal) => Err(refusal),
    };

    Ok(match changed {
        Ok(ChangeResponse { enforcement }) => {
            flash::redirect(&target.page(), "saved", Some(enforcement))
        }
        Err(refusal) => {
            let page = form(&session, &key, inherited, &current, &fields, Some(&refusal));
            (refusal.status, page).into_response()
        }
    })
}

/// Returns the limits that apply to a key without own limits: its tier's limits, within those of
/// its account's tier.
async fn inherited(session: &Session, key: &Key) -> Result<Limits, PageError> {
    let tiers = tiers(session).await?;
    let tier_limits = |name: &str| {
        tiers
            .iter()
            .find(|tier| tier.name == name)
            .map(|tier| tier.limits)
            .unwrap_or_default()
    };

    let limits = tier_limits(&key.tier).0;
    Ok(if session.user.operator {
        limits
    } else {
        tier_limits(&session.user.tier).bound(limits)
    })
}

/// Renders the form. `fields` are the sent fields, `current` those of the unchanged key.
fn form(
    session: &Session,
    key: &Key,
    inherited: Limits,
    current: &CurrentFields,
    fields: &Fields,
    refusal: Option<&Refusal>,
) -> Html<String> {
    let title = format!("Edit {}", key.name);

    let content = html! {
        nav aria-label="Where this is" { a href=(key.path()) { (key.name) } }
        h1 { (title) }
        (general_error(refusal, &FIELDS))
        form .card method="post" action={ (key.path()) "/edit" } {
            (csrf(session))
            (conflict::field(current.fields()))
            (texts(fields, refusal))
            (expiry::fieldset(fields, key.expires_at.as_deref(), refusal))
            (state(fields, refusal))
            (limits(inherited, fields, refusal))
            div .buttons {
                button type="submit" { "Save" }
                a href=(key.path()) { "Cancel" }
            }
        }
        p .help {
            "Edit the IP lists on " a href={ (key.path()) "/ip-lists" } { "a separate page" } ". \
             Scope, roles, permissions, subaccounts, environment and tier cannot be changed: \
             revoke the key and create another one."
        }
    };
    layout::page(session, PATH, &title, &content)
}

fn texts(fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    html! {
        label { "Name"
            input type="text" name="name" value=(fields.raw("name")) maxlength="100" required
                aria-invalid=[invalid(refusal, "name")] aria-describedby=[described(refusal, "name", None)];
            (error(refusal, "name"))
        }
        label { "Description"
            textarea name="description" rows="2" maxlength="500"
                aria-invalid=[invalid(refusal, "description")] aria-describedby=[described(refusal, "description", None)] {
                // Browsers ignore the first line break after the tag.
                "\n" (fields.raw("description"))
            }
            (error(refusal, "description"))
        }
    }
}

fn state(fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    html! {
        fieldset {
            legend { "State" }
            label .box {
                input type="checkbox" name="active" value="true" checked[fields.is_set("active")];
                "Enabled"
            }
            span .help { "A disabled key is refused and can be enabled again." }
            (error(refusal, "active"))
            @if invalid(refusal, SURE).is_some() {
                label .box {
                    input type="checkbox" name=(SURE) value="true" aria-invalid=[invalid(refusal, SURE)]
                        aria-describedby=[described(refusal, SURE, None)];
                    "Refuse all requests with this key from now on"
                }
                (error(refusal, SURE))
            }
        }
    }
}

fn limits(inherited: Limits, fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    html! {
        fieldset {
            legend { "Limits" }
            p .help { "Requests in each window. If empty, the tier's limit applies." }
            div .grid {
                @for window in Window::ALL {
                    @let name = limit_field(window);
                    label { "Per " (window.as_str())
                        input type="text" inputmode="numeric" name=(name) value=(fields.raw(&name))
                            placeholder=[inherited.get(window).map(|limit| format!("{limit} from its tier"))]
                            aria-invalid=[invalid(refusal, &name)] aria-describedby=[described(refusal, &name, None)];
                        (error(refusal, &name))
                    }
                }
            }
            @if refusal.is_some_and(|refusal| refusal.field.as_deref() == Some("limits")) { (error(refusal, "limits")) }
        }
    }
}
