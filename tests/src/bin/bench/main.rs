//! `latchkey-bench`: the cost of Latchkey, in one report. `make bench` runs it and writes the
//! report.
//!
//! | module | owns |
//! |---|---|
//! | [`requests`] | the section on the cost of a request at Envoy, compared with alternatives |
//! | [`scale`] | the section on the resources of an Envoy and of the control plane by number of keys |
//! | [`nodes`] | the section on a thousand nodes at one control plane |
//! | [`management`] | the section on the latency of the control plane's API |
//! | [`lists`] | the section on lists with a million keys |
//! | [`contest`] | contenders that are measured in turns |
//! | [`load`], [`traffic`] | the load, and the requests it is made of |
//! | [`cores`], [`process`] | the cores of each process, and the resources that it has used |
//! | [`keys`] | keys by their number |
//! | [`spread`] | medians and ranges |
//! | [`report`] | the written report |

mod contest;
mod cores;
mod keys;
mod lists;
mod load;
mod management;
mod nodes;
mod process;
mod report;
mod requests;
mod scale;
mod spread;
mod traffic;

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use latchkey_tests::{allowed_cores, workspace};

use contest::Rules;
use cores::Cores;
use report::{Origin, Report};

/// Measures the cost of Latchkey on this machine
#[derive(Debug, Parser)]
struct Arguments {
    /// Sections to measure [default: all]
    sections: Vec<Section>,
    /// Writes docs/bench/ and the figures in README; sections that are not measured keep their results
    #[arg(long)]
    write: bool,
    /// Number of rounds in which the contenders are compared
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Number of turns of each contender in a round
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Duration of a turn, in seconds
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Duration of the warm-up before each turn, in seconds
    #[arg(long, default_value_t = 0.1)]
    warm_up_seconds: f64,
    /// Number of connections to an Envoy
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Number of keys in use in the section on requests
    #[arg(long, default_value_t = 1_000)]
    keys_in_use: usize,
    /// Numbers of keys in the section on scale
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000",
        value_parser = clap::value_parser!(u32).range(1..))]
    keys: Vec<u32>,
    /// Number of Envoys that load each number of keys
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    loads: u32,
    /// Number of revocations for each number of keys
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    revocations: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Cost of a request at Envoy, compared with alternatives
    Requests,
    /// Resources of an Envoy and of the control plane by number of keys
    Scale,
    /// One control plane with a thousand nodes and 1,000,000 keys
    Nodes,
    /// Latency of the control plane's API with 100,000 keys
    Management,
    /// Latency of lists and console pages with 1,000,000 keys
    Lists,
}

impl Arguments {
    fn want(&self, section: Section) -> bool {
        self.sections.is_empty() || self.sections.contains(&section)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let origin = Origin::of_this_run(allowed_cores()?.len())?;
    let mut report = if arguments.write {
        Report::read()?
    } else {
        Report::empty()
    };
    // Not in memory, as `/tmp` often is.
    let target = workspace().join("target");
    std::fs::create_dir_all(&target)?;
    let dir = tempfile::tempdir_in(target).context("cannot make a folder in target/")?;
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
    };
    // This thread starts all processes, and they end with it. The first of them have all cores.
    runtime()?.block_on(measure_control_plane(
        &arguments,
        dir.path(),
        &origin,
        &mut report,
    ))?;
    let cores = Cores::divide()?;
    runtime()?.block_on(measure_envoy(
        &arguments,
        cores,
        dir.path(),
        &origin,
        &mut report,
    ))?;
    if arguments.write {
        report.write()?;
    }
    println!("{}", report.markdown());
    Ok(())
}

async fn measure_control_plane(
    arguments: &Arguments,
    dir: &Path,
    origin: &Origin,
    report: &mut Report,
) -> Result<()> {
    if arguments.want(Section::Management) {
        eprintln!("management");
        report.put("management", origin, &management::measure(dir).await?)?;
    }
    if arguments.want(Section::Lists) {
        eprintln!("lists");
        report.put("lists", origin, &lists::measure(dir).await?)?;
    }
    if arguments.want(Section::Nodes) {
        eprintln!("nodes");
        report.put("nodes", origin, &nodes::measure(dir).await?)?;
    }
    Ok(())
}

async fn measure_envoy(
    arguments: &Arguments,
    cores: Cores,
    dir: &Path,
    origin: &Origin,
    report: &mut Report,
) -> Result<()> {
    let rules = Rules {
        rounds: arguments.rounds,
        turns: arguments.turns,
        seconds: arguments.seconds,
        warm_up_seconds: arguments.warm_up_seconds,
        connections: arguments.connections,
    };
    if arguments.want(Section::Requests) {
        eprintln!("requests: {} rounds", rules.rounds);
        let requests = requests::measure(dir, cores, arguments.keys_in_use, rules).await?;
        report.put("requests", origin, &requests)?;
    }
    if arguments.want(Section::Scale) {
        eprintln!("scale");
        let keys: Vec<usize> = arguments.keys.iter().map(|keys| *keys as usize).collect();
        let (loads, revocations) = (arguments.loads as usize, arguments.revocations as usize);
        let scale = scale::measure(dir, cores, &keys, loads, revocations, rules).await?;
        report.put("scale", origin, &scale)?;
    }
    Ok(())
}
