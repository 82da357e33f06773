//! Creates a key in four steps on one form: the page carries all fields from step to step, and
//! nothing is stored until the key is created.

mod draft;
mod steps;

use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use super::{PATH, secret};
use crate::api::Refusal;
use crate::failure::Failure;
use crate::layout;
use crate::session::{Sent, Session};
use draft::{Draft, Step};
use steps::Choices;

#[derive(Deserialize)]
struct Generated {
    key_id: String,
    name: String,
    api_key: String,
}

pub(super) async fn begin(session: Session, headers: HeaderMap) -> Result<Response, Failure> {
    show(&session, &headers, &Draft::default(), Step::Details, None).await
}

pub(super) async fn go_on(
    headers: HeaderMap,
    Sent { session, fields }: Sent,
) -> Result<Response, Failure> {
    let step = Step::numbered(fields.text("step"));
    let go = fields.text("go").to_owned();
    let draft = Draft::of(fields);
    match go.as_str() {
        "back" => show(&session, &headers, &draft, step.before(), None).await,
        "create" => create(&session, &headers, &draft).await,
        _ => match draft.check(step, session.now) {
            Ok(()) => show(&session, &headers, &draft, step.next(), None).await,
            Err(refusal) => show(&session, &headers, &draft, step, Some(&refusal)).await,
        },
    }
}

/// Shows the new key, or the step with the error.
async fn create(
    session: &Session,
    headers: &HeaderMap,
    draft: &Draft,
) -> Result<Response, Failure> {
    match session
        .api
        .send::<Generated>(Method::POST, "/v1/keys/generate", &draft.as_json())
        .await
    {
        Ok(key) => {
            let content = html! {
                h1 { "Your new key" }
                (secret::secret_card(session.gateway.as_deref(), &key.name, &key.key_id, &key.api_key))
            };
            let page = layout::content(session, headers, PATH, "Your new key", &content);
            // The key's page, which a reload shows, does not contain the secret.
            Ok(([("hx-push-url", format!("{PATH}/{}", key.key_id))], page).into_response())
        }
        Err(refusal) if refusal.is_of_form() => {
            let step = refusal
                .field
                .as_deref()
                .and_then(Step::of_field)
                .unwrap_or(Step::LAST);
            show(session, headers, draft, step, Some(&refusal)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

async fn show(
    session: &Session,
    headers: &HeaderMap,
    draft: &Draft,
    step: Step,
    refusal: Option<&Refusal>,
) -> Result<Response, Failure> {
    session.require("account:apikeys:create", "create API keys")?;
    let choices = Choices::of(session, step).await?;
    let content = steps::page(session, &choices, draft, step, refusal);
    let status = refusal.map(|refusal| refusal.status).unwrap_or_default();
    Ok((
        status,
        layout::content(session, headers, PATH, "Create a key", &content),
    )
        .into_response())
}
