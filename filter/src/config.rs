//! The plugin's configuration: JSON, read whole, every error with the path of its field.
//!
//! | field | type | default | meaning |
//! |---|---|---|---|
//! | `control_plane.cluster` | string of at most 100 characters | required | the Envoy cluster of the control plane's stream |
//! | `control_plane.token` | string | required | the node token that the control plane expects |
//! | `key_prefix` | string | `"lk"` | what keys begin with |
//! | `credentials.headers` | list of header names | `["x-api-key"]` | headers that hold a key and nothing else |
//! | `credentials.bearer` | boolean | `true` | whether `Authorization: Bearer` holds one |
//! | `credentials.query` | string | none | the query parameter that does |
//! | `credentials.cookie` | string | none | the cookie that does |
//! | `credentials.forward` | boolean | `false` | whether the upstream gets the key |
//! | `identity_headers` | object | none | more headers for the upstream: `{"x-consumer-id": "key"}` |
//! | `max_staleness_seconds` | 1 to 31,536,000 | none | refuse with `not_ready` when the control plane was not heard from for longer |
//! | `shadow` | list of codes | none | these refusals are counted and logged, and the request passes |
//!
//! The outcome depends on nothing but the bytes, so that all of Envoy's threads come to the same one.

use crate::host::Nanos;
use latchkey_policy::identity::{self, Field};
use latchkey_policy::key::KeyFormat;
use latchkey_policy::verdict::Code;
use serde_json::{Map, Value};
use std::fmt;
use std::ops::RangeInclusive;

/// The SDK can pass on no longer name.
const MAX_CLUSTER_LEN: usize = 100;

const MAX_STALENESS_SECONDS: u64 = 365 * 24 * 3600;

/// What the operator set.
#[derive(Clone)]
pub struct Config {
    /// Where the stream goes.
    pub control_plane: ControlPlane,
    /// What keys look like.
    pub keys: KeyFormat,
    /// Where they are looked for.
    pub credentials: Places,
    /// Headers for the upstream besides the identity header.
    pub identity_headers: Vec<(String, Field)>,
    /// How long the snapshot is good for without a word from the control plane.
    pub max_staleness: Option<Nanos>,
    /// Verdicts that do not refuse.
    pub shadow: Vec<Code>,
    /// What to do wrong.
    #[cfg(feature = "fault")]
    pub fault: crate::fault::Fault,
}

/// The control plane, as seen from here.
#[derive(Clone)]
pub struct ControlPlane {
    /// An Envoy cluster.
    pub cluster: String,
    /// Presented on every stream. Never printed.
    pub token: String,
}

/// The places of a request in which a key may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Headers, in lower case.
    pub headers: Vec<String>,
    /// `Authorization: Bearer`.
    pub bearer: bool,
    /// A query parameter.
    pub query: Option<String>,
    /// A cookie.
    pub cookie: Option<String>,
    /// Whether the upstream gets what was found.
    pub forward: bool,
}

impl Default for Places {
    fn default() -> Self {
        Self { headers: vec!["x-api-key".to_owned()], bearer: true, query: None, cookie: None, forward: false }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Such as `control_plane.cluster`; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "configuration" } else { &self.path };
        write!(f, "{path}: {}", self.reason)
    }
}

