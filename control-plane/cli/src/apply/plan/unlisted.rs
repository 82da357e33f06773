//! The resources that are not in the file but stay.

use serde_json::{Value, json};
use std::fmt;

use super::KEYS;
use crate::apply::state::NameSample;
use crate::text::{counted, plain};

/// The number of names on a line about remaining resources.
const NAMED: usize = 5;

/// The resources of a kind that are not in the file but stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::apply) struct Unlisted {
    kind: &'static str,
    count: usize,
    /// The names of some of them.
    sample: Vec<String>,
}

impl Unlisted {
    pub(super) fn new(kind: &'static str, names: &NameSample) -> Self {
        Self {
            kind,
            count: names.count,
            sample: names.sample.clone(),
        }
    }

    pub(in crate::apply) fn json(&self) -> Value {
        json!({ "kind": self.kind, "count": self.count, "sample": self.sample })
    }
}

impl fmt::Display for Unlisted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.count == 1 { "is" } else { "are" };
        let pruned = if self.kind == KEYS {
            "revoke"
        } else {
            "delete"
        };
        let object = if self.count == 1 { "it" } else { "them" };
        write!(
            f,
            "= {} {verb} not in the file; --prune would {pruned} {object}",
            counted(self.count, self.kind)
        )?;

        let names = self.sample.iter().take(NAMED);
        let names: Vec<_> = names.map(|name| plain(name)).collect();
        let more = if self.count > names.len() {
            ", …"
        } else {
            ""
        };

        write!(f, ": {}{more}", names.join(", "))
    }
}
