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

use crate::Page;
use crate::api::Refusal;
use crate::done::{self, Done, Enforcement};
use crate::explain::answer::Told;
use crate::explain::question::Question;
use crate::failure::Failure;
use crate::layout;
use crate::partial::is_partial;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, general_error};
use editor::Edited;

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
struct Saved {
    affected_rules: Vec<Value>,
    enforcement: Enforcement,
}

/// The fields of the API that have a field in the try-it box.
const TRIED: [&str; 3] = ["request.method", "request.host", "request.path"];

pub(super) fn router() -> Router<Page> {
    Router::new()
        .route(PATH, get(page).post(save))
        .route(TRY, post(try_it))
}

async fn page(session: Session, done: Done) -> Result<Response, Failure> {
    let document: Value = session.api.get(CALL).await?;
    let shown = Shown {
        done,
        ..Shown::default()
    };
    Ok(shown.page(&session, &document).into_response())
}

async fn save(Sent { session, fields }: Sent) -> Result<Response, Failure> {
    session.require("gateway:routes:update", "change the route rules")?;
    let current: Value = session.api.get(CALL).await?;
    let edited = Edited::of(&fields);
    let saved = match editor::check(&fields, &current).and_then(|()| edited.document()) {
        Ok(document) => {
            session
                .api
                .send::<Saved>(Method::PUT, CALL, &document)
                .await
        }
        Err(refusal) => Err(refusal),
    };
    match saved {
        Ok(Saved {
            affected_rules,
            enforcement,
        }) => {
            let word = if affected_rules.is_empty() {
                "saved"
            } else {
                "affected"
            };
            Ok(done::redirect(PATH, word, Some(enforcement)))
        }
        Err(refusal) if refusal.is_of_form() => {
            let status = refusal.status;
            let shown = Shown {
                edited: Some((edited, refusal)),
                ..Shown::default()
            };
            Ok((status, shown.page(&session, &current)).into_response())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

async fn try_it(headers: HeaderMap, Sent { session, fields }: Sent) -> Result<Response, Failure> {
    let question = Question::of(&fields);
    let answer = question.ask(&session).await?;
    if is_partial(&headers) {
        return Ok(
            Html(box_to_try(&session, &question, Some(&answer)).into_string()).into_response(),
        );
    }
    let document: Value = session.api.get(CALL).await?;
    let shown = Shown {
        tried: Some((question, answer)),
        ..Shown::default()
    };
    Ok(shown.page(&session, &document).into_response())
}

/// The notices, errors and results that a page shows in addition to the rules.
#[derive(Default)]
struct Shown {
    done: Done,
    edited: Option<(Edited, Refusal)>,
    tried: Option<(Question, Result<Told, Refusal>)>,
}

impl Shown {
    fn page(&self, session: &Session, document: &Value) -> Html<String> {
        let nothing_asked = Question::default();
        let (question, answer) = match &self.tried {
            Some((question, answer)) => (question, Some(answer)),
            None => (&nothing_asked, None),
        };
        let content = html! {
            h1 { "Routes" }
            (self.done.notice(&SENTENCES))
            p { "What a request requires, by its method, host and path. The first rule that \
            matches applies, on every node." }
            (rules::table(document))
            @if session.me.may("account:apikeys:read") { (box_to_try(session, question, answer)) }
            @if session.me.may("gateway:routes:update") {
                (editor::form(session, document, self.edited.as_ref().map(|(edited, refusal)| (edited, refusal))))
            }
        };
        layout::page(session, PATH, "Routes", &content)
    }
}

fn box_to_try(
    session: &Session,
    question: &Question,
    answer: Option<&Result<Told, Refusal>>,
) -> Markup {
    let refusal = answer.and_then(|answer| answer.as_ref().err());
    html! {
        section #try .card {
            h2 { "Try it" }
            p { "See which rule applies to a request and what it requires. Nothing is sent." }
            (general_error(refusal, &TRIED))
            form method="post" action={ (TRY) "#try" } hx-post=(TRY) hx-target="#try" hx-swap="outerHTML" {
                (csrf(session))
                (question.line(refusal))
                div .buttons {
                    button #try-button type="submit" { "Try" }
                    a href="/console/explain" { "Explain a request with a key" }
                }
            }
            div aria-live="polite" { @if let Some(Ok(told)) = answer { (told.tried()) } }
        }
    }
}
