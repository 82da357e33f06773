//! Reading JSON objects field by field, with the path of each invalid field.

use super::{ConfigError, OTHER_USE};
use latchkey_policy::token::is_token;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// A JSON object whose fields are taken out one by one.
pub(super) struct Object {
    pub(super) path: String,
    pub(super) fields: Map<String, Value>,
}

impl Object {
    pub(super) fn new(path: String, value: Value, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match value {
            Value::Object(fields) => Some(Self { path, fields }),
            other => {
                errors.push(ConfigError {
                    path,
                    reason: format!("must be an object, not {}", type_name(&other)),
                });
                None
            }
        }
    }

    pub(super) fn path(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    pub(super) fn error(
        &self,
        field: &str,
        reason: impl Into<String>,
        errors: &mut Vec<ConfigError>,
    ) {
        errors.push(ConfigError {
            path: self.path(field),
            reason: reason.into(),
        });
    }

    pub(super) fn object(&mut self, field: &str, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match self.fields.remove(field) {
            Some(value) => Self::new(self.path(field), value, errors),
            None => {
                self.error(field, "is required", errors);
                None
            }
        }
    }

    pub(super) fn string(&mut self, field: &str, errors: &mut Vec<ConfigError>) -> Option<String> {
        if !self.fields.contains_key(field) {
            self.error(field, "is required", errors);
            return None;
        }

        let value = self.optional_string(field, errors)?;
        if !is_visible(&value) {
            self.error(
                field,
                "must be non-empty printable ASCII without spaces",
                errors,
            );
            return None;
        }
        Some(value)
    }

    pub(super) fn optional_string(
        &mut self,
        field: &str,
        errors: &mut Vec<ConfigError>,
    ) -> Option<String> {
        match self.fields.remove(field)? {
            Value::String(value) => Some(value),
            other => {
                self.error(
                    field,
                    format!("must be a string, not {}", type_name(&other)),
                    errors,
                );
                None
            }
        }
    }

    pub(super) fn optional_bool(
        &mut self,
        field: &str,
        errors: &mut Vec<ConfigError>,
    ) -> Option<bool> {
        match self.fields.remove(field)? {
            Value::Bool(value) => Some(value),
            other => {
                self.error(
                    field,
                    format!("must be a boolean, not {}", type_name(&other)),
                    errors,
                );
                None
            }
        }
    }

    pub(super) fn optional_number(
        &mut self,
        field: &str,
        range: RangeInclusive<u64>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<u64> {
        let value = self.fields.remove(field)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let reason = format!(
                "must be a whole number from {} to {}",
                range.start(),
                range.end()
            );
            self.error(field, reason, errors);
        }
        number
    }

    pub(super) fn optional_strings(
        &mut self,
        field: &str,
        errors: &mut Vec<ConfigError>,
    ) -> Option<Vec<String>> {
        let value = self.fields.remove(field)?;
        let texts = |list: &Vec<Value>| {
            list.iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        };
        let strings: Option<Vec<String>> = value.as_array().and_then(texts);
        if strings.is_none() {
            self.error(field, "must be a list of strings", errors);
        }
        strings
    }

    /// Returns the name of a header that the filter may read, set or remove, in lower case.
    pub(super) fn header_name(
        &self,
        field: &str,
        name: &str,
        errors: &mut Vec<ConfigError>,
    ) -> String {
        let name_is = name.to_ascii_lowercase();
        if !is_token(name.as_bytes()) || name.contains('%') {
            self.error(field, "must be the name of a header", errors);
        } else if OTHER_USE.contains(&name_is.as_str()) {
            self.error(field, "is a header with another use", errors);
        }
        name_is
    }

    /// Reports the remaining fields as unknown.
    pub(super) fn finish(self, errors: &mut Vec<ConfigError>) {
        for field in self.fields.keys() {
            self.error(field, "is unknown", errors);
        }
    }
}

/// Returns whether a text is printable ASCII without blanks, and not empty.
pub(super) fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| matches!(c, '!'..='~'))
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
