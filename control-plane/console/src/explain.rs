//! The explain page: the verdict on a request, check by check.

pub(super) mod form;
pub(super) mod verdict;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use crate::ConsoleState;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::error::PageError;
use crate::form::Query;
use crate::layout;
use crate::session::{Session, VerifiedForm};
use crate::widgets::{csrf, error, general_error};
use form::ExplainForm;
use verdict::ExplainView;

/// The path of the page.
pub(super) const PATH: &str = "/console/explain";
const PERMISSION: &str = "account:apikeys:read";

/// Returns the route of the page.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new().route(PATH, get(page).post(explain))
}

/// The key whose requests are explained, as given in the address.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ExplainParams {
    key_id: String,
}

async fn page(
    session: Session,
    Query(params): Query<ExplainParams>,
) -> Result<Response, PageError> {
    session.require(PERMISSION, "explain requests")?;
    let form = ExplainForm {
        key_id: params.key_id,
        ..ExplainForm::default()
    };
    Ok(show(&session, &form, None).into_response())
}

async fn explain(VerifiedForm { session, fields }: VerifiedForm) -> Result<Response, PageError> {
    let form = ExplainForm::from_fields(&fields);
    let result = form.explain(&session).await?;
    let status = result
        .as_ref()
        .err()
        .map(|refusal| refusal.status)
        .unwrap_or_default();

    Ok((status, show(&session, &form, Some(&result))).into_response())
}

fn show(
    session: &Session,
    form: &ExplainForm,
    result: Option<&Result<ExplainView, Refusal>>,
) -> impl IntoResponse + use<> {
    let refusal = result.and_then(|result| result.as_ref().err());

    let content = html! {
        h1 { "Explain" }
        p { "Describe a request to see whether Envoy would let it pass, and why. Nothing is sent \
        or counted." }
        (render_form(session, form, refusal))
        @if let Some(Ok(view)) = result { (view.section(session)) }
    };
    layout::page(session, PATH, "Explain", &content)
}

fn render_form(session: &Session, form: &ExplainForm, refusal: Option<&Refusal>) -> Markup {
    let ExplainForm {
        key_id,
        headers,
        source_address,
        ..
    } = form;

    html! {
        (general_error(refusal, &form::FIELDS))
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
            (form.request_line(refusal))
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
