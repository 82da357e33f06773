//! Contenders that are measured in turns: a slow phase of the machine then affects all of them, and
//! results are compared within a round. In a round each contender has several short turns, each
//! time in another order.

use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use latchkey_tests::Envoy;
use serde::{Deserialize, Serialize};

use crate::load::{Load, latencies};
use crate::process::cpu_time;
use crate::spread::Spread;
use crate::traffic::Traffic;

/// The contender whose time is subtracted from the others'.
pub(crate) const BARE: &str = "bare";
/// The contender by whose added time the others' is divided.
pub(crate) const NATIVE: &str = "native";

/// An Envoy and its load.
pub(crate) struct Contender {
    pub(crate) id: &'static str,
    /// The description for the report.
    pub(crate) what: String,
    pub(crate) pid: u32,
    pub(crate) load: Load,
    pub(crate) traffic: Traffic,
}

impl Contender {
    pub(crate) fn new(
        id: &'static str,
        what: &str,
        envoy: &Envoy,
        traffic: Traffic,
        connections: usize,
    ) -> Result<Self> {
        let load = Load::connect(envoy.gateway(), connections)?;
        Ok(Self {
            id,
            what: what.to_owned(),
            pid: envoy.pid(),
            load,
            traffic,
        })
    }
}

/// The number and length of the turns.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Rules {
    pub(crate) rounds: usize,
    /// The number of each contender's turns in a round.
    pub(crate) turns: usize,
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) connections: usize,
}

/// The results of one contender in one round, of all its turns together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) requests: u64,
    /// The CPU time of the Envoy process per request, in microseconds.
    pub(crate) cpu_us: f64,
    /// The share of its core that the Envoy process took, from 0 to 1.
    pub(crate) busy: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

/// The results of one contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) cpu_us: Spread,
    /// The CPU time added to that of the bare Envoy in the same round.
    pub(crate) added_us: Spread,
    /// The added time, divided by the native chain's of the same round.
    pub(crate) to_native: Spread,
    pub(crate) busy: Spread,
    pub(crate) per_second: Spread,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) p999_us: Spread,
    pub(crate) rounds: Vec<Round>,
}

/// The results of all contenders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Contest {
    pub(crate) rules: Rules,
    pub(crate) standings: Vec<Standing>,
}

impl Contest {
    /// Runs the measurement. Fails if a request does not pass.
    pub(crate) fn hold(contenders: &mut [Contender], rules: Rules) -> Result<Self> {
        let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
        for round in 0..rules.rounds {
            let mut sums = contenders
                .iter()
                .map(|_| Sum::new())
                .collect::<Result<Vec<_>>>()?;
            for turn in 0..rules.turns {
                for place in 0..contenders.len() {
                    let index = (round * rules.turns + turn + place) % contenders.len();
                    let contender = &mut contenders[index];
                    let taken = contender.turn(rules, &mut sums[index]);
                    taken.with_context(|| format!("{} in round {round}", contender.id))?;
                }
            }
            for (rounds, sum) in rounds.iter_mut().zip(sums) {
                rounds.push(sum.round());
            }
            eprintln!("  round {} of {} is over", round + 1, rules.rounds);
        }
        let of = |id: &str| contenders.iter().position(|contender| contender.id == id);
        let bare = of(BARE)
            .map(|index| rounds[index].clone())
            .unwrap_or_default();
        let native = of(NATIVE)
            .map(|index| added(&rounds[index], &bare))
            .unwrap_or_default();
        let standings = contenders.iter().zip(rounds);
        let standings =
            standings.map(|(contender, rounds)| Standing::new(contender, rounds, &bare, &native));
        Ok(Self {
            rules,
            standings: standings.collect(),
        })
    }

    /// Returns true if the bare Envoy did not have its core to itself, or the load did not have the
    /// other one: something else ran.
    pub(crate) fn was_disturbed(&self) -> bool {
        const BUSY: f64 = 0.95;
        self.standing(BARE)
            .is_some_and(|bare| bare.busy.median < BUSY)
    }

