//! The exit codes of all commands.

use std::process::ExitCode;

/// The exit codes, shown at the end of `latchkey --help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed: the API was not reached or had an internal error
  2  usage error: an invalid argument, environment variable or file
  3  explain: the request would be refused; if the API refuses to explain, explain exits with 1
  4  changed, but not in force on every node within the wait time, lost nodes included unless --ignore-lost
  5  apply --dry-run: there are changes to make
  6  not allowed: no valid session, or a missing permission (401, 403)
  7  not found (404)
  8  conflict (409, 412); apply: somebody else made changes after the plan was made
  9  too many requests (429)";

/// The exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything is done.
    Done = 0,
    /// The command failed, perhaps temporarily.
    Failed = 1,
    /// A usage error.
    Usage = 2,
    /// The explained request would be refused.
    Refused = 3,
    /// A change is made, but not yet in force on every node.
    NotEnforced = 4,
    /// A dry run found changes to make.
    Changes = 5,
    /// The caller is not allowed to do this.
    NotAllowed = 6,
    /// The resource does not exist.
    NotFound = 7,
    /// The change conflicts with the current state.
    Conflict = 8,
    /// Too many requests.
    TooMany = 9,
}

impl Exit {
    /// Returns the exit code for an error response.
    pub(super) fn from_status(status: u16) -> Self {
        match status {
            400 | 413 | 415 => Self::Usage,
            401 | 403 => Self::NotAllowed,
            404 => Self::NotFound,
            409 | 412 => Self::Conflict,
            429 => Self::TooMany,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        for code in 0..=9 {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
        for (status, exit) in [
            (400, 2),
            (401, 6),
            (403, 6),
            (404, 7),
            (409, 8),
            (412, 8),
            (429, 9),
            (500, 1),
            (503, 1),
            (302, 1),
        ] {
            assert_eq!(Exit::from_status(status) as u8, exit, "{status}");
        }
    }
}
