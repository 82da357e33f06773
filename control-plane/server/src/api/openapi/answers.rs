//! What every call of a kind can be answered, added to what each says of itself: refusals, and the
//! headers of answers.

use serde_json::{Map, Value, json};

/// Refusals that look the same wherever they occur: status, name and description.
const REFUSALS: [(&str, &str, &str); 10] = [
    (
        "400",
        "Invalid",
        "The request says something that it may not say; `field` names what is to blame.",
    ),
    (
        "401",
        "Unauthorized",
        "There is no credential, or none that is good any more.",
    ),
    ("403", "Forbidden", "The caller may not do this."),
    ("404", "NotFound", "The account has nothing with this id."),
    (
        "412",
        "PreconditionFailed",
        "What there is has none of the entity tags in `If-Match`.",
    ),
    ("413", "TooLarge", "The body is too long."),
    ("415", "NotJson", "The body is not JSON by its own account."),
    (
        "429",
        "TooManyRequests",
        "There are too many requests. It may be tried again later.",
    ),
    (
        "500",
        "Internal",
        "It is our fault. The log of the control plane has the details.",
    ),
    (
        "503",
        "Unavailable",
        "It could not be completed now, and may be tried again later. With the code `outcome_unknown` a change may still be made: look whether it was.",
    ),
];

/// What a caller has left of their calls: header, name and description.
const QUOTA: [(&str, &str, &str); 3] = [
    (
        "X-RateLimit-Limit",
        "RateLimit",
        "How many calls the caller can make in a minute, if that is limited.",
    ),
    (
        "X-RateLimit-Remaining",
        "RateLimitRemaining",
        "How many of them are left.",
    ),
    (
        "X-RateLimit-Reset",
        "RateLimitReset",
        "When there are as many again, in Unix seconds.",
    ),
];

/// Completes all operations of `document`. Those that say of a refusal when it occurs need not say
/// what it looks like.
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

/// The statuses of the refusals that come with what the operation is.
fn common(path: &str, operation: &Map<String, Value>) -> Vec<&'static str> {
    let mut statuses = vec!["500", "503"];
    if path.starts_with("/v1/") {
        statuses.extend(["400", "429"]);
    }
    let permissions = operation
        .get("security")
        .and_then(|security| security.pointer("/0/credential"));
    if permissions.is_some() {
        // Where no permission is taken, there are API keys that are not for this service, or not
        // for that address.
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

/// Says what a refusal looks like.
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
    let id = "Names the request in the log: the client's own id if it is short and harmless, or a new one.";
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
            "In how many seconds it may be tried again.",
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
