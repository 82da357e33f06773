//! The report of a field that exceeds what the calling key has.

/// A field that exceeds what the calling key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The field's name in requests.
    pub field: String,
    /// The text that follows the field's name, such as "must be …".
    pub reason: String,
}

/// Returns the field that exceeds what the calling key has, with the reason.
pub(super) fn exceeded(field: impl Into<String>, reason: impl Into<String>) -> Option<Exceeded> {
    Some(Exceeded {
        field: field.into(),
        reason: reason.into(),
    })
}
