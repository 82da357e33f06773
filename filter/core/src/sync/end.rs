//! The reasons for which a stream ends.

use latchkey_policy::table::WriteError;
use std::fmt;

/// The reason why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host could not open the stream, or send on it.
    Unreachable,
    /// The control plane, or something before it, closed the stream.
    Closed {
        /// The gRPC status.
        status: u32,
    },
    /// No message came for too long.
    Silent,
    /// A message was invalid here.
    Protocol(&'static str),
    /// Shared memory rejected a change.
    Memory(WriteError),
    /// A worker found a page that cannot be trusted.
    Damaged,
    /// The control plane needs another staleness limit, which only a new Hello reports.
    OtherLimit,
    /// The host has no clock or no random numbers.
    Host,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the control plane's cluster cannot be reached"),
            Self::Closed { status: 16 } => f.write_str("the control plane refused the node token"),
            Self::Closed { status } => write!(
                f,
                "the control plane closed the stream with gRPC status {status}"
            ),
            Self::Silent => f.write_str("the control plane sent nothing for too long"),
            Self::Protocol(what) => write!(f, "the control plane sent {what}"),
            Self::Memory(error) => write!(f, "the snapshot cannot be written: {error}"),
            Self::Damaged => {
                f.write_str("the snapshot in memory is damaged and must be loaded again")
            }
            Self::OtherLimit => f.write_str("the staleness limit has changed"),
            Self::Host => f.write_str("Envoy provides no monotonic clock or no random numbers"),
        }
    }
}

impl End {
    /// Returns whether a whole snapshot has to be loaded, because the one in memory cannot be
    /// relied on.
    pub fn needs_whole_snapshot(self) -> bool {
        matches!(
            self,
            Self::Protocol(_) | Self::Memory(WriteError::Damaged) | Self::Damaged
        )
    }
}

impl From<WriteError> for End {
    fn from(error: WriteError) -> Self {
        Self::Memory(error)
    }
}
