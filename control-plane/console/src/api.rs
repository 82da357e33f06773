//! Calls the API for the console's pages, in this process and with the headers of the browser's
//! request.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header,
};
use latchkey_api_types::Success;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;
use tracing::error;

use crate::SelectExtensions;

/// The maximum size of a response to a page, in bytes.
const MAX_RESPONSE_LEN: usize = 64 << 20;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The API's router, which the pages call.
#[derive(Clone)]
pub(super) struct ApiRouter {
    router: Router,
    select_extensions: SelectExtensions,
}

/// The API on behalf of one request of a browser.
#[derive(Clone)]
pub(super) struct Api {
    api_router: ApiRouter,
    /// The extensions of the browser's request that are passed to the API.
    extensions: Extensions,
    forwarded_for: Vec<HeaderValue>,
    token: Option<String>,
}

/// An error response of the API.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Refusal {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// The error as a sentence.
    pub(super) error: String,
    /// The invalid field, if it is a single one.
    pub(super) field: Option<String>,
    /// The `Retry-After` header: the number of seconds until the next attempt.
    #[serde(skip)]
    pub(super) retry_after: Option<HeaderValue>,
}

impl Refusal {
    fn internal(reason: impl std::fmt::Display) -> Self {
        error!(%reason, "the console could not call the API");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "Something went wrong. The log of the control plane has the details.".to_owned(),
            field: None,
            retry_after: None,
        }
    }

    /// Returns the `Retry-After` header, if there is one.
    pub(super) fn retry_after_header(&self) -> Option<[(HeaderName, HeaderValue); 1]> {
        self.retry_after
            .clone()
            .map(|seconds| [(header::RETRY_AFTER, seconds)])
    }

    /// Creates an error about a field that the console found before calling the API.
    pub(super) fn for_field(field: &str, error: &str) -> Self {
        let field = Some(field.to_owned());
        Self {
            status: StatusCode::BAD_REQUEST,
            error: error.to_owned(),
            field,
            retry_after: None,
        }
    }

    /// Returns whether the error is shown at the form, because it is about the form's content.
    pub(super) fn is_about_form(&self) -> bool {
        self.status.is_client_error() && self.status != StatusCode::UNAUTHORIZED
    }

    /// Returns the sentence to show beside the field, without the field's name.
    pub(super) fn field_message(&self) -> String {
        let named = self
            .error
            .strip_prefix("Field `")
            .or_else(|| self.error.strip_prefix("Query parameter `"));
        let rest = named
            .and_then(|rest| rest.split_once("` "))
            .map_or(self.error.as_str(), |(_, rest)| rest);

        let mut letters = rest.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default()
    }

    /// Returns whether the error is about the field of that name, or a part of it.
    pub(super) fn is_about(&self, name: &str) -> bool {
        let rest = self
            .field
            .as_deref()
            .and_then(|field| field.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

impl ApiRouter {
    /// Returns the API of this `router`. `select_extensions` returns the extensions that its calls
    /// need.
    pub(super) fn new(router: Router, select_extensions: SelectExtensions) -> Self {
        Self {
            router,
            select_extensions,
        }
    }

    /// Returns the API for a request with these headers and extensions, and with the session's
    /// token if there is one.
    pub(super) fn for_request(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        token: Option<String>,
    ) -> Api {
        Api {
            api_router: self.clone(),
            // Only some of the extensions: the calls would mistake the page's path parameters for
            // their own.
            extensions: (self.select_extensions)(extensions),
            forwarded_for: headers.get_all(FORWARDED_FOR).iter().cloned().collect(),
            token,
        }
    }
}

impl Api {
    /// Makes a call and returns the response's data.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let bytes = self.call(Method::GET, path, Body::empty()).await?;
        read(&bytes)
    }

    /// Makes a call with a body and returns the response's data.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Refusal> {
        let bytes = self.call(method, path, self::body(body)?).await?;
        read(&bytes)
    }

    /// Makes a call without a body whose response has no data.
    pub(super) async fn send_empty(&self, method: Method, path: &str) -> Result<(), Refusal> {
        self.call(method, path, Body::empty()).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str, body: Body) -> Result<Vec<u8>, Refusal> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .map_err(Refusal::internal)?;

        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for value in &self.forwarded_for {
            headers.append(FORWARDED_FOR, value.clone());
        }
        if let Some(token) = &self.token {
            let mut bearer =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(Refusal::internal)?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        request.extensions_mut().extend(self.extensions.clone());

        let Ok(response) = self.api_router.router.clone().oneshot(request).await;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).cloned();
        let bytes = to_bytes(response.into_body(), MAX_RESPONSE_LEN)
            .await
            .map_err(Refusal::internal)?;
        if status.is_success() {
            return Ok(bytes.into());
        }

        let refusal: Refusal = serde_json::from_slice(&bytes).map_err(Refusal::internal)?;
        Err(Refusal {
            status,
            retry_after,
            ..refusal
        })
    }
}

fn body(body: &impl Serialize) -> Result<Body, Refusal> {
    serde_json::to_vec(body)
        .map(Body::from)
        .map_err(Refusal::internal)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes)
        .map(|Success { data, .. }| data)
        .map_err(Refusal::internal)
}

/// Returns a path with a query of the parameters that have a value.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let given: Vec<_> = parameters
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();

    match serde_urlencoded::to_string(&given) {
        Ok(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}
