//! The setting `identity_headers`.

use super::ConfigError;
use super::object::Object;
use latchkey_policy::identity::{self, Field};
use latchkey_policy::names::{HeaderNames, is_spelling};

/// Reads the setting; no headers if it is absent.
pub(super) fn read(
    root: &mut Object,
    errors: &mut Vec<ConfigError>,
) -> Option<Vec<(String, Field)>> {
    match root.fields.remove("identity_headers") {
        None => Some(Vec::new()),
        Some(value) => Object::new("identity_headers".to_owned(), value, errors)
            .map(|object| headers(object, errors)),
    }
}

/// Reads the object: the name of each header, and the field that it holds.
fn headers(object: Object, errors: &mut Vec<ConfigError>) -> Vec<(String, Field)> {
    let mut headers = Vec::<(String, Field)>::new();
    for (name, value) in &object.fields {
        let header = object.header_name(name, name, errors);
        if header.contains('_') {
            object.error(
                name,
                "must not have an underscore, because some upstreams treat it as a hyphen",
                errors,
            );
        }

        let alike = |other: &&str| **other != header && is_spelling(other, header.as_bytes());
        if headers.iter().any(|(other, _)| *other == header) {
            object.error(name, "appears twice", errors);
        } else if let Some(other) = headers
            .iter()
            .map(|(other, _)| other.as_str())
            .chain([identity::HEADER])
            .find(alike)
        {
            object.error(
                name,
                format!("is the same as {other} to some upstreams"),
                errors,
            );
        }

        match Field::ALL
            .iter()
            .find(|(field, _)| value.as_str() == Some(field))
        {
            Some((_, field)) => headers.push((header, *field)),
            None => {
                let known = Field::ALL.map(|(field, _)| field).join(", ");
                object.error(name, format!("must be one of {known}"), errors);
            }
        }
    }
    headers
}

/// Returns the names that only the filter may set: these headers and the identity header.
pub(super) fn names(headers: &[(String, Field)]) -> HeaderNames {
    headers
        .iter()
        .map(|(name, _)| name.as_str())
        .chain([identity::HEADER])
        .collect()
}
