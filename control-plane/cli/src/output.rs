//! The output of commands, and the exit code that follows from it.

use serde_json::Value;
use std::io::{self, Write as _};

use super::error::CommandError;
use super::exit::Exit;
use super::text;

/// The output format: for people, or JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
    /// Counts a change as in force although lost nodes have not acknowledged it.
    ignore_lost: bool,
}

impl Output {
    pub(super) fn new(json: bool, ignore_lost: bool) -> Self {
        Self { json, ignore_lost }
    }

    /// Returns whether it is JSON.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Prints `data` as JSON, or the text of `people`.
    pub(super) fn show(
        self,
        data: &Value,
        people: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        if self.json {
            print(&(text::json(data) + "\n"))
        } else {
            print(&people())
        }
    }

    /// Prints a change, `what`, and its enforcement progress, and returns the exit code.
    pub(super) fn changed(self, data: &Value, what: &str) -> Result<Exit, CommandError> {
        self.show(data, || match enforcement(data) {
            Some(enforcement) => format!("{what}: {enforcement}\n"),
            None => format!("{what}\n"),
        })?;
        Ok(self.exit(data))
    }

    /// Returns the exit code of a change, by the enforcement progress in its response. Reports lost
    /// nodes on stderr.
    pub(super) fn exit(self, data: &Value) -> Exit {
        if let Some(lost) = lost(data) {
            note(&lost);
        }
        exit(data, self.ignore_lost)
    }
}

/// The output of work that continues even if stdout is closed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    failed: Option<CommandError>,
}

impl Changes {
    /// Prints a change like [`Output::changed`]. [`Changes::end`] reports output errors.
    pub(super) fn changed(&mut self, output: Output, data: &Value, what: &str) -> Exit {
        output.changed(data, what).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            output.exit(data)
        })
    }

    /// Returns the first output error, once the work is done.
    pub(super) fn end(self) -> Result<(), CommandError> {
        self.failed.map_or(Ok(()), Err)
    }
}

/// Prints the whole text to stdout.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(CommandError::Output)
}

/// Prints to stderr, ignoring errors.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Describes the enforcement progress of a change, if its response has one.
pub(super) fn enforcement(data: &Value) -> Option<String> {
    let enforcement = data["enforcement"].as_object()?;
    let number = |name| {
        enforcement
            .get(name)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    Some(format!(
        "in force on {} of {} nodes at revision {} after {} ms",
        number("acknowledged"),
        number("nodes"),
        number("revision"),
        number("elapsed_ms"),
    ))
}

/// Returns `Done` if a change is in force everywhere, according to its response. Responses of
/// version 0.1 have no `complete`.
fn exit(data: &Value, ignore_lost: bool) -> Exit {
    let number = |name| data["enforcement"][name].as_u64().unwrap_or_default();
    let (nodes, acknowledged, lost) = (number("nodes"), number("acknowledged"), number("lost"));
    let reached = if ignore_lost {
        acknowledged.saturating_add(lost)
    } else {
        acknowledged
    };
    let complete = data["enforcement"]["complete"] != false || ignore_lost;

    if reached < nodes || !complete {
        Exit::NotEnforced
    } else {
        Exit::Done
    }
}

/// Describes the lost nodes in a sentence; `None` if there are none.
fn lost(data: &Value) -> Option<String> {
    let lost = data["enforcement"]["lost"]
        .as_u64()
        .filter(|lost| *lost > 0)?;
    let nodes = if lost == 1 {
        "1 lost node has"
    } else {
        &format!("{lost} lost nodes have")
    };

    Some(format!(
        "{nodes} not acknowledged the change and may still serve without it. See `latchkey node list`, and \
         `latchkey node forget HANDLE` for a node that no longer serves."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn partly_enforced_change_is_reported() {
        let progress = |acknowledged| json!({"enforcement": {"revision": 812, "nodes": 3, "acknowledged": acknowledged, "elapsed_ms": 4}});
        assert_eq!(
            enforcement(&progress(3)).unwrap(),
            "in force on 3 of 3 nodes at revision 812 after 4 ms"
        );
        let exits = [progress(3), progress(2), json!({})].map(|data| exit(&data, false));
        assert_eq!(exits, [Exit::Done, Exit::NotEnforced, Exit::Done]);
        assert_eq!(enforcement(&json!({})), None);
    }

    #[test]
    fn lost_nodes_are_named_or_ignored() {
        let progress = |acknowledged, lost| {
            let complete = acknowledged == 3;
            json!({"enforcement": {"nodes": 3, "acknowledged": acknowledged, "lost": lost, "complete": complete}})
        };
        for (data, strict, lenient) in [
            (progress(3, 0), Exit::Done, Exit::Done),
            (progress(2, 1), Exit::NotEnforced, Exit::Done),
            (progress(1, 1), Exit::NotEnforced, Exit::NotEnforced),
        ] {
            assert_eq!(
                (exit(&data, false), exit(&data, true)),
                (strict, lenient),
                "{data}"
            );
        }

        assert!(
            lost(&progress(2, 1))
                .unwrap()
                .starts_with("1 lost node has not acknowledged")
        );
        assert!(
            lost(&progress(1, 2))
                .unwrap()
                .contains("latchkey node forget")
        );
        assert_eq!(lost(&progress(3, 0)), None);
    }
}
