//! How commands end: the one list of exit codes.

use std::process::ExitCode;

/// For people, at the end of `latchkey --help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed: the API was not reached, or failed itself
  2  an argument, the environment or a file that was given cannot be meant
  3  explain: the request would be refused; explain ends with 1 for all that the API refuses to tell
  4  changed, but not in force on every node within the time to wait, lost nodes included unless --ignore-lost
  5  apply --dry-run: there is something to do
  6  not allowed: no session, or a permission is missing (401, 403)
  7  there is no such thing (404)
  8  in conflict with what there is (409, 412); apply: somebody else has changed what the plan was made on
  9  too many requests (429)";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is done.
    Done = 0,
    /// It came to nothing, for a reason that may pass.
    Failed = 1,
    /// What was given cannot be meant.
    Usage = 2,
    /// The request that was asked about would be refused.
    Refused = 3,
    /// A change is made, and some node may not decide by it yet.
    NotEverywhere = 4,
    /// There would be something to do.
    Changes = 5,
    /// The caller may not do that.
    NotAllowed = 6,
    /// There is no such thing.
    NotFound = 7,
    /// What there is stands against it.
    Conflict = 8,
    /// It has to be tried again later.
    TooMany = 9,
}

impl Exit {
    /// Of an answer with an error.
    pub(super) fn of_status(status: u16) -> Self {
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
            assert_eq!(Exit::of_status(status) as u8, exit, "{status}");
        }
    }
}
