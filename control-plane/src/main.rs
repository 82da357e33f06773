//! The command line.

use clap::{CommandFactory as _, Parser, Subcommand};
use latchkey_cli as cli;
use latchkey_control_plane::{Config, at_rest, backup, check_import_row, config, log, serve, tls};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "latchkey",
    version,
    about = "API keys enforced inside Envoy",
    arg_required_else_help = true,
    after_long_help = cli::EXIT_CODES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane: the API, the console and the stream for Envoys
    Serve(Box<Config>),
    #[command(flatten)]
    Client(Box<cli::Command>),
    Completions(cli::Completions),
    Init(backup::Init),
    Backup(backup::Backup),
    Restore(backup::Restore),
    AuditCut(backup::AuditCut),
    AtRestKey(at_rest::AtRestKeyCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    tls::init();
    let command = match config::parse::<Cli>() {
        Ok(cli) => cli.command,
        Err(error) => return report(&error, ExitCode::FAILURE),
    };
    match command {
        Command::Serve(config) => run(*config).await,
        Command::Client(command) => client_exit(command.run(check_import_row).await),
        Command::Completions(completions) => client_exit(completions.run(Cli::command())),
        Command::Init(init) => exit(init.run().await),
        Command::Backup(backup) => exit(backup.run().await),
        Command::Restore(restore) => exit(restore.run().await),
        Command::AuditCut(cut) => exit(cut.run().await),
        Command::AtRestKey(command) => exit(command.run()),
    }
}

/// Starts logging and runs the control plane.
async fn run(config: Config) -> ExitCode {
    if let Err(error) = log::init(&config.log) {
        return report(&error, ExitCode::FAILURE);
    }
    exit(serve(config).await)
}

/// Converts the result of a command to its exit code.
fn exit<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error, ExitCode::FAILURE),
    }
}

/// Converts the result of a client command to its exit code.
fn client_exit(result: Result<cli::Exit, cli::CommandError>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(error) if error.is_silent() => error.exit().into(),
        Err(error) => report(&error, error.exit().into()),
    }
}

/// Prints the error and returns the exit code.
fn report(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    eprintln!("latchkey: {error}");
    code
}
