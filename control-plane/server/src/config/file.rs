//! Settings from a TOML file, in which each key is a flag's long name. They replace the flags'
//! defaults: flags and the environment take precedence. Every setting can be in the file.

use clap::{Arg, ArgAction, Command, Parser};
use latchkey_model::secret_files::Exposure;
use std::any::TypeId;
use std::error::Error as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The command whose settings can be in a file.
const SERVE: &str = "serve";

/// The setting that names the file, and so the only one that is not in it.
const FILE: &str = "config";

/// A file of settings that cannot be used. Errors never contain a value, because it may be a
/// secret.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct InvalidFile {
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("line {line} is not valid TOML: {reason}")]
    Syntax { line: usize, reason: String },
    #[error("unknown setting `{0}`")]
    Unknown(String),
    #[error("`{key}` must be {expected}")]
    Type { key: String, expected: &'static str },
    #[error("`{key}` {reason}")]
    Value { key: String, reason: String },
    #[error("`{key}` is a secret, but {exposure}")]
    Exposed { key: String, exposure: Exposure },
}

/// Parses the process' arguments, and for `serve` the file that the arguments or the environment
/// name. Exits where clap does: after help, or with an error in the arguments themselves.
///
/// # Errors
/// Fails if the file cannot be used.
pub fn parse<C: Parser>() -> Result<C, InvalidFile> {
    // The file may contain required settings. Any other error without the file is also an error
    // with it.
    let lenient = C::command().mut_subcommand(SERVE, |serve| {
        serve.mut_args(|setting| setting.required(false))
    });
    let named = |matches: clap::ArgMatches| {
        matches
            .subcommand_matches(SERVE)?
            .get_one::<PathBuf>(FILE)
            .cloned()
    };

    let Some(path) = lenient.try_get_matches().ok().and_then(named) else {
        return Ok(C::parse());
    };

    let mut command = C::command();
    if let Some(serve) = command.find_subcommand(SERVE).cloned() {
        let serve = with_file(serve, &path)?;
        command = command.mut_subcommand(SERVE, |_| serve);
    }

    Ok(C::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit()))
}

/// Returns the command, with the file's settings as defaults of its arguments.
fn with_file(command: Command, path: &Path) -> Result<Command, InvalidFile> {
    apply(command, path).map_err(|fault| InvalidFile {
        path: path.to_owned(),
        fault,
    })
}

fn apply(mut command: Command, path: &Path) -> Result<Command, Fault> {
    let mut file = File::open(path)?;
    let exposure = Exposure::find(&file.metadata()?);
    let mut text = String::new();
    file.read_to_string(&mut text)?;

    for (key, value) in table(&text)? {
        let setting = command
            .get_arguments()
            .find(|setting| setting.get_long() == Some(&key) && key != FILE)
            .cloned();
        let Some(setting) = setting else {
            return Err(Fault::Unknown(key));
        };
        if let Some(exposure) = exposure.filter(|_| is_secret(&setting)) {
            return Err(Fault::Exposed { key, exposure });
        }
        let text = text_of(&setting, &key, value)?;
        check(&setting, &key, &text)?;
        command = command.mut_arg(setting.get_id(), |setting| {
            setting.required(false).default_value(text)
        });
    }

    Ok(command)
}

/// Parses the file. The parser's own error text would show the line, and with it a value.
fn table(text: &str) -> Result<Table, Fault> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        Fault::Syntax {
            line,
            reason: error.message().to_owned(),
        }
    })
}

/// Returns whether a setting is a secret: help does not show its environment variable's value.
fn is_secret(setting: &Arg) -> bool {
    setting.is_hide_env_values_set()
}

fn is_switch(setting: &Arg) -> bool {
    matches!(setting.get_action(), ArgAction::SetTrue)
}

fn is_number(setting: &Arg) -> bool {
    let parsed = setting.get_value_parser().type_id();
    [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
    ]
    .iter()
    .any(|id| parsed == *id)
}

/// Returns the value in the form of a flag's argument.
fn text_of(setting: &Arg, key: &str, value: Value) -> Result<String, Fault> {
    let expected = match value {
        Value::Boolean(value) if is_switch(setting) => return Ok(value.to_string()),
        Value::Integer(value) if is_number(setting) => return Ok(value.to_string()),
        Value::String(value) if !is_switch(setting) && !is_number(setting) => return Ok(value),
        _ if is_switch(setting) => "true or false",
        _ if is_number(setting) => "a whole number",
        _ => "a string",
    };
    Err(Fault::Type {
        key: key.to_owned(),
        expected,
    })
}

/// Checks the text with the flag's own parser.
fn check(setting: &Arg, key: &str, text: &str) -> Result<(), Fault> {
    if is_switch(setting) {
        return Ok(());
    }

    let alone = Command::new(SERVE)
        .no_binary_name(true)
        .arg(setting.clone().required(false));
    let Err(error) = alone.try_get_matches_from([format!("--{key}={text}")]) else {
        return Ok(());
    };

    let possible = setting.get_possible_values();
    let reason = match error.source() {
        Some(reason) if !is_secret(setting) => format!("is invalid: {reason}"),
        _ if !possible.is_empty() => {
            let names: Vec<_> = possible.iter().map(|value| value.get_name()).collect();
            format!("must be one of {}", names.join(", "))
        }
        _ => "is invalid".to_owned(),
    };
    Err(Fault::Value {
        key: key.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests;
