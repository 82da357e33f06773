//! `/v1/explain`: the filter's verdict on a described request, with every check.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::explain::{DescribedRequest, Explanation, explain};
use latchkey_policy::verdict::Code;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Body, Params, Session};
use super::response::Answer;

const MAX_METHOD_LEN: usize = 64;
const MAX_HOST_LEN: usize = 512;
/// The maximum length of a path, in bytes. Envoy refuses longer ones.
const MAX_PATH_LEN: usize = 60 * 1024;

/// Explain a verdict
///
/// Returns the filter's verdict on the described request and every check on the way, computed by
/// the filter's own code. Nothing is counted.
#[utoipa::path(post, path = "/v1/explain", operation_id = "explainRequest", tag = "Keys",
    request_body = types::Question, security(("credential" = ["account:apikeys:read"])),
    responses(
        (status = 200, description = "The verdict and its steps.", body = Answer<types::Explanation>),
        (status = 404, description = "The account has no API key with the id `key_id`."),
    ))]
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    Body(question): Body<types::Question>,
) -> Result<Answer<types::Explanation>, ApiError> {
    caller.require("account:apikeys:read")?;
    params.finish()?;

    let mut request = described(question.request)?;
    if let Some(id) = &question.key_id {
        request.key = Some(app.store.key_digest(&caller.account_id, id).await?);
    }
    let digests = request.digests(&app.key_format);
    let facts = app
        .store
        .facts(&caller.account_id, &digests, app.clock.now())
        .await?;
    let explanation = explain(&facts, &request, &app.key_format);
    let explanation = explanation.map_err(ApiError::internal)?;
    Ok(Answer::ok("Request explained", view(&explanation)))
}

fn described(request: types::DescribedRequest) -> Result<DescribedRequest, ApiError> {
    let bounded = |field, text: &str, most| {
        let plain = !text.chars().any(|c| c.is_control());
        let reason = format_args!("must have at most {most} bytes, and no control characters");
        if text.len() <= most && plain {
            Ok(())
        } else {
            Err(ApiError::field(field, reason))
        }
    };
    bounded("request.method", &request.method, MAX_METHOD_LEN)?;
    bounded("request.host", &request.host, MAX_HOST_LEN)?;
    bounded("request.path", &request.path, MAX_PATH_LEN)?;
    let mut headers = BTreeMap::new();
    for (name, value) in request.headers {
        let field = format!("request.headers.{name}");
        if headers.insert(name.to_ascii_lowercase(), value).is_some() {
            return Err(ApiError::field(&field, "appears twice, in different case"));
        }
    }
    Ok(DescribedRequest {
        method: request.method,
        host: request.host,
        path: request.path,
        headers,
        source_address: request.source_address,
        key: None,
    })
}

fn view(Explanation { verdict, steps }: &Explanation) -> types::Explanation {
    let refusal = verdict
        .code
        .refusal(verdict.quota.as_ref().and_then(|quota| quota.refused_by));
    let refusal = refusal.map(|refusal| refusal.naming(verdict.word));
    let subaccount = verdict.entry.as_ref().zip(verdict.subaccount);
    let steps = steps.iter().map(|step| types::Step {
        check: step.check.as_str().to_owned(),
        outcome: match (step.check, step.passed) {
            (Code::Public, true) => "applies",
            (Code::Public, false) => "does_not_apply",
            (_, true) => "passed",
            (_, false) => "refused",
        }
        .to_owned(),
        compared: step.compared.clone(),
    });
    types::Explanation {
        code: verdict.code.as_str().to_owned(),
        passes: verdict.code.passes(),
        refusal: refusal.map(|refusal| types::Refusal {
            status: refusal.status,
            error: serde_json::from_str(&refusal.body).unwrap_or_default(),
            retry_after: refusal.retry_after,
        }),
        rule: verdict.rule,
        key_id: verdict
            .entry
            .as_ref()
            .map(|entry| entry.key_id().to_owned()),
        subaccount: subaccount
            .and_then(|(entry, at)| entry.policy.subaccount(at).map(str::to_owned)),
        steps: steps.collect(),
    }
}