impl Config {
    /// Reads the configuration, or tells all that is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let config = Self::read(bytes, &mut errors);
        config.filter(|_| errors.is_empty()).ok_or(errors)
    }

    fn read(bytes: &[u8], errors: &mut Vec<ConfigError>) -> Option<Self> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            errors.push(ConfigError { path: String::new(), reason: "is empty; it must be a JSON object".to_owned() });
            return None;
        }
        let value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(error) => {
                errors.push(ConfigError { path: String::new(), reason: format!("is not JSON: {error}") });
                return None;
            }
        };
        let mut root = Object::new(String::new(), value, errors)?;
        let control_plane = root.object("control_plane", errors).and_then(|mut object| {
            let cluster = object.string("cluster", errors);
            if cluster.as_ref().is_some_and(|cluster| cluster.len() > MAX_CLUSTER_LEN) {
                object.error("cluster", format!("must have at most {MAX_CLUSTER_LEN} characters"), errors);
            }
            let token = object.string("token", errors);
            object.finish(errors);
            Some(ControlPlane { cluster: cluster?, token: token? })
        });
        let keys = match root.optional_string("key_prefix", errors) {
            None => Some(KeyFormat::default()),
            Some(prefix) => match KeyFormat::new(&prefix) {
                Ok(format) => Some(format),
                Err(error) => {
                    root.error("key_prefix", error.to_string(), errors);
                    None
                }
            },
        };
        let credentials = match root.fields.remove("credentials") {
            None => Some(Places::default()),
            Some(value) => Object::new("credentials".to_owned(), value, errors).map(|object| places(object, errors)),
        };
        let identity_headers = match root.fields.remove("identity_headers") {
            None => Some(Vec::new()),
            Some(value) => {
                Object::new("identity_headers".to_owned(), value, errors).map(|object| identity_headers(object, errors))
            }
        };
        let max_staleness = root.optional_number("max_staleness_seconds", 1..=MAX_STALENESS_SECONDS, errors);
        let shadow = root.optional_strings("shadow", errors).unwrap_or_default();
        let shadow = shadow.iter().enumerate().filter_map(|(at, code)| {
            let found = Code::ALL.into_iter().find(|known| known.as_str() == code && known.can_be_shadowed());
            if found.is_none() {
                let known = Code::ALL.iter().filter(|code| code.can_be_shadowed()).map(|code| code.as_str());
                let known = known.collect::<Vec<_>>().join(", ");
                errors.push(ConfigError { path: format!("shadow[{at}]"), reason: format!("must be one of {known}") });
            }
            found
        });
        let shadow = shadow.collect();
        #[cfg(feature = "fault")]
        let fault = root.fields.remove("fault").map(crate::fault::Fault::read).unwrap_or_default();
        root.finish(errors);
        Some(Self {
            control_plane: control_plane?,
            keys: keys?,
            credentials: credentials?,
            identity_headers: identity_headers?,
            max_staleness: max_staleness.map(|seconds| seconds.saturating_mul(1_000_000_000)),
            shadow,
            #[cfg(feature = "fault")]
            fault,
        })
    }
}

fn places(mut object: Object, errors: &mut Vec<ConfigError>) -> Places {
    let default = Places::default();
    let headers = object.optional_strings("headers", errors).map(|names| {
        names.into_iter().enumerate().map(|(at, name)| object.header_name(&format!("headers[{at}]"), &name, errors))
    });
    let headers = headers.map_or(default.headers, Iterator::collect);
    let mut place = |field: &str| {
        let name = object.optional_string(field, errors)?;
        if !is_token(&name) {
            object.error(field, "must be a name of letters, digits and !#$&'*+-.^_`|~", errors);
        }
        Some(name)
    };
    let (query, cookie) = (place("query"), place("cookie"));
    let bearer = object.optional_bool("bearer", errors).unwrap_or(default.bearer);
    let forward = object.optional_bool("forward", errors).unwrap_or(default.forward);
    if headers.is_empty() && !bearer && query.is_none() && cookie.is_none() {
        errors.push(ConfigError { path: object.path.clone(), reason: "must name a place to look for keys".to_owned() });
    }
    object.finish(errors);
    Places { headers, bearer, query, cookie, forward }
}

fn identity_headers(object: Object, errors: &mut Vec<ConfigError>) -> Vec<(String, Field)> {
    let mut headers = Vec::new();
    for (name, value) in &object.fields {
        let header = object.header_name(name, name, errors);
        match Field::ALL.iter().find(|(field, _)| value.as_str() == Some(field)) {
            Some((_, field)) => headers.push((header, *field)),
            None => {
                let known = Field::ALL.map(|(field, _)| field).join(", ");
                object.error(name, format!("must be one of {known}"), errors);
            }
        }
    }
    headers
}

