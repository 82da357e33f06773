//! Secrets in commands, which cannot be printed by accident.

use latchkey_policy::line_break::without_line_break;
use serde::{Deserialize, Serialize};
use std::{env, fmt};

/// A password, a token or a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads an environment variable, without one line break at its end; `None` if it is unset or
    /// empty.
    pub(super) fn from_env(variable: &str) -> Option<Self> {
        let text = env::var(variable).ok()?;
        Some(without_line_break(&text))
            .filter(|text| !text.is_empty())
            .map(Self::new)
    }

    /// Returns the secret, to send or write it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the number of characters.
    pub(super) fn len(&self) -> usize {
        self.0.chars().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
    }
}
