//! Adds the responses that calls share to the description of each: errors, and response headers.

use serde_json::{Map, Value, json};

/// Errors that calls share: status, name and description.
const REFUSALS: [(&str, &str, &str); 10] = [
    (
        "400",
        "Invalid",
        "The request is invalid; `field` names the field or parameter at fault.",
    ),
    (
        "401",
        "Unauthorized",
        "The credential is missing, invalid or expired.",
    ),
    (
        "403",
        "Forbidden",
        "The caller is not allowed to make this call.",
    ),
    (
        "404",
        "NotFound",
        "The account has no resource with this id.",
    ),
    (
        "412",
        "PreconditionFailed",
        "The resource has changed: its entity tag is not in `If-Match`.",
    ),
    ("413", "TooLarge", "The body exceeds the size limit."),
    (
        "415",
        "NotJson",
        "`Content-Type` is not `application/json`.",
    ),
    (
        "429",
        "TooManyRequests",
        "Too many requests. Try again later.",
    ),
    (
        "500",
        "Internal",
        "Internal error. The control plane's log has the details.",
    ),
    (
        "503",
        "Unavailable",
        "The request could not be completed now; try again later. With the code `outcome_unknown` \
        the change may still be made: check its result before you repeat the call.",
    ),
];

/// The headers about a caller's rate limit: header, name and description.
const QUOTA: [(&str, &str, &str); 3] = [
    (
        "X-RateLimit-Limit",
        "RateLimit",
        "The caller's limit of calls a minute, if any.",
    ),
    (
        "X-RateLimit-Remaining",
        "RateLimitRemaining",
        "The number of calls left in this minute.",
    ),
    (
        "X-RateLimit-Reset",
        "RateLimitReset",
        "The time at which the limit is reset, in Unix seconds.",
    ),
];

/// Completes all operations of `document`, so that an operation only has to state when an error
/// occurs, not its format.
pub(super) fn complete(document: &mut Value) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        let operations = item
            .as_object_mut()
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| value.as_object_mut());
        operations.for_each(|operation| complete_operation(path, operation));
    }
    if let Some(components) = document
        .get_mut("components")
        .and_then(Value::as_object_mut)
    {
        components.insert("headers".to_owned(), headers());
        components.insert("responses".to_owned(), responses());
    }
}

fn complete_operation(path: &str, operation: &mut Map<String, Value>) {
    let statuses = common(path, operation);
    let counted = statuses.contains(&"401");
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for (status, response) in responses
        .iter_mut()
        .filter_map(|(status, response)| Some((status, response.as_object_mut()?)))
    {
        if status.starts_with(['4', '5']) {
            refuse(status, response);
        } else {
            add_header(response, "X-Request-Id", "RequestId");
            if counted {
                QUOTA
                    .into_iter()
                    .for_each(|(header, name, _)| add_header(response, header, name));
            }
        }
    }
    for (status, name, _) in REFUSALS
        .into_iter()
        .filter(|(status, ..)| statuses.contains(status))
    {
        let reference = || json!({"$ref": format!("#/components/responses/{name}")});
        responses.entry(status).or_insert_with(reference);
    }
}

/// Returns the statuses of the errors that the operation shares with others of its kind.
fn common(path: &str, operation: &Map<String, Value>) -> Vec<&'static str> {
    let mut statuses = vec!["500", "503"];
    if path.starts_with("/v1/") {
        statuses.extend(["400", "429"]);
    }
    let permissions = operation
        .get("security")
        .and_then(|security| security.pointer("/0/credential"));
    if permissions.is_some() {
        // Calls without a required permission still refuse API keys for another service or another
        // address.
        statuses.extend(["401", "403"]);
    }
    if path.contains('{') {
        statuses.push("404");
    }
    let parameters = operation
        .get("parameters")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    if parameters
        .into_iter()
        .any(|parameter| parameter.get("name").is_some_and(|name| name == "If-Match"))
    {
        statuses.push("412");
    }
    if operation.contains_key("requestBody") {
        statuses.extend(["413", "415"]);
    }
    statuses
}

fn responses() -> Value {
    let refusals = REFUSALS.into_iter().map(|(status, name, description)| {
        let mut response = Map::from_iter([("description".to_owned(), description.into())]);
        refuse(status, &mut response);
        (name.to_owned(), response.into())
    });
    Value::Object(refusals.collect())
}

/// Describes the format of an error response.
fn refuse(status: &str, response: &mut Map<String, Value>) {
    let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
    response.insert("content".to_owned(), content);
    add_header(response, "X-Request-Id", "RequestId");
    match status {
        "401" => add_header(response, "WWW-Authenticate", "Challenge"),
        "429" | "503" => add_header(response, "Retry-After", "RetryAfter"),
        _ => {}
    }
}

fn add_header(response: &mut Map<String, Value>, name: &str, component: &str) {
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    if let Some(headers) = headers.as_object_mut() {
        headers.insert(
            name.to_owned(),
            json!({"$ref": format!("#/components/headers/{component}")}),
        );
    }
}

fn headers() -> Value {
    let id = "The id of the request in the log: the client's own id if it is short and harmless, \
    or a new one.";
    let always = [
        (
            "RequestId",
            id,
            json!({"type": "string", "minLength": 1, "maxLength": 64}),
        ),
        (
            "Challenge",
            "How to authenticate.",
            json!({"type": "string", "pattern": "^Bearer"}),
        ),
        (
            "RetryAfter",
            "The number of seconds to wait before the next attempt.",
            json!({"type": "integer", "minimum": 0}),
        ),
    ];
    let always = always.map(|(name, description, schema)| {
        (
            name.to_owned(),
            json!({"description": description, "required": true, "schema": schema}),
        )
    });
    let quota = QUOTA.map(|(_, name, description)| {
        (
            name.to_owned(),
            json!({"description": description, "schema": {"type": "integer", "minimum": 0}}),
        )
    });
    Value::Object(always.into_iter().chain(quota).collect())
}
