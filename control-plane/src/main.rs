//! The command line.

use clap::{Parser, Subcommand};
use latchkey_control_plane::{Config, log, serve};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "latchkey", version, about = "API keys enforced inside Envoy", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the control plane: the API for people, and the stream for Envoys
    Serve(Box<Config>),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command: Command::Serve(config) } = Cli::parse();
    if let Err(error) = log::init(&config.log) {
        return failed(&error);
    }
    match serve(*config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("latchkey: {error}");
    ExitCode::FAILURE
}
