//! `/v1/explain`: the filter's verdict on a described request, with every check.

use axum::extract::State;
use latchkey_model::explain::{Described, Explanation, explain};
use latchkey_policy::verdict::Code;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::{self, ApiError};
use super::extract::{Body, Params, Session};
use super::openapi::texts;

const MAX_METHOD_LEN: usize = 64;
const MAX_HOST_LEN: usize = 512;
/// The maximum length of a path, in bytes. Envoy refuses longer ones.
const MAX_PATH_LEN: usize = 60 * 1024;

/// A description of a request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Question)]
pub(crate) struct Question {
    /// The key, if the headers do not contain it.
    #[schema(value_type = Option<texts::KeyId>)]
    key_id: Option<String>,
    request: Request,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DescribedRequest)]
struct Request {
    #[serde(default = "get")]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    method: String,
    /// The `:authority` header.
    #[serde(default)]
    #[schema(max_length = 512, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    host: String,
    /// The path with its query.
    #[serde(default = "root")]
    #[schema(max_length = 61440, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    path: String,
    /// One value for each name; join the values of a repeated header with commas.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The client address as Envoy trusts it.
    #[schema(value_type = Option<texts::IpAddress>)]
    source_address: Option<IpAddr>,
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(crate) struct Told {
    #[schema(value_type = texts::VerdictCode)]
    code: &'static str,
    passes: bool,
    /// The error response, if the request does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refusal: Option<RefusalView>,
    /// The number of the route rule that applies, from 1.
    #[schema(required, minimum = 1)]
    rule: Option<usize>,
    /// The key in the request, if the account has it.
    #[schema(required, value_type = Option<texts::KeyId>)]
    key_id: Option<String>,
    /// The subaccount that the request acts on.
    #[schema(required)]
    subaccount: Option<String>,
    steps: Vec<StepView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
struct RefusalView {
    #[schema(value_type = u64)]
    status: u32,
    #[schema(value_type = error::Body)]
    error: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Step)]
struct StepView {
    #[schema(value_type = texts::VerdictCode)]
    check: &'static str,
    /// `passed` or `refused`; for the first step `applies` or `does_not_apply`.
    outcome: &'static str,
    compared: String,
}

/// Explain a verdict
///
/// Returns the filter's verdict on the described request and every check on the way, computed by
/// the filter's own code. Nothing is counted.
#[utoipa::path(post, path = "/v1/explain", operation_id = "explainRequest", tag = "Keys",
    request_body = Question, security(("credential" = ["account:apikeys:read"])),
    responses(
        (status = 200, description = "The verdict and its steps.", body = Answer<Told>),
        (status = 404, description = "The account has no API key with the id `key_id`."),
    ))]
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
    Body(question): Body<Question>,
) -> Result<Answer<Told>, ApiError> {
    caller.require("account:apikeys:read")?;
    params.finish()?;
    let mut request = question.request.described()?;
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
    Ok(Answer::ok("Request explained", Told::of(&explanation)))
}

impl Request {
    fn described(self) -> Result<Described, ApiError> {
        let bounded = |field, text: &str, most| {
            let plain = !text.chars().any(|c| c.is_control());
            let reason = format_args!("must have at most {most} bytes, and no control characters");
            if text.len() <= most && plain {
                Ok(())
            } else {
                Err(ApiError::field(field, reason))
            }
        };
        bounded("request.method", &self.method, MAX_METHOD_LEN)?;
        bounded("request.host", &self.host, MAX_HOST_LEN)?;
        bounded("request.path", &self.path, MAX_PATH_LEN)?;
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers {
            let field = format!("request.headers.{name}");
            if headers.insert(name.to_ascii_lowercase(), value).is_some() {
                return Err(ApiError::field(&field, "appears twice, in different case"));
            }
        }
        Ok(Described {
            method: self.method,
            host: self.host,
            path: self.path,
            headers,
            source_address: self.source_address,
            key: None,
        })
    }
}

impl Told {
    fn of(Explanation { verdict, steps }: &Explanation) -> Self {
        let refusal = verdict
            .code
            .refusal(verdict.quota.as_ref().and_then(|quota| quota.refused_by));
        let refusal = refusal.map(|refusal| refusal.naming(verdict.word));
        let subaccount = verdict.entry.as_ref().zip(verdict.subaccount);
        let steps = steps.iter().map(|step| StepView {
            check: step.check.as_str(),
            outcome: match (step.check, step.passed) {
                (Code::Public, true) => "applies",
                (Code::Public, false) => "does_not_apply",
                (_, true) => "passed",
                (_, false) => "refused",
            },
            compared: step.compared.clone(),
        });
        Self {
            code: verdict.code.as_str(),
            passes: verdict.code.passes(),
            refusal: refusal.map(|refusal| RefusalView {
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
}