    pub(crate) fn standing(&self, id: &str) -> Option<&Standing> {
        self.standings.iter().find(|standing| standing.id == id)
    }

    /// Returns the time that one contender adds to a bare Envoy's, divided by the time that another
    /// adds in the same round.
    pub(crate) fn ratio(&self, id: &str, to: &str) -> Option<Spread> {
        let bare = &self.standing(BARE)?.rounds;
        let (one, other) = (
            added(&self.standing(id)?.rounds, bare),
            added(&self.standing(to)?.rounds, bare),
        );
        Some(Spread::from_figures(
            one.iter().zip(&other).map(|(one, other)| one / other),
        ))
    }
}

impl Contender {
    /// Sends one request with each key.
    pub(crate) fn use_every_key(&mut self) -> Result<()> {
        let keys = self.traffic.keys() as u64;
        self.traffic.in_order();
        let outcome = self.load.run(&mut self.traffic, |sent| sent < keys)?;
        self.traffic.at_random();
        outcome.all_passed()
    }

    fn turn(&mut self, rules: Rules, sum: &mut Sum) -> Result<()> {
        self.load
            .run_for(
                &mut self.traffic,
                Duration::from_secs_f64(rules.warm_up_seconds),
            )?
            .all_passed()?;
        let before = cpu_time(self.pid)?;
        let outcome = self
            .load
            .run_for(&mut self.traffic, Duration::from_secs_f64(rules.seconds))?;
        sum.cpu += cpu_time(self.pid)?.saturating_sub(before);
        outcome.all_passed()?;
        sum.elapsed += outcome.elapsed;
        sum.requests += outcome.requests();
        sum.latencies.add(outcome.latencies)?;
        Ok(())
    }
}

/// The sum of a round's turns so far.
struct Sum {
    cpu: Duration,
    elapsed: Duration,
    requests: u64,
    latencies: Histogram<u64>,
}

impl Sum {
    fn new() -> Result<Self> {
        Ok(Self {
            cpu: Duration::ZERO,
            elapsed: Duration::ZERO,
            requests: 0,
            latencies: latencies()?,
        })
    }

    fn round(&self) -> Round {
        #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
        let requests = self.requests as f64;
        let (cpu, elapsed) = (self.cpu.as_secs_f64(), self.elapsed.as_secs_f64());
        let latency = |quantile| {
            Duration::from_nanos(self.latencies.value_at_quantile(quantile)).as_secs_f64() * 1e6
        };
        Round {
            requests: self.requests,
            cpu_us: cpu * 1e6 / requests,
            busy: cpu / elapsed,
            per_second: requests / elapsed,
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            p999_us: latency(0.999),
        }
    }
}

/// Returns each round's time less that of the bare Envoy.
fn added(rounds: &[Round], bare: &[Round]) -> Vec<f64> {
    rounds
        .iter()
        .zip(bare)
        .map(|(round, bare)| round.cpu_us - bare.cpu_us)
        .collect()
}

impl Standing {
    fn new(contender: &Contender, rounds: Vec<Round>, bare: &[Round], native: &[f64]) -> Self {
        let spread = |figure: fn(&Round) -> f64| Spread::from_figures(rounds.iter().map(figure));
        let added = added(&rounds, bare);
        Self {
            id: contender.id.to_owned(),
            what: contender.what.clone(),
            cpu_us: spread(|round| round.cpu_us),
            to_native: Spread::from_figures(
                added
                    .iter()
                    .zip(native)
                    .map(|(added, native)| added / native),
            ),
            added_us: Spread::from_figures(added),
            busy: spread(|round| round.busy),
            per_second: spread(|round| round.per_second),
            p50_us: spread(|round| round.p50_us),
            p99_us: spread(|round| round.p99_us),
            p999_us: spread(|round| round.p999_us),
            rounds,
        }
    }
}
