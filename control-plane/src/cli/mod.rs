//! The commands that people give: each calls the API, prints what it answers, and ends with a code that scripts can use.

mod client;
mod explain;

use std::process::ExitCode;

pub use explain::Explain;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// An argument cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// The API was not reached, or broke off.
    #[error("{url} cannot be asked: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why it did not answer.
        reason: String,
    },
    /// The API answered with an error.
    #[error("{status}: {error}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// As the API says it.
        error: String,
    },
}

impl CommandError {
    /// 2 for arguments, as clap has it, and 1 for all else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Unreachable { .. } | Self::Refused { .. } => ExitCode::FAILURE,
        }
    }
}
