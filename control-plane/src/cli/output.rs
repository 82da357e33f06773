//! What commands print, and how they end by it.

use serde_json::Value;
use std::io::{self, Write as _};

use super::error::CommandError;
use super::exit::Exit;
use super::text;

/// For people, or as JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// `data`, or what `people` make of it.
    pub(super) fn show(self, data: &Value, people: impl FnOnce() -> String) -> Result<(), CommandError> {
        if self.json { print(&(text::json(data) + "\n")) } else { print(&people()) }
    }

    /// The answer to a change: what was done, and how far it has come.
    pub(super) fn changed(self, data: &Value, what: &str) -> Result<Exit, CommandError> {
        self.show(data, || match enforcement(data) {
            Some(enforcement) => format!("{what}: {enforcement}\n"),
            None => format!("{what}\n"),
        })?;
        Ok(exit(data))
    }
}

/// What is printed of work that goes on although nobody may be left to read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    failed: Option<CommandError>,
}

impl Progress {
    /// As [`Output::changed`]; what cannot be printed is told by [`Progress::end`].
    pub(super) fn changed(&mut self, output: Output, data: &Value, what: &str) -> Exit {
        output.changed(data, what).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            exit(data)
        })
    }

    /// Once the work is done: the first error.
    pub(super) fn end(self) -> Result<(), CommandError> {
        self.failed.map_or(Ok(()), Err)
    }
}

/// To stdout, all of it.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CommandError::Output)
}

/// To stderr, where nobody may be listening.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// How far a change has come, if its answer says so.
pub(super) fn enforcement(data: &Value) -> Option<String> {
    let enforcement = data["enforcement"].as_object()?;
    let number = |name| enforcement.get(name).and_then(Value::as_u64).unwrap_or_default();
    Some(format!(
        "in force on {} of {} nodes at revision {} after {} ms",
        number("acknowledged"),
        number("nodes"),
        number("revision"),
        number("elapsed_ms"),
    ))
}

/// Whether a change is in force everywhere, as far as its answer says.
pub(super) fn exit(data: &Value) -> Exit {
    let number = |name| data["enforcement"][name].as_u64().unwrap_or_default();
    if number("acknowledged") < number("nodes") { Exit::NotEverywhere } else { Exit::Done }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_that_is_not_in_force_everywhere_is_told() {
        let of = |acknowledged| json!({"enforcement": {"revision": 812, "nodes": 3, "acknowledged": acknowledged, "elapsed_ms": 4}});
        assert_eq!(enforcement(&of(3)).unwrap(), "in force on 3 of 3 nodes at revision 812 after 4 ms");
        assert_eq!((exit(&of(3)), exit(&of(2)), exit(&json!({}))), (Exit::Done, Exit::NotEverywhere, Exit::Done));
        assert_eq!(enforcement(&json!({})), None);
    }
}
