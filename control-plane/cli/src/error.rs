//! Errors of commands, and their exit codes.

use std::io;
use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::text::{self, plain};

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A usage error: an invalid argument, environment variable or file.
    #[error("{0}")]
    Usage(String),
    /// The API could not be reached, or the connection broke.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// The URL.
        url: String,
        /// The reason why there is no response.
        reason: String,
        /// True if the request may have arrived.
        sent: bool,
    },
    /// The API answered with an error.
    #[error("{status}: {error}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's error sentence.
        error: String,
    },
    /// The API refused to explain a request.
    #[error("{status}: {error}")]
    Unexplained {
        /// HTTP status.
        status: u16,
        /// The API's error sentence.
        error: String,
    },
    /// The session that `latchkey login` saved has ended.
    #[error("401: the saved session has ended; log in again: latchkey login")]
    LogInAgain,
    /// No resource has the given name.
    #[error("{0}")]
    NotFound(String),
    /// A file cannot be read or written.
    #[error("{}: {reason}", text::path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// The text that follows the file's name.
        reason: String,
    },
    /// Output could not be written.
    #[error("cannot write to stdout: {0}")]
    Output(io::Error),
    /// An import cannot be made as a whole, so nothing was imported.
    #[error("{reason}")]
    Import {
        /// The exit code that an import of the first faulty row would have.
        exit: Exit,
        /// All faults.
        reason: String,
    },
    /// The resource was changed by somebody else.
    #[error("{0}")]
    Conflict(String),
    /// Only a part was done, or nothing because it was not confirmed.
    #[error("{0}")]
    PartiallyApplied(String),
}

impl CommandError {
    pub(super) fn usage(reason: impl Into<String>) -> Self {
        Self::Usage(reason.into())
    }

    pub(super) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    /// Returns the error of a response, with its text escaped as data.
    pub(super) fn refused(status: u16, error: &str) -> Self {
        Self::Refused {
            status,
            error: plain(error),
        }
    }

    /// Converts a refusal for `explain`, which has other exit codes: 2 for usage errors, and 1 for
    /// everything that the API refuses.
    pub(super) fn unexplained(self) -> Self {
        match self {
            Self::Refused { status, error } => Self::Unexplained { status, error },
            other => other,
        }
    }

    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::File { .. } => Exit::Usage,
            Self::Unreachable { .. }
            | Self::Unexplained { .. }
            | Self::Output(_)
            | Self::PartiallyApplied(_) => Exit::Failed,
            Self::Refused { status, .. } => Exit::from_status(*status),
            Self::Import { exit, .. } => *exit,
            Self::LogInAgain => Exit::NotAllowed,
            Self::NotFound(_) => Exit::NotFound,
            Self::Conflict(_) => Exit::Conflict,
        }
    }

    /// Returns whether stdout was closed by its reader, which is not reported.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        let error = CommandError::file(Path::new("\u{1b}[2Ja.pak"), "cannot be read");
        assert_eq!(error.to_string(), "\\u{1b}[2Ja.pak: cannot be read");
    }
}
