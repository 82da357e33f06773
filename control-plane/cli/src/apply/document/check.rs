//! Checks the document as a whole, and normalizes names and rules like the API.

use latchkey_model::json::{self, Fault};
use latchkey_model::route_document::RouteDocument;
use latchkey_model::text::{normalized_email, normalized_name};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{Document, Key};
use crate::text::plain;

impl Document {
    /// Returns the document with names and rules normalized like the API's, or all its faults.
    pub(in crate::apply) fn check(mut self) -> Result<Self, Vec<String>> {
        for user in self.users.iter_mut().flatten() {
            user.email = normalized_email(&user.email);
        }

        let tiers = self.tiers.iter_mut().flatten();
        let services = self.services.iter_mut().flatten();
        let subaccounts = self.subaccounts.iter_mut().flatten();
        let users = self.users.iter_mut().flatten();
        let keys = self.keys.iter_mut().flatten();

        let mut errors = Vec::new();
        check_names("tiers", "name", tiers.map(|it| &mut it.name), &mut errors);
        check_names(
            "services",
            "name",
            services.map(|it| &mut it.name),
            &mut errors,
        );
        check_names(
            "subaccounts",
            "name",
            subaccounts.map(|it| &mut it.name),
            &mut errors,
        );
        check_names("users", "email", users.map(|it| &mut it.email), &mut errors);
        check_names("keys", "name", keys.map(|it| &mut it.name), &mut errors);
        check_files(self.keys.as_deref().unwrap_or_default(), &mut errors);
        if let Some(routes) = self.routes.take() {
            match canonical(&routes) {
                Ok(routes) => self.routes = Some(routes),
                Err(faults) => errors.extend(faults),
            }
        }

        if errors.is_empty() {
            Ok(self)
        } else {
            Err(errors)
        }
    }
}

/// Trims the names and refuses empty and duplicate ones.
fn check_names<'a>(
    section: &str,
    field: &str,
    names: impl Iterator<Item = &'a mut String>,
    errors: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        *name = normalized_name(name);
        if name.is_empty() {
            errors.push(format!("{section}[{index}].{field}: must not be empty"));
        } else if !seen.insert(name.clone()) {
            errors.push(format!(
                "{section}[{index}].{field}: {} appears twice",
                plain(name)
            ));
        }
    }
}

/// Refuses a file for the secrets of two keys.
fn check_files(keys: &[Key], errors: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, key) in keys.iter().enumerate() {
        let Some(file) = &key.save else { continue };
        if !seen.insert(normalized_path(file)) {
            errors.push(format!(
                "keys[{index}].save: is also the file of another key"
            ));
        }
    }
}

/// Normalizes a path: `./ci.pak` and `keys/../ci.pak` are `ci.pak`.
fn normalized_path(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match (component, out.components().next_back()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                out.pop();
            }
            _ => out.push(component),
        }
    }

    out
}

/// Returns the route rules as the API would return them, by the API's own code.
pub(in crate::apply) fn canonical(routes: &Value) -> Result<Value, Vec<String>> {
    let document: RouteDocument =
        json::read(routes.to_string().as_bytes()).map_err(|fault| vec![described(fault)])?;
    let rules = document
        .check()
        .map_err(|faults| faults.into_iter().map(described).collect::<Vec<_>>())?;

    RouteDocument::try_from(&rules)
        .and_then(|document| serde_json::to_value(&document))
        .map_err(|error| vec![format!("routes: {error}")])
}

/// Describes a fault of the route rules, with its field.
fn described(fault: Fault) -> String {
    let place = fault
        .field
        .map_or_else(|| "routes".to_owned(), |field| format!("routes.{field}"));
    plain(&format!("{place}: {}", fault.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    /// Every spelling of a path to the same file is the same secret.
    #[test]
    fn secret_file_path_is_normalized() {
        for (path, same) in [
            ("./ci.pak", "ci.pak"),
            ("keys/.././/ci.pak", "ci.pak"),
            ("../../ci.pak", "../../ci.pak"),
            ("/../a/../ci.pak", "/ci.pak"),
            ("../a/../ci.pak", "../ci.pak"),
        ] {
            assert_eq!(normalized_path(Path::new(path)), Path::new(same), "{path}");
        }

        let text = "keys: [{name: a, save: ci.pak}, {name: b, save: ./x/../ci.pak}]";
        let errors = parse::<Document>(text).unwrap().check().unwrap_err();
        assert_eq!(errors, ["keys[1].save: is also the file of another key"]);
    }

    #[test]
    fn all_document_errors_are_reported_together() {
        let text = "subaccounts: [{name: ' '}]\n\
                    keys: [{name: CI, save: a}, {name: ' CI', save: a}]\n\
                    routes: {rules: [{path: {prefix: v4}}, {path: {exact: /a}, colour: 1}]}\n";
        let errors = parse::<Document>(text).unwrap().check().unwrap_err();
        let expected = [
            "subaccounts[0].name: must not be empty",
            "keys[1].name: CI appears twice",
            "keys[1].save: is also the file of another key",
        ];
        assert_eq!(errors[..3], expected);
        assert!(errors[3].starts_with("routes.rules[1].path"), "{errors:?}");
        assert!(
            errors[4].starts_with("routes.rules[2].colour: is unknown"),
            "{errors:?}"
        );
    }
}
