//! The plugin's configuration: JSON, read whole, every error with the path of its field.
//!
//! | field | type | default | meaning |
//! |---|---|---|---|
//! | `control_plane.cluster` | string of at most 100 characters | required | the Envoy cluster of the control plane's stream |
//! | `control_plane.token` | string | required | the node token that the control plane expects |
//! | `key_prefix` | string | `"lk"` | what keys begin with |
//!
//! The outcome depends on nothing but the bytes, so that all of Envoy's threads come to the same one.

use latchkey_policy::key::KeyFormat;
use serde_json::{Map, Value};
use std::fmt;

/// The SDK can pass on no longer name.
const MAX_CLUSTER_LEN: usize = 100;

/// What the operator set.
#[derive(Clone)]
pub struct Config {
    /// Where the stream goes.
    pub control_plane: ControlPlane,
    /// What keys look like.
    pub keys: KeyFormat,
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
        #[cfg(feature = "fault")]
        let fault = root.fields.remove("fault").map(crate::fault::Fault::read).unwrap_or_default();
        root.finish(errors);
        Some(Self {
            control_plane: control_plane?,
            keys: keys?,
            #[cfg(feature = "fault")]
            fault,
        })
    }
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
