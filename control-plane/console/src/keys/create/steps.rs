//! Renders the four steps.

use latchkey_model::selection::Selection;
use latchkey_model::tier::Tier;
use latchkey_policy::limit::{Limits, Window};
use maud::{Markup, html};
use serde::Deserialize;

use super::draft::{Draft, Step};
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::failure::Failure;
use crate::grants::{self, Grantable, Role, Subaccount};
use crate::ip_rows::{self, IpEntry};
use crate::keys::{PATH, expiry, limit_field, tiers};
use crate::session::Session;
use crate::widgets::{csrf, error, general_error};

/// The options of a step.
#[derive(Default)]
pub(super) struct Choices {
    tiers: Vec<Tier>,
    /// `None` if the user may not list services.
    services: Option<Vec<Service>>,
    subaccounts: Vec<Subaccount>,
    /// True if the user may list all subaccounts.
    lists_subaccounts: bool,
    grantable: Grantable,
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Service {
    name: String,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Services {
    services: Vec<Service>,
}

impl Choices {
    pub(super) async fn of(session: &Session, step: Step) -> Result<Self, Failure> {
        let api = &session.api;
        let none = Self::default();
        Ok(match step {
            Step::Details => Self {
                tiers: tiers(session).await?,
                ..none
            },
            Step::Access => {
                let services = if session.me.may("account:services:read") {
                    Some(
                        api.get::<Services>("/v1/services?limit=1000")
                            .await?
                            .services,
                    )
                } else {
                    None
                };
                let grantable = grants::grantable(session).await?;
                let subaccounts = grants::subaccounts(session, &grantable).await?;
                Self {
                    services,
                    subaccounts,
                    lists_subaccounts: grants::lists_subaccounts(session),
                    grantable,
                    ..none
                }
            }
            Step::Roles => {
                let (grantable, roles) = (
                    grants::grantable(session).await?,
                    grants::roles(session).await?,
                );
                Self {
                    grantable,
                    roles,
                    ..none
                }
            }
            Step::Bounds => none,
        })
    }
}

pub(super) fn page(
    session: &Session,
    choices: &Choices,
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
            @for (name, value) in draft.beside(step) { input type="hidden" name=(name) value=(value); }
            h2 tabindex="-1" autofocus[refusal.is_none() && step != Step::Details] { (step.title()) }
            (general_error(refusal, shown_beside(step)))
            @match step {
                Step::Details => (details(choices, draft, refusal)),
                Step::Access => (access(choices, draft, refusal)),
                Step::Roles => (roles(choices, draft, refusal)),
                Step::Bounds => (bounds(draft, refusal)),
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
fn shown_beside(step: Step) -> &'static [&'static str] {
    match step {
        Step::Details => &["name", "description", "environment", "tier", "expires_at"],
        Step::Access => &["scope", "allowed_subaccounts"],
        Step::Roles => &["roles", "permissions"],
        Step::Bounds => &["allowed_ips", "denied_ips", "limits"],
    }
}

fn details(choices: &Choices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
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
                    option value=(tier.name) selected[tier.name == fields.text("tier")] { (tier.name) (in_words(tier.limits.0)) }
                }
            }
            span .help id="tier-help" { "The tier sets the key's limits, unless you set others in \
            the last step." }
            (error(refusal, "tier"))
        }
    }
}

fn in_words(limits: Limits) -> String {
    let each = |window: Window| Some(format!("{} {}", limits.get(window)?, per(window)));
    let limits: Vec<_> = Window::ALL.into_iter().filter_map(each).collect();
    if limits.is_empty() {
        String::new()
    } else {
        format!(": {}", limits.join(", "))
    }
}

/// Formats a window: `a minute`, `an hour`.
fn per(window: Window) -> String {
    format!(
        "{} {}",
        if window == Window::Hour { "an" } else { "a" },
        window.as_str()
    )
}

fn access(choices: &Choices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    html! {
        fieldset aria-describedby=[described(refusal, "scope", None)] {
            legend { "Services" }
            (error(refusal, "scope"))
            label .box {
                input type="radio" name="scope" value="all" checked[draft.chose("scope", "all", true)];
                "All services, including future ones"
            }
            label .box {
                input type="radio" id="scope-listed" name="scope" value="listed" checked[draft.chose("scope", "listed", false)];
                "Selected services"
            }
            @let services = choices.services.as_deref();
            div .grid {
                @for service in services.unwrap_or_default() {
                    label .box {
                        input type="checkbox" name="service" value=(service.name) data-chooses="scope-listed"
                            checked[draft.chose("service", &service.name, false)];
                        span { (service.name) @if let Some(text) = &service.description { span .help { (text) } } }
                    }
                }
                @if services.is_some_and(<[_]>::is_empty) { span .help { "No services are registered yet." } }
            }
            @if services.is_none() {
                label { "Service names"
                    input type="text" name="service" value=(draft.fields().text("service")) data-chooses="scope-listed"
                        autocapitalize="none" spellcheck="false" aria-describedby="service-help";
                    span .help #service-help { "Separate names with spaces. You cannot list \
                    services." }
                }
            }
        }
        fieldset aria-describedby=[described(refusal, "allowed_subaccounts", None)] {
            legend { "Subaccounts" }
            (error(refusal, "allowed_subaccounts"))
            label .box {
                input type="radio" name="subaccounts" value="all" checked[draft.chose("subaccounts", "all", true)];
                @match &choices.grantable.subaccounts {
                    Selection::All => "All subaccounts",
                    Selection::Listed(_) => "All subaccounts that you may act on",
                }
            }
            label .box {
                input type="radio" id="subaccounts-listed" name="subaccounts" value="listed"
                    checked[draft.chose("subaccounts", "listed", false)];
                "Selected subaccounts"
            }
            div .grid {
                @for one in choices.subaccounts.iter().filter(|one| choices.grantable.subaccounts.has(&one.subaccount_id)) {
                    label .box {
                        input type="checkbox" name="allowed_subaccounts" value=(one.subaccount_id) data-chooses="subaccounts-listed"
                            checked[draft.chose("allowed_subaccounts", &one.subaccount_id, false)];
                        span { (one.name) span .help { code { (one.subaccount_id) } } }
                    }
                }
                @if choices.subaccounts.is_empty() {
                    span .help { @if choices.lists_subaccounts { "There are no subaccounts." } @else { "You cannot list subaccounts." } }
                }
            }
        }
    }
}

fn roles(choices: &Choices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    let Choices {
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

fn bounds(draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    let fields = draft.fields();
    let entries = |list| ip_rows::read(list, fields);
    html! {
        h3 { "Addresses" }
        p .help {
            "With allow entries, the key works only from those addresses, and deny entries have \
             no effect. Without allow entries, it works from everywhere except the denied \
             addresses."
        }
        (list("allowed_ips", "Allow", &entries("allowed_ips"), refusal))
        (list("denied_ips", "Deny", &entries("denied_ips"), refusal))
        fieldset {
            legend { "Limits of this key" }
            span .help { "If empty, the tier's limit applies." }
            div .grid {
                @for window in Window::ALL {
                    @let name = limit_field(window);
                    label { "Requests " (per(window))
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

fn list(name: &str, legend: &str, entries: &[IpEntry], refusal: Option<&Refusal>) -> Markup {
    html! { fieldset { legend { (legend) } (ip_rows::editor(name, entries, refusal)) } }
}
