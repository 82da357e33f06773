//! The form that describes a request to explain.

use axum::http::{Method, StatusCode};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::verdict::ExplainView;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::error::PageError;
use crate::form::Fields;
use crate::session::Session;
use crate::widgets::error;

/// The fields of the API that have a field in the form, which shows their errors.
pub(crate) const FIELDS: [&str; 6] = [
    "key_id",
    "request.method",
    "request.host",
    "request.path",
    "request.headers",
    "request.source_address",
];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The form's fields as they were typed.
#[derive(Debug, Default)]
pub(crate) struct ExplainForm {
    pub(super) key_id: String,
    pub(super) method: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) headers: String,
    pub(super) source_address: String,
}

impl ExplainForm {
    /// Reads the fields of a sent form.
    pub(crate) fn from_fields(fields: &Fields) -> Self {
        let text = |name| fields.text(name).to_owned();
        Self {
            key_id: text("key_id"),
            method: text("method"),
            host: text("host"),
            path: text("path"),
            headers: text("headers"),
            source_address: text("source_address"),
        }
    }

    /// Calls the API. Returns the verdict, or the error about a field of the form.
    pub(crate) async fn explain(
        &self,
        session: &Session,
    ) -> Result<Result<ExplainView, Refusal>, PageError> {
        let result = match self.body() {
            Ok(body) => session.api.send(Method::POST, "/v1/explain", &body).await,
            Err(refusal) => Err(refusal),
        };

        match result {
            // A missing key is an error of the field, not of the page.
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(Err(Refusal {
                field: Some("key_id".to_owned()),
                ..refusal
            })),
            Err(refusal) if refusal.status == StatusCode::BAD_REQUEST => Ok(Err(refusal)),
            Err(refusal) => Err(refusal.into()),
            Ok(view) => Ok(Ok(view)),
        }
    }

    fn body(&self) -> Result<Value, Refusal> {
        let headers = headers(&self.headers)
            .map_err(|error| Refusal::for_field("request.headers", &error))?;

        let mut request = Map::from_iter([("headers".to_owned(), Value::Object(headers))]);
        let fields = [
            ("method", &self.method),
            ("host", &self.host),
            ("path", &self.path),
            ("source_address", &self.source_address),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            request.insert(name.to_owned(), value.as_str().into());
        }

        let key_id = Some(&self.key_id).filter(|id| !id.is_empty());
        Ok(json!({ "key_id": key_id, "request": request }))
    }

    /// Renders the fields that route rules match.
    pub(crate) fn request_line(&self, refusal: Option<&Refusal>) -> Markup {
        let Self {
            method, host, path, ..
        } = self;

        html! {
            div .request {
                label { "Method"
                    input name="method" value=(if method.is_empty() { "GET" } else { method }) list="methods"
                        autocomplete="off" aria-invalid=[invalid(refusal, "request.method")]
                        aria-describedby=[described(refusal, "request.method", None)];
                    (error(refusal, "request.method"))
                }
                label { "Host"
                    input name="host" value=(host) placeholder="api.example.com" autocomplete="off" spellcheck="false" required
                        aria-invalid=[invalid(refusal, "request.host")] aria-describedby=[described(refusal, "request.host", None)];
                    (error(refusal, "request.host"))
                }
                label { "Path"
                    input name="path" value=(if path.is_empty() { "/" } else { path }) autocomplete="off"
                        spellcheck="false" aria-invalid=[invalid(refusal, "request.path")]
                        aria-describedby=[described(refusal, "request.path", None)];
                    (error(refusal, "request.path"))
                }
            }
            datalist #methods { @for method in METHODS { option value=(method) {} } }
        }
    }
}

/// Parses one header per line. Repeated headers are joined, as in HTTP.
fn headers(text: &str) -> Result<Map<String, Value>, String> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (index, line) in text
        .lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let number = index.saturating_add(1);

        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("Line {number} must be `name: value`."))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match headers.iter_mut().find(|(known, _)| *known == name) {
            _ if name.is_empty() => return Err(format!("Line {number} must be `name: value`.")),
            Some((_, values)) => *values = format!("{values}, {value}"),
            None => headers.push((name, value.to_owned())),
        }
    }

    Ok(headers
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_line_by_line() {
        let read = |text| headers(text).map(|headers| Value::Object(headers).to_string());
        assert_eq!(
            read("Accept: a\r\n\r\nx-b : c: d \naccept:e"),
            Ok(r#"{"accept":"a, e","x-b":"c: d"}"#.to_owned())
        );
        assert_eq!(read(""), Ok("{}".to_owned()));
        assert_eq!(
            read("accept: a\nnothing"),
            Err("Line 2 must be `name: value`.".to_owned())
        );
        assert_eq!(read(": a"), Err("Line 1 must be `name: value`.".to_owned()));
    }
}
