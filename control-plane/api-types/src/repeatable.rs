//! Responses of calls that can be repeated with an `Idempotency-Key`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The created resource, as created now or as recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Made<V> {
    New(V),
    Repeated(Value),
}

impl<V> Made<V> {
    /// Returns the value of `replayed`: true if the call was repeated, else absent.
    pub fn replayed(&self) -> Option<bool> {
        matches!(self, Self::Repeated(_)).then_some(true)
    }
}
