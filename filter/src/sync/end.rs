//! Why a stream comes to its end.

use latchkey_policy::table::WriteError;
use std::fmt;

/// Why a stream came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The host could not open the stream, or send on it.
    Unreachable,
    /// The control plane, or something before it, closed the stream.
    Closed {
        /// gRPC's status.
        status: u32,
    },
    /// Nothing was heard for too long.
    Silent,
    /// A message that means nothing here.
    Protocol(&'static str),
    /// Shared memory did not take a change.
    Memory(WriteError),
    /// A worker found a page that cannot be trusted.
    Damaged,
    /// The control plane has to be told another staleness limit.
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
    /// Whether what is in memory should not be built upon.
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
