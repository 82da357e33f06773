//! The command line.

use clap::{Parser, Subcommand};
use latchkey_control_plane::{Config, cli, log, serve, tls};
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
    Explain(Box<cli::Explain>),
}

#[tokio::main]
async fn main() -> ExitCode {
    tls::init();
    match Cli::parse().command {
        Command::Serve(config) => run(*config).await,
        Command::Explain(explain) => explain.run().await.unwrap_or_else(|error| failed(&error, error.exit_code())),
    }
}

async fn run(config: Config) -> ExitCode {
    if let Err(error) = log::init(&config.log) {
        return failed(&error, ExitCode::FAILURE);
    }
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, ExitCode::FAILURE),
    }
}

fn failed(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    eprintln!("latchkey: {error}");
    code
}
