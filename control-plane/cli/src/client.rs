//! The client of the API.

use latchkey_model::random;
use reqwest::header::ETAG;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Value, json};

use super::arguments::Repeat;
use super::error::CommandError;
use super::query::Query;
use super::secret::Secret;

/// The length of a random `Idempotency-Key`.
const KEY_LEN: usize = 32;

/// A client of the API.
pub(super) struct Api {
    client: Client,
    url: Url,
    token: Secret,
    from: TokenSource,
}

/// The `data` of a response, with the entity tag of the resource if it has one.
pub(super) struct Tagged {
    pub(super) data: Value,
    pub(super) tag: Option<String>,
}

/// The source of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// The environment: a session token or an API key.
    Given,
    /// A session that was opened for this command.
    Opened,
    /// A session that `latchkey login` opened.
    Saved,
}

impl Api {
    pub(super) fn new(client: Client, url: Url, token: Secret, from: TokenSource) -> Self {
        Self {
            client,
            url,
            token,
            from,
        }
    }

    /// Returns the `data` of the response. `path` is the path after `/v1`, as segments.
    pub(super) async fn get(&self, path: &[&str], query: &Query) -> Result<Value, CommandError> {
        self.call(Method::GET, path, query, None).await
    }

    /// Returns the `data` of the response with its entity tag.
    pub(super) async fn get_tagged(&self, path: &[&str]) -> Result<Tagged, CommandError> {
        self.ask(Method::GET, path, &Query::default(), None, None)
            .await
    }

    pub(super) async fn post(
        &self,
        path: &[&str],
        query: &Query,
        body: &Value,
    ) -> Result<Value, CommandError> {
        self.call(Method::POST, path, query, Some(body)).await
    }

    /// Makes a call that has no second effect if it is repeated with the same `Idempotency-Key`,
    /// which is random if the caller gives none. If the response is lost, the call is repeated
    /// once.
    pub(super) async fn post_once(
        &self,
        path: &[&str],
        query: &Query,
        body: &Value,
        Repeat { idempotency_key }: &Repeat,
    ) -> Result<Value, CommandError> {
        let key = match idempotency_key {
            Some(key) => key.clone(),
            None => {
                random::base62(KEY_LEN).map_err(|error| CommandError::usage(error.to_string()))?
            }
        };
        let ask = || {
            self.ask(
                Method::POST,
                path,
                query,
                Some(body),
                Some(("Idempotency-Key", &key)),
            )
        };
        let answer = match ask().await {
            Err(CommandError::Unreachable { sent: true, .. }) => ask().await,
            answer => answer,
        };

        Ok(answer?.data)
    }

    pub(super) async fn put(
        &self,
        path: &[&str],
        query: &Query,
        body: &Value,
    ) -> Result<Value, CommandError> {
        self.call(Method::PUT, path, query, Some(body)).await
    }

    pub(super) async fn patch(
        &self,
        path: &[&str],
        query: &Query,
        body: &Value,
    ) -> Result<Value, CommandError> {
        self.call(Method::PATCH, path, query, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &[&str], query: &Query) -> Result<Value, CommandError> {
        self.call(Method::DELETE, path, query, None).await
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &Query,
        body: Option<&Value>,
    ) -> Result<Value, CommandError> {
        Ok(self.ask(method, path, query, body, None).await?.data)
    }

    /// Makes a call that is refused if the resource at `path` has another entity tag than `tag`.
    /// Without a tag it is not compared.
    pub(super) async fn call_if_match(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
        tag: Option<&str>,
    ) -> Result<Tagged, CommandError> {
        let header = tag.map(|tag| ("If-Match", tag));
        self.ask(method, path, &Query::default(), body, header)
            .await
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &Query,
        body: Option<&Value>,
        header: Option<(&str, &str)>,
    ) -> Result<Tagged, CommandError> {
        let request = self
            .client
            .request(method, address(&self.url, path)?)
            .query(query.pairs());
        let request = request.bearer_auth(self.token.expose());
        let request = match header {
            None => request,
            Some((name, value)) => request.header(name, value),
        };
        let request = match body {
            None => request,
            Some(body) => request.json(body),
        };

        match send(request).await {
            Err(CommandError::Refused { status: 401, .. }) if self.from == TokenSource::Saved => {
                Err(CommandError::LogInAgain)
            }
            answer => answer,
        }
    }

    /// Ends the session if it was opened for this command. If that fails, the session expires
    /// later.
    pub(super) async fn close(self) {
        if self.from == TokenSource::Opened {
            let _ = self.log_out().await;
        }
    }

    /// Ends the session.
    pub(super) async fn log_out(&self) -> Result<Value, CommandError> {
        self.delete(&["sessions", "current"], &Query::default())
            .await
    }
}

/// Opens a session and returns the `data` of the response, which contains the token.
pub(super) async fn log_in(
    client: &Client,
    url: &Url,
    email: &str,
    password: &Secret,
) -> Result<Value, CommandError> {
    let credentials = json!({ "email": email, "password": password });
    Ok(
        send(client.post(address(url, &["sessions"])?).json(&credentials))
            .await?
            .data,
    )
}

/// Returns the URL of `path` below `/v1`. Refuses empty segments, `.` and `..`, as normalizing the
/// URL would make them lead to another path.
fn address(base: &Url, path: &[&str]) -> Result<Url, CommandError> {
    if let Some(segment) = path
        .iter()
        .find(|segment| ["", ".", ".."].contains(segment))
    {
        return Err(CommandError::usage(format!(
            "\"{segment}\" is neither a name nor an id"
        )));
    }
    let mut url = base.clone();
    let segments = url.path_segments_mut().map(|mut segments| {
        segments.pop_if_empty().push("v1").extend(path);
    });
    segments.map_err(|()| CommandError::usage("--url: must be the address of an HTTP server"))?;

    Ok(url)
}

async fn send(request: RequestBuilder) -> Result<Tagged, CommandError> {
    let unreachable = |error: reqwest::Error| CommandError::Unreachable {
        url: error.url().map_or_else(String::new, ToString::to_string),
        sent: !error.is_connect() && !error.is_builder(),
        reason: chain(&error.without_url()),
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_redirection() {
        return Err(CommandError::refused(
            status.as_u16(),
            "the server redirects to another address, and redirects are not followed",
        ));
    }

    let tag = response
        .headers()
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
        .map(str::to_owned);
    let text = response.text().await.map_err(unreachable)?;
    let mut answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() && answer["status"] == "success" {
        return Ok(Tagged {
            data: answer["data"].take(),
            tag,
        });
    }

    Err(CommandError::refused(
        status.as_u16(),
        answer["error"].as_str().unwrap_or(NOT_FROM_API),
    ))
}

const NOT_FROM_API: &str = "the response is not from Latchkey's API";

/// Formats an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_are_escaped_in_urls() {
        for (base, path, url) in [
            ("http://a", ["keys", "key_1"], "http://a/v1/keys/key_1"),
            (
                "https://a:1/latchkey/",
                ["keys", "a/b?c#d e"],
                "https://a:1/latchkey/v1/keys/a%2Fb%3Fc%23d%20e",
            ),
            (
                "http://a",
                ["keys", "%2e%2e"],
                "http://a/v1/keys/%252e%252e",
            ),
        ] {
            assert_eq!(
                address(&Url::parse(base).unwrap(), &path).unwrap().as_str(),
                url
            );
        }

        for segment in ["", ".", ".."] {
            assert!(
                address(&Url::parse("http://a").unwrap(), &["keys", segment]).is_err(),
                "{segment}"
            );
        }
    }
}
