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
        Err(error) => return failed(&error, ExitCode::FAILURE),
    };
    match command {
        Command::Serve(config) => run(*config).await,
        Command::Client(command) => ended(command.run(check_import_row).await),
        Command::Completions(completions) => ended(completions.run(Cli::command())),
        Command::Init(init) => done(init.run().await),
        Command::Backup(backup) => done(backup.run().await),
        Command::Restore(restore) => done(restore.run().await),
        Command::AuditCut(cut) => done(cut.run().await),
        Command::AtRestKey(command) => done(command.run()),
    }
}

async fn run(config: Config) -> ExitCode {
    if let Err(error) = log::init(&config.log) {
        return failed(&error, ExitCode::FAILURE);
    }
    done(serve(config).await)
}

fn done<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, ExitCode::FAILURE),
    }
}

fn ended(ended: Result<cli::Exit, cli::CommandError>) -> ExitCode {
    match ended {
        Ok(exit) => exit.into(),
        Err(error) if error.is_silent() => error.exit().into(),
        Err(error) => failed(&error, error.exit().into()),
    }
}

fn failed(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    eprintln!("latchkey: {error}");
    code
}
