//! A setting that cannot be used.

/// A value that parses but cannot be used. The value itself is not shown, because it may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag} ({variable}) {reason}")]
pub struct InvalidSetting {
    /// The flag that sets it.
    pub flag: &'static str,
    /// The environment variable that sets it.
    pub variable: &'static str,
    /// The reason why the value cannot be used.
    pub reason: String,
}
