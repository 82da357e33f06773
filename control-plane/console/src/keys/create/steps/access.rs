//! The second step: the services and subaccounts.

use latchkey_model::selection::Selection;
use maud::{Markup, html};

use crate::api::Refusal;
use crate::aria::described;
use crate::keys::create::choices::StepChoices;
use crate::keys::create::draft::Draft;
use crate::widgets::error;

/// Renders the fields of the step.
pub(super) fn fields(choices: &StepChoices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    html! {
        (services(choices, draft, refusal))
        (subaccounts(choices, draft, refusal))
    }
}

fn services(choices: &StepChoices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    let services = choices.services.as_deref();
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
    }
}

fn subaccounts(choices: &StepChoices, draft: &Draft, refusal: Option<&Refusal>) -> Markup {
    let grantable = &choices.grantable.subaccounts;
    let offered = choices
        .subaccounts
        .iter()
        .filter(|subaccount| grantable.has(&subaccount.subaccount_id));

    html! {
        fieldset aria-describedby=[described(refusal, "allowed_subaccounts", None)] {
            legend { "Subaccounts" }
            (error(refusal, "allowed_subaccounts"))
            label .box {
                input type="radio" name="subaccounts" value="all" checked[draft.chose("subaccounts", "all", true)];
                @match grantable {
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
                @for subaccount in offered {
                    label .box {
                        input type="checkbox" name="allowed_subaccounts" value=(subaccount.subaccount_id) data-chooses="subaccounts-listed"
                            checked[draft.chose("allowed_subaccounts", &subaccount.subaccount_id, false)];
                        span { (subaccount.name) span .help { code { (subaccount.subaccount_id) } } }
                    }
                }
                @if choices.subaccounts.is_empty() {
                    span .help { @if choices.lists_subaccounts { "There are no subaccounts." } @else { "You cannot list subaccounts." } }
                }
            }
        }
    }
}
