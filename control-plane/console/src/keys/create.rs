//! Creates a key in four steps on one form: the page carries all fields from step to step, and
//! nothing is stored until the key is created.

mod choices;
mod draft;
mod steps;

use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::{PATH, secret};
use crate::api::Refusal;
use crate::error::PageError;
use crate::layout;
use crate::session::{Session, VerifiedForm};
use choices::StepChoices;
use draft::{Draft, Step};

/// The API's response to a new key.
#[derive(Deserialize)]
struct CreatedKey {
    key_id: String,
    name: String,
    api_key: String,
}

/// Shows the first step of a new draft.
pub(super) async fn page(session: Session, headers: HeaderMap) -> Result<Response, PageError> {
    show(&session, &headers, &Draft::default(), Step::Details, None).await
}

/// Shows the next or the previous step, or creates the key, by the pressed button.
pub(super) async fn submit(
    headers: HeaderMap,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    let step = Step::from_number(fields.text("step"));
    let button = fields.text("go").to_owned();
    let draft = Draft::new(fields);

    match button.as_str() {
        "back" => show(&session, &headers, &draft, step.previous(), None).await,
        "create" => create(&session, &headers, &draft).await,
        _ => match draft.check(step, session.now) {
            Ok(()) => show(&session, &headers, &draft, step.next(), None).await,
            Err(refusal) => show(&session, &headers, &draft, step, Some(&refusal)).await,
        },
    }
}

/// Creates the key and shows it, or the step with the error.
async fn create(
    session: &Session,
    headers: &HeaderMap,
    draft: &Draft,
) -> Result<Response, PageError> {
    match session
        .api
        .send::<CreatedKey>(Method::POST, "/v1/keys/generate", &draft.as_json())
        .await
    {
        Ok(key) => {
            let content = html! {
                h1 { "Your new key" }
                (secret::card(session.gateway.as_deref(), &key.name, &key.key_id, &key.api_key))
            };
            let page = layout::content(session, headers, PATH, "Your new key", &content);

            // The key's page, which a reload shows, does not contain the secret.
            Ok(([("hx-push-url", format!("{PATH}/{}", key.key_id))], page).into_response())
        }
        Err(refusal) if refusal.is_about_form() => {
            let step = refusal
                .field
                .as_deref()
                .and_then(Step::for_field)
                .unwrap_or(Step::LAST);
            show(session, headers, draft, step, Some(&refusal)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Shows a step, with the error of the draft if there is one.
async fn show(
    session: &Session,
    headers: &HeaderMap,
    draft: &Draft,
    step: Step,
    refusal: Option<&Refusal>,
) -> Result<Response, PageError> {
    session.require("account:apikeys:create", "create API keys")?;

    let choices = StepChoices::load(session, step).await?;
    let content = steps::page(session, &choices, draft, step, refusal);
    let status = refusal.map(|refusal| refusal.status).unwrap_or_default();

    let page = layout::content(session, headers, PATH, "Create a key", &content);
    Ok((status, page).into_response())
}
