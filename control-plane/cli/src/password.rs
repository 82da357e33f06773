//! Reads passwords from sources that nobody else sees: the environment, stdin, or the terminal
//! without echo.

use clap::Args;
use latchkey_model::secret::Password;
use latchkey_policy::line_break::without_line_break;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::error::CommandError;
use super::secret::Secret;

/// The source of a new password: LATCHKEY_NEW_PASSWORD, stdin, or the terminal.
#[derive(Clone, Args)]
pub(super) struct NewPassword {
    /// Read the new password from stdin instead of LATCHKEY_NEW_PASSWORD or the terminal
    #[arg(long)]
    password_stdin: bool,
    #[arg(skip = Secret::from_env("LATCHKEY_NEW_PASSWORD"))]
    given: Option<Secret>,
}

impl NewPassword {
    /// Reads a password of sufficient length; asks twice on the terminal.
    pub(super) fn read(&self) -> Result<Secret, CommandError> {
        let password = match &self.given {
            _ if self.password_stdin => from_stdin()?,
            Some(password) => password.clone(),
            None => {
                let password = ask("New password: ")?;
                if ask("Repeat the new password: ")? != password {
                    return Err(CommandError::usage("the two passwords differ"));
                }
                password
            }
        };

        long_enough("the new password", &password)?;
        Ok(password)
    }
}

/// Checks the length that the API requires.
pub(super) fn long_enough(what: &str, password: &Secret) -> Result<(), CommandError> {
    if password.len() < Password::MIN_LEN {
        return Err(CommandError::usage(format!(
            "{what} must have at least {} characters",
            Password::MIN_LEN
        )));
    }
    Ok(())
}

/// Reads the first line of stdin.
pub(super) fn from_stdin() -> Result<Secret, CommandError> {
    let mut line = String::new();
    let failed = |error: io::Error| CommandError::usage(format!("cannot read stdin: {error}"));
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(Secret::new(without_line_break(&line)))
}

/// Asks for a password on the terminal, without echo.
pub(super) fn ask(prompt: &str) -> Result<Secret, CommandError> {
    let failed =
        |error: io::Error| CommandError::usage(format!("cannot ask for a password: {error}"));
    rpassword::prompt_password(prompt)
        .map(Secret::new)
        .map_err(failed)
}

/// Asks for the email address on the terminal. Fails without a terminal.
pub(super) fn ask_email() -> Result<String, CommandError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CommandError::usage(
            "--email: is required without a terminal",
        ));
    }

    let failed =
        |error: io::Error| CommandError::usage(format!("cannot read the terminal: {error}"));
    let mut stderr = io::stderr();
    stderr
        .write_all(b"Email address: ")
        .and_then(|()| stderr.flush())
        .map_err(failed)?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(failed)?;

    Ok(line.trim().to_owned())
}
