//! The resources that have audit entries.

use serde_json::Value;

/// The resource that a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind, such as `key`.
    pub kind: &'static str,
    /// The id. `None` for a resource that exists only once.
    pub id: Option<String>,
    /// The name that people know it by.
    pub name: Option<String>,
}

impl Target {
    /// Returns the target for a resource that exists only once.
    pub fn the(kind: &'static str) -> Self {
        Self {
            kind,
            id: None,
            name: None,
        }
    }

    /// Returns the target for a resource that a caller named, and that may not exist.
    pub fn named(kind: &'static str, name: &str) -> Self {
        Self {
            kind,
            id: None,
            name: Some(name.to_owned()),
        }
    }

    /// Returns the target for a resource with an id and a name.
    pub fn new(kind: &'static str, id: &str, name: &str) -> Self {
        Self {
            kind,
            id: Some(id.to_owned()),
            name: Some(name.to_owned()),
        }
    }
}

/// A resource that has audit entries.
pub trait Audited {
    /// Returns the resource as the target of an entry.
    fn target(&self) -> Target;

    /// Returns its public fields as an object.
    fn public_fields(&self) -> Value;
}