/// A token of RFC 9110, section 5.6.2, without the percent sign that a query would read as an escape.
fn is_token(name: &str) -> bool {
    let special = |byte| b"!#$&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}

/// A JSON object whose fields are taken out one by one.
struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Object {
    fn new(path: String, value: Value, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match value {
            Value::Object(fields) => Some(Self { path, fields }),
            other => {
                errors.push(ConfigError { path, reason: format!("must be an object, not {}", type_name(&other)) });
                None
            }
        }
    }

    fn path(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    fn error(&self, field: &str, reason: impl Into<String>, errors: &mut Vec<ConfigError>) {
        errors.push(ConfigError { path: self.path(field), reason: reason.into() });
    }

    fn object(&mut self, field: &str, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match self.fields.remove(field) {
            Some(value) => Self::new(self.path(field), value, errors),
            None => {
                self.error(field, "is required", errors);
                None
            }
        }
    }

    fn string(&mut self, field: &str, errors: &mut Vec<ConfigError>) -> Option<String> {
        if !self.fields.contains_key(field) {
            self.error(field, "is required", errors);
            return None;
        }
        let value = self.optional_string(field, errors)?;
        if value.is_empty() || value.chars().any(|c| !matches!(c, '!'..='~')) {
            self.error(field, "must be printable ASCII without blanks, and not empty", errors);
            return None;
        }
        Some(value)
    }

    fn optional_string(&mut self, field: &str, errors: &mut Vec<ConfigError>) -> Option<String> {
        match self.fields.remove(field)? {
            Value::String(value) => Some(value),
            other => {
                self.error(field, format!("must be a string, not {}", type_name(&other)), errors);
                None
            }
        }
    }

    fn optional_bool(&mut self, field: &str, errors: &mut Vec<ConfigError>) -> Option<bool> {
        match self.fields.remove(field)? {
            Value::Bool(value) => Some(value),
            other => {
                self.error(field, format!("must be a boolean, not {}", type_name(&other)), errors);
                None
            }
        }
    }

    fn optional_number(
        &mut self,
        field: &str,
        range: RangeInclusive<u64>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<u64> {
        let value = self.fields.remove(field)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let reason = format!("must be a whole number from {} to {}", range.start(), range.end());
            self.error(field, reason, errors);
        }
        number
    }

    fn optional_strings(&mut self, field: &str, errors: &mut Vec<ConfigError>) -> Option<Vec<String>> {
        let value = self.fields.remove(field)?;
        let texts = |list: &Vec<Value>| list.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        let strings: Option<Vec<String>> = value.as_array().and_then(texts);
        if strings.is_none() {
            self.error(field, "must be a list of strings", errors);
        }
        strings
    }

    /// A header that the filter may read, set or remove, in lower case.
    fn header_name(&self, field: &str, name: &str, errors: &mut Vec<ConfigError>) -> String {
        let name_is = name.to_ascii_lowercase();
        if !is_token(name) {
            self.error(field, "must be the name of a header", errors);
        } else if ["authorization", "cookie", "host", identity::HEADER].contains(&name_is.as_str()) {
            self.error(field, "is a header that has another use", errors);
        }
        name_is
    }

    /// What is left is unknown.
    fn finish(self, errors: &mut Vec<ConfigError>) {
        for field in self.fields.keys() {
            self.error(field, "is unknown", errors);
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(json: &str) -> Vec<String> {
        match Config::parse(json.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_smallest_configuration_names_the_control_plane() {
        let config = Config::parse(br#"{"control_plane":{"cluster":"latchkey","token":"secret"}}"#).ok().unwrap();
        assert_eq!(config.control_plane.cluster, "latchkey");
        assert_eq!(config.control_plane.token, "secret");
        assert_eq!(config.keys, KeyFormat::default());
        assert_eq!(config.credentials, Places::default());
        assert_eq!(config.credentials.headers, ["x-api-key"]);
        assert!(config.credentials.bearer && !config.credentials.forward);
        assert_eq!((config.identity_headers.len(), config.max_staleness, config.shadow.len()), (0, None, 0));
    }

    #[test]
    fn everything_can_be_set() {
        let json = br#"{"control_plane":{"cluster":"c","token":"t"}, "max_staleness_seconds": 60,
            "credentials": {"headers":["X-Key","apikey"],"bearer":false,"query":"key","cookie":"k","forward":true},
            "identity_headers": {"X-Consumer-Id":"key","x-tier":"tier"}, "shadow": ["expired_key","ip_denied"]}"#;
        let config = Config::parse(json).ok().unwrap();
        let places = Places {
            headers: vec!["x-key".into(), "apikey".into()],
            bearer: false,
            query: Some("key".into()),
            cookie: Some("k".into()),
            forward: true,
        };
        assert_eq!(config.credentials, places);
        let headers = [("x-consumer-id".to_owned(), Field::Key), ("x-tier".to_owned(), Field::Tier)];
        assert_eq!(config.identity_headers, headers);
        assert_eq!(config.max_staleness, Some(60_000_000_000));
        assert_eq!(config.shadow, [Code::ExpiredKey, Code::IpDenied]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let with = |more: &str| errors(&format!(r#"{{"control_plane":{{"cluster":"c","token":"t"}},{more}}}"#));
        assert_eq!(
            with(r#""credentials":{"headers":[],"bearer":false}"#),
            ["credentials: must name a place to look for keys"]
        );
        assert_eq!(
            with(r#""credentials":{"headers":["a b","Authorization"],"query":"a=b","cookie":7,"hide":true}"#),
            [
                "credentials.headers[0]: must be the name of a header",
                "credentials.headers[1]: is a header that has another use",
                "credentials.query: must be a name of letters, digits and !#$&'*+-.^_`|~",
                "credentials.cookie: must be a string, not a number",
                "credentials.hide: is unknown",
            ]
        );
        assert_eq!(
            with(r#""identity_headers":{"x-latchkey-identity":"key","x-id":"id"}"#),
            [
                "identity_headers.x-id: must be one of key, name, account, user, tier, env",
                "identity_headers.x-latchkey-identity: is a header that has another use",
            ]
        );
        for seconds in ["0", "-1", "1.5", "\"60\"", "31536001"] {
            let told = with(&format!(r#""max_staleness_seconds":{seconds}"#));
            assert_eq!(told, ["max_staleness_seconds: must be a whole number from 1 to 31536000"]);
        }
        assert_eq!(with(r#""shadow":"expired_key""#), ["shadow: must be a list of strings"]);
        assert!(
            with(r#""shadow":["expired_key","not_ready"]"#)[0].starts_with("shadow[1]: must be one of missing_key, ")
        );
    }

    #[test]
    fn a_prefix_of_its_own() {
        let json = br#"{"control_plane":{"cluster":"c","token":"t"},"key_prefix":"vg"}"#;
        assert_eq!(Config::parse(json).ok().unwrap().keys, KeyFormat::new("vg").unwrap());
    }

    #[test]
    fn every_error_is_reported_at_once_with_its_path() {
        assert_eq!(
            errors(r#"{"control_plane":{"cluster":7,"token":"","url":"x"},"key_prefix":"L_K","prefix":"lk"}"#),
            [
                "control_plane.cluster: must be a string, not a number",
                "control_plane.token: must be printable ASCII without blanks, and not empty",
                "control_plane.url: is unknown",
                "key_prefix: must be 1 to 16 lower-case letters and digits, beginning with a letter",
                "prefix: is unknown",
            ]
        );
    }

    #[test]
    fn what_is_missing_or_no_object_is_told() {
        assert_eq!(errors("{}"), ["control_plane: is required"]);
        assert_eq!(
            errors(r#"{"control_plane":{}}"#),
            ["control_plane.cluster: is required", "control_plane.token: is required"]
        );
        assert_eq!(errors(r#"{"control_plane":null}"#), ["control_plane: must be an object, not null"]);
        assert_eq!(errors("[]"), ["configuration: must be an object, not an array"]);
        let long = format!(r#"{{"control_plane":{{"cluster":"{}","token":"t"}}}}"#, "c".repeat(101));
        assert_eq!(errors(&long), ["control_plane.cluster: must have at most 100 characters"]);
        assert_eq!(errors(" "), ["configuration: is empty; it must be a JSON object"]);
        assert!(errors("{")[0].starts_with("configuration: is not JSON: "));
        assert!(errors("\u{0}\u{ff}")[0].starts_with("configuration: is not JSON: "));
    }
}
