//! The explain page: the verdict on a request, check by check.

pub(super) mod answer;
pub(super) mod question;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use crate::Page;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::failure::Failure;
use crate::form::Query;
use crate::layout;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, error, general_error};
use answer::Told;
use question::Question;

pub(super) const PATH: &str = "/console/explain";
const PERMISSION: &str = "account:apikeys:read";

pub(super) fn router() -> Router<Page> {
    Router::new().route(PATH, get(page).post(explain))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    key_id: String,
}

async fn page(session: Session, Query(asked): Query<Asked>) -> Result<Response, Failure> {
    session.require(PERMISSION, "explain requests")?;
    let question = Question {
        key_id: asked.key_id,
        ..Question::default()
    };
    Ok(show(&session, &question, None).into_response())
}

async fn explain(Sent { session, fields }: Sent) -> Result<Response, Failure> {
    let question = Question::of(&fields);
    let answer = question.ask(&session).await?;
    let status = answer
        .as_ref()
        .err()
        .map(|refusal| refusal.status)
        .unwrap_or_default();
    Ok((status, show(&session, &question, Some(&answer))).into_response())
}

fn show(
    session: &Session,
    question: &Question,
    answer: Option<&Result<Told, Refusal>>,
) -> impl IntoResponse + use<> {
    let refusal = answer.and_then(|answer| answer.as_ref().err());
    let content = html! {
        h1 { "Explain" }
        p { "Describe a request to see whether Envoy would let it pass, and why. Nothing is sent \
        or counted." }
        (form(session, question, refusal))
        @if let Some(Ok(told)) = answer { (told.shown(session)) }
    };
    layout::page(session, PATH, "Explain", &content)
}

fn form(session: &Session, question: &Question, refusal: Option<&Refusal>) -> Markup {
    let Question {
        key_id,
        headers,
        source_address,
        ..
    } = question;
    html! {
        (general_error(refusal, &question::FIELDS))
        form .card method="post" action={ (PATH) "#verdict" } {
            (csrf(session))
            label { "Key id " span .faint { "(optional)" }
                input name="key_id" value=(key_id) placeholder="key_…" autocomplete="off" spellcheck="false"
                    aria-invalid=[invalid(refusal, "key_id")]
                    aria-describedby=[described(refusal, "key_id", Some("key_id-help"))];
                span .help #key_id-help { "The key that makes the request. If empty, the key is \
                taken from the headers." }
                (error(refusal, "key_id"))
            }
            (question.line(refusal))
            label { "Headers " span .faint { "(optional)" }
                textarea .code .short name="headers" rows="4" spellcheck="false" placeholder="x-api-key: lk_live_…"
                    aria-invalid=[invalid(refusal, "request.headers")]
                    aria-describedby=[described(refusal, "request.headers", Some("headers-help"))] { (headers) }
                span .help #headers-help { "One per line, such as " code { "accept: text/html" } "." }
                (error(refusal, "request.headers"))
            }
            label { "Source address " span .faint { "(optional)" }
                input name="source_address" value=(source_address) placeholder="203.0.113.7" autocomplete="off"
                    aria-invalid=[invalid(refusal, "request.source_address")]
                    aria-describedby=[described(refusal, "request.source_address", Some("source_address-help"))];
                span .help #source_address-help { "The client address as Envoy trusts it, for the \
                key's IP lists." }
                (error(refusal, "request.source_address"))
            }
            button type="submit" { "Explain" }
        }
    }
}
