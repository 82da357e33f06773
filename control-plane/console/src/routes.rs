//! Routes: the rules with the requirements of requests, a box to try one, and the document to edit.

mod editor;
mod rules;

use axum::Router;
use axum::http::{HeaderMap, Method};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::ConsoleState;
use crate::api::Refusal;
use crate::error::PageError;
use crate::explain::form::ExplainForm;
use crate::explain::verdict::ExplainView;
use crate::flash::{self, Enforcement, Flash};
use crate::layout;
use crate::partial::is_partial;
use crate::session::{Session, VerifiedForm};
use crate::widgets::{csrf, general_error};
use editor::RuleDraft;

const PATH: &str = "/console/routes";
const TRY: &str = "/console/routes/try";

const CALL: &str = "/v1/routes";

const SENTENCES: [(&str, &str); 2] = [
    ("saved", "The rules are saved"),
    (
        "affected",
        "The rules are saved. Some of them do not apply to requests in their own spelling; they \
         are marked below",
    ),
];

/// The API's response to a saved document.
#[derive(Deserialize)]
struct SavedRoutes {
    affected_rules: Vec<Value>,
    enforcement: Enforcement,
}

/// The fields of the API that have a field in the try-it box.
const TRY_FIELDS: [&str; 3] = ["request.method", "request.host", "request.path"];

/// Returns the routes of the page and of its try-it box.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new()
        .route(PATH, get(page).post(save))
        .route(TRY, post(try_it))
}

async fn page(session: Session, flash: Flash) -> Result<Response, PageError> {
    let document: Value = session.api.get(CALL).await?;
    let page = RoutesPage {
        flash,
        ..RoutesPage::default()
    };
    Ok(page.render(&session, &document).into_response())
}

async fn save(VerifiedForm { session, fields }: VerifiedForm) -> Result<Response, PageError> {
    session.require("gateway:routes:update", "change the route rules")?;
    let current: Value = session.api.get(CALL).await?;
    let draft = RuleDraft::from_fields(&fields);

    let saved = match editor::check(&fields, &current).and_then(|()| draft.document()) {
        Ok(document) => {
            session
                .api
                .send::<SavedRoutes>(Method::PUT, CALL, &document)
                .await
        }
        Err(refusal) => Err(refusal),
    };

    match saved {
        Ok(SavedRoutes {
            affected_rules,
            enforcement,
        }) => {
            let word = if affected_rules.is_empty() {
                "saved"
            } else {
                "affected"
            };
            Ok(flash::redirect(PATH, word, Some(enforcement)))
        }
        Err(refusal) if refusal.is_about_form() => {
            let status = refusal.status;
            let page = RoutesPage {
                refused: Some((draft, refusal)),
                ..RoutesPage::default()
            };
            Ok((status, page.render(&session, &current)).into_response())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

async fn try_it(
    headers: HeaderMap,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    let form = ExplainForm::from_fields(&fields);
    let result = form.explain(&session).await?;
    if is_partial(&headers) {
        let part = try_box(&session, &form, Some(&result));
        return Ok(Html(part.into_string()).into_response());
    }

    let document: Value = session.api.get(CALL).await?;
    let page = RoutesPage {
        tried: Some((form, result)),
        ..RoutesPage::default()
    };
    Ok(page.render(&session, &document).into_response())
}

/// The notices, errors and results that a page shows in addition to the rules.
#[derive(Default)]
struct RoutesPage {
    flash: Flash,
    refused: Option<(RuleDraft, Refusal)>,
    tried: Option<(ExplainForm, Result<ExplainView, Refusal>)>,
}

impl RoutesPage {
    fn render(&self, session: &Session, document: &Value) -> Html<String> {
        let empty_form = ExplainForm::default();
        let (form, result) = match &self.tried {
            Some((form, result)) => (form, Some(result)),
            None => (&empty_form, None),
        };
        let refused = self
            .refused
            .as_ref()
            .map(|(draft, refusal)| (draft, refusal));

        let content = html! {
            h1 { "Routes" }
            (self.flash.notice(&SENTENCES))
            p { "What a request requires, by its method, host and path. The first rule that \
            matches applies, on every node." }
            (rules::table(document))
            @if session.user.may("account:apikeys:read") { (try_box(session, form, result)) }
            @if session.user.may("gateway:routes:update") {
                (editor::form(session, document, refused))
            }
        };
        layout::page(session, PATH, "Routes", &content)
    }
}

/// Renders the box that tries a request.
fn try_box(
    session: &Session,
    form: &ExplainForm,
    result: Option<&Result<ExplainView, Refusal>>,
) -> Markup {
    let refusal = result.and_then(|result| result.as_ref().err());
    html! {
        section #try .card {
            h2 { "Try it" }
            p { "See which rule applies to a request and what it requires. Nothing is sent." }
            (general_error(refusal, &TRY_FIELDS))
            form method="post" action={ (TRY) "#try" } hx-post=(TRY) hx-target="#try" hx-swap="outerHTML" {
                (csrf(session))
                (form.request_line(refusal))
                div .buttons {
                    button #try-button type="submit" { "Try" }
                    a href="/console/explain" { "Explain a request with a key" }
                }
            }
            div aria-live="polite" { @if let Some(Ok(view)) = result { (view.rule_summary()) } }
        }
    }
}
