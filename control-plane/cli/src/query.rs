//! Queries of requests.

use std::fmt::Display;

/// Parameters in their order. What is not given is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    pub(super) fn with(mut self, name: &'static str, value: Option<impl Display>) -> Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(super) fn pairs(&self) -> &[(&'static str, String)] {
        &self.0
    }
}
