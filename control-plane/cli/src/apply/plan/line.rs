//! A line of a plan, for people and for scripts.

use serde_json::{Value, json};
use std::fmt;

use crate::text::plain;

/// The number of lines about loosened restrictions.
const WIDER_SHOWN: usize = 10;

/// A line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::apply) struct PlanLine {
    pub(in crate::apply) change: ChangeKind,
    pub(in crate::apply) kind: &'static str,
    pub(in crate::apply) name: String,
    pub(super) detail: String,
    /// The differences, if they need more than one line.
    pub(super) differences: Vec<String>,
    /// The loosened restrictions.
    pub(super) wider: Vec<String>,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::apply) enum ChangeKind {
    Create,
    Edit,
    Remove,
    Refuse,
}

impl ChangeKind {
    /// Returns the sign for people.
    fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Edit => '~',
            Self::Remove => '-',
            Self::Refuse => '!',
        }
    }

    /// Returns the word for scripts.
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Remove => "remove",
            Self::Refuse => "refuse",
        }
    }
}

impl PlanLine {
    pub(super) fn new(
        change: ChangeKind,
        kind: &'static str,
        name: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            change,
            kind,
            name: name.to_owned(),
            detail: detail.into(),
            differences: Vec::new(),
            wider: Vec::new(),
        }
    }

    /// Adds the loosened restrictions.
    pub(super) fn with_wider(self, wider: Vec<String>) -> Self {
        Self { wider, ..self }
    }

    pub(in crate::apply) fn json(&self) -> Value {
        let mut line =
            json!({ "action": self.change.word(), "kind": self.kind, "name": self.name });
        if !self.detail.is_empty() {
            line["detail"] = json!(self.detail);
        }
        for (field, list) in [("differences", &self.differences), ("wider", &self.wider)] {
            if !list.is_empty() {
                line[field] = json!(list);
            }
        }

        line
    }
}

impl fmt::Display for PlanLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!(" {}", plain(&self.name))
        };
        write!(f, "{} {}{name}", self.change.sign(), self.kind)?;
        match self.change {
            _ if self.detail.is_empty() => {}
            ChangeKind::Remove => write!(f, " {}", self.detail)?,
            _ => write!(f, ": {}", self.detail)?,
        }

        for line in &self.differences {
            write!(f, "\n    {line}")?;
        }
        for line in self.wider.iter().take(WIDER_SHOWN) {
            write!(f, "\n    ! {line}")?;
        }

        match self.wider.len().saturating_sub(WIDER_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n    ! and {more} more"),
        }
    }
}
