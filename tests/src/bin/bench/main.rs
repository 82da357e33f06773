//! `latchkey-bench`: what Latchkey takes, in one report. `make bench` runs it and has it written down.
//!
//! | module | owns |
//! |---|---|
//! | [`requests`] | the section on what a request costs at Envoy, beside what else does that job |
//! | [`scale`] | the section on what more keys take of an Envoy and of the control plane |
//! | [`management`] | the section on what the control plane's API takes |
//! | [`contest`] | contenders that are measured in turns |
//! | [`load`], [`traffic`] | the load, and the requests it is made of |
//! | [`cores`], [`process`] | who runs where, and what a process has used |
//! | [`keys`] | keys by their number |
//! | [`spread`] | medians and ranges |
//! | [`report`] | what is written of all this |

mod contest;
mod cores;
mod keys;
mod load;
mod management;
mod process;
mod report;
mod requests;
mod scale;
mod spread;
mod traffic;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use latchkey_tests::{allowed_cores, workspace};

use contest::Rules;
use cores::Cores;
use report::{Origin, Report};

/// Measures what Latchkey takes, on this machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure [default: all]
    sections: Vec<Section>,
    /// Writes docs/bench/ and the tables in README; what is not measured now stays there as it is
    #[arg(long)]
    write: bool,
    /// Rounds in which contenders are compared
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Turns of each contender in a round
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// How long a turn lasts
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// How long it is run before each turn
    #[arg(long, default_value_t = 0.1)]
    warm_up_seconds: f64,
    /// Connections to an Envoy
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Keys in use in the section on requests
    #[arg(long, default_value_t = 1_000)]
    keys_in_use: usize,
    /// Numbers of keys in the section on scale
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000",
        value_parser = clap::value_parser!(u32).range(1..))]
    keys: Vec<u32>,
    /// Envoys that load each of them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    loads: u32,
    /// Revocations for each of them
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    revocations: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// What a request costs at Envoy, beside what else does that job
    Requests,
    /// What more keys take of an Envoy and of the control plane
    Scale,
    /// What the control plane's API takes with 100,000 keys
    Management,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let origin = Origin::of_this_run(allowed_cores()?.len())?;
    let cores = Cores::divide()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(&arguments, cores, &origin))
}

/// This thread starts all processes, and they end with it.
async fn measure(arguments: &Arguments, cores: Cores, origin: &Origin) -> Result<()> {
    let wanted = |section| arguments.sections.is_empty() || arguments.sections.contains(&section);
    // Not in memory, as `/tmp` often is.
    let target = workspace().join("target");
    std::fs::create_dir_all(&target)?;
    let dir = tempfile::tempdir_in(target).context("cannot make a folder in target/")?;
    let rules = Rules {
        rounds: arguments.rounds,
        turns: arguments.turns,
        seconds: arguments.seconds,
        warm_up_seconds: arguments.warm_up_seconds,
        connections: arguments.connections,
    };
    let mut report = if arguments.write { Report::read()? } else { Report::empty() };
    if wanted(Section::Requests) {
        eprintln!("requests: {} rounds", rules.rounds);
        let requests = requests::measure(dir.path(), cores, arguments.keys_in_use, rules).await?;
        report.put("requests", origin, &requests)?;
    }
    if wanted(Section::Scale) {
        eprintln!("scale");
        let keys: Vec<usize> = arguments.keys.iter().map(|keys| *keys as usize).collect();
        let (loads, revocations) = (arguments.loads as usize, arguments.revocations as usize);
        let scale = scale::measure(dir.path(), cores, &keys, loads, revocations, rules).await?;
        report.put("scale", origin, &scale)?;
    }
    if wanted(Section::Management) {
        eprintln!("management");
        report.put("management", origin, &management::measure(dir.path()).await?)?;
    }
    if arguments.write {
        report.write()?;
    }
    println!("{}", report.markdown());
    Ok(())
}
