//! Tests the API's description, which must cover every call completely, and the page that shows it.

use crate::harness::{Answer, Plane};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use std::collections::BTreeSet;

/// A call in the API's description.
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) operation: Value,
}

impl Call {
    /// Returns the permissions that the call requires; `None` if it requires no credential.
    pub(crate) fn permissions(&self) -> Option<Vec<String>> {
        let scopes = self
            .operation
            .pointer("/security/0/credential")?
            .as_array()?;
        Some(
            scopes
                .iter()
                .map(|scope| scope.as_str().unwrap().to_owned())
                .collect(),
        )
    }
}

pub(crate) async fn description(plane: &Plane) -> Value {
    let answer = Answer::to(plane.request(Method::GET, "/openapi.json")).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.body
}

/// Returns every call of the description.
pub(crate) fn calls(description: &Value) -> Vec<Call> {
    let paths = description["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| Call {
                id: operation["operationId"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{method} {path} has no id"))
                    .to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                operation: operation.clone(),
            })
    });
    calls.collect()
}

#[tokio::test]
async fn every_call_is_fully_described() {
    let plane = Plane::start().await;
    let description = description(&plane).await;
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    let tags: BTreeSet<_> = description["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .map(text)
        .collect();
    let mut ids = BTreeSet::new();
    for call in calls(&description) {
        let (id, operation) = (&call.id, &call.operation);
        assert!(
            id.starts_with(|c: char| c.is_ascii_lowercase())
                && id.chars().all(char::is_alphanumeric),
            "{id}"
        );
        assert!(ids.insert(id.clone()), "{id} is the id of two calls");
        assert!(operation["summary"].is_string(), "{id} has no summary");
        for tag in operation["tags"].as_array().unwrap() {
            assert!(
                tags.contains(text(tag)),
                "{id} has the tag {tag}, which nothing is said of"
            );
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{id} cannot succeed"
        );
        assert!(
            responses.contains_key("500") && responses.contains_key("503"),
            "{id}"
        );
        let in_path = call.path.matches('{').count();
        assert!(in_path == 0 || responses.contains_key("404"), "{id}");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        assert_eq!(
            parameters
                .filter(|parameter| parameter["in"] == "path")
                .count(),
            in_path,
            "{id}"
        );
    }
}

#[tokio::test]
async fn every_reference_resolves() {
    let plane = Plane::start().await;
    let description = description(&plane).await;
    let mut unresolved = BTreeSet::new();
    visit(&description, &mut |value| {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
            return;
        };
        if description
            .pointer(reference.strip_prefix('#').unwrap())
            .is_none()
        {
            unresolved.insert(reference.to_owned());
        }
    });
    assert!(unresolved.is_empty(), "{unresolved:?}");
}

/// Checks that no body is described as open to other fields, as unknown fields are refused.
#[tokio::test]
async fn bodies_are_closed_to_unknown_fields() {
    let plane = Plane::start().await;
    let description = description(&plane).await;
    for call in calls(&description) {
        let Some(schema) = call
            .operation
            .pointer("/requestBody/content/application~1json/schema")
        else {
            continue;
        };
        let schema = match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => description
                .pointer(reference.strip_prefix('#').unwrap())
                .unwrap(),
            None => schema,
        };
        assert_eq!(
            schema["additionalProperties"], false,
            "{}: {schema}",
            call.id
        );
    }
}

/// Checks that a list of grantable permissions contains every permission that a call requires.
#[tokio::test]
async fn required_permissions_can_be_granted() {
    let plane = Plane::start().await;
    let description = description(&plane).await;
    let taken: BTreeSet<_> = calls(&description)
        .iter()
        .filter_map(Call::permissions)
        .flatten()
        .collect();
    let granted = plane
        .log_in()
        .await
        .get("/v1/keys/allowed-permissions")
        .await;
    let granted = granted.at("/data/permissions").as_array().unwrap();
    let granted = granted
        .iter()
        .map(|permission| text(permission).to_owned())
        .collect();
    let missing: Vec<_> = taken.difference(&granted).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn cached_description_is_not_sent_again() {
    let plane = Plane::start().await;
    let first = plane
        .request(Method::GET, "/openapi.json")
        .send()
        .await
        .unwrap();
    assert_eq!(first.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
    let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    let asked = async |etags: String| {
        let request = plane
            .request(Method::GET, "/openapi.json")
            .header(header::IF_NONE_MATCH, etags);
        request.send().await.unwrap().status()
    };
    assert_eq!(asked(etag.clone()).await, StatusCode::NOT_MODIFIED);
    assert_eq!(
        asked(format!("\"other\", {etag}")).await,
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(asked("\"other\"".to_owned()).await, StatusCode::OK);
}

#[tokio::test]
async fn documentation_page_loads_nothing_external() {
    let plane = Plane::start().await;
    let get = async |path: &str| {
        let response = plane.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; ")
                && !policy.contains("http"),
            "{policy}"
        );
        assert_eq!(
            response.headers()[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff"
        );
        response.text().await.unwrap()
    };
    // The address redirects to the page.
    let page = get("/docs").await;
    let named = |text: &str, before: &str| -> Vec<String> {
        text.split(before)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    };
    let files = [named(&page, "src=\""), named(&page, "href=\"")].concat();
    assert!(
        files
            .iter()
            .any(|file| file.ends_with("swagger-ui-bundle.js")),
        "{files:?}"
    );
    assert!(!page.contains("//"), "{page}");
    for file in &files {
        assert!(!file.starts_with('/') && !file.contains(':'), "{file}");
        assert!(
            !get(&format!("/docs/{}", file.trim_start_matches("./")))
                .await
                .is_empty()
        );
    }
    let start = get("/docs/swagger-initializer.js").await;
    assert_eq!(named(&start, "\"url\": \""), ["/openapi.json"]);
    assert_eq!(named(&start, "\"validatorUrl\": \""), ["none"]);
    assert!(!start.contains("://"), "{start}");
    for style in ["index.css", "swagger-ui.css"] {
        let style = get(&format!("/docs/{style}")).await;
        let urls = style
            .split("url(")
            .skip(1)
            .map(|rest| rest.trim_start_matches(['"', '\'']));
        assert!(urls.into_iter().all(|url| url.starts_with("data:")));
    }
}

#[tokio::test]
async fn documentation_files_are_one_route() {
    let plane = Plane::start().await;
    for file in ["swagger-ui.css", "index.css"] {
        plane
            .request(Method::GET, &format!("/docs/{file}"))
            .send()
            .await
            .unwrap();
    }
    Answer::to(plane.request(Method::GET, "/docs/none.js"))
        .await
        .refused(404, "not_found");
    let count = async |status| {
        plane
            .metric(&format!(
                r#"latchkey_http_requests_total{{route="/docs/{{*file}}",method="GET",status="{status}"}}"#
            ))
            .await
    };
    assert!(
        (count(200).await - 2.0).abs() < f64::EPSILON
            && (count(404).await - 1.0).abs() < f64::EPSILON
    );
}

fn visit(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Array(values) => values.iter().for_each(|value| visit(value, see)),
        Value::Object(fields) => fields.values().for_each(|value| visit(value, see)),
        _ => {}
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
