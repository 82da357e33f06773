//! Contenders that are measured in turns: a machine that is slower for a while is so for all of
//! them, and what is compared is compared within a round. In a round everybody has several short
//! turns, each time in another order.

use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use latchkey_tests::Envoy;
use serde::{Deserialize, Serialize};

use crate::load::{Load, latencies};
use crate::process::cpu_time;
use crate::spread::Spread;
use crate::traffic::Traffic;

/// The contender over which the others' time is counted.
pub(crate) const BARE: &str = "bare";
/// The contender by which the others' time is divided.
pub(crate) const NATIVE: &str = "native";

/// An Envoy and what is sent to it.
pub(crate) struct Contender {
    pub(crate) id: &'static str,
    /// What it is, for the report.
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

/// How long it goes on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Rules {
    pub(crate) rounds: usize,
    /// Of each contender in a round.
    pub(crate) turns: usize,
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) connections: usize,
}

/// One contender in one round, all its turns together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) requests: u64,
    /// Of the Envoy process, a request.
    pub(crate) cpu_us: f64,
    /// How much of its core the Envoy process took.
    pub(crate) busy: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

/// What one contender came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) cpu_us: Spread,
    /// Over the bare Envoy of the same round.
    pub(crate) added_us: Spread,
    /// That, divided by the native chain's of the same round.
    pub(crate) to_native: Spread,
    pub(crate) busy: Spread,
    pub(crate) per_second: Spread,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) p999_us: Spread,
    pub(crate) rounds: Vec<Round>,
}

/// All of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Contest {
    pub(crate) rules: Rules,
    pub(crate) standings: Vec<Standing>,
}

impl Contest {
    /// Measures. Fails if a request does not pass.
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

    /// Whether the bare Envoy did not have its core to itself, or the load not its own: something
    /// else ran.
    pub(crate) fn was_disturbed(&self) -> bool {
        const BUSY: f64 = 0.95;
        self.standing(BARE)
            .is_some_and(|bare| bare.busy.median < BUSY)
    }

    pub(crate) fn standing(&self, id: &str) -> Option<&Standing> {
        self.standings.iter().find(|standing| standing.id == id)
    }

    /// What one adds to a bare Envoy's time, divided by what another adds in the same round.
    pub(crate) fn ratio(&self, id: &str, to: &str) -> Option<Spread> {
        let bare = &self.standing(BARE)?.rounds;
        let (one, other) = (
            added(&self.standing(id)?.rounds, bare),
            added(&self.standing(to)?.rounds, bare),
        );
        Some(Spread::of(
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

/// The turns of a round, so far.
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

/// In each round over the bare Envoy's time.
fn added(rounds: &[Round], bare: &[Round]) -> Vec<f64> {
    rounds
        .iter()
        .zip(bare)
        .map(|(round, bare)| round.cpu_us - bare.cpu_us)
        .collect()
}

impl Standing {
    fn new(contender: &Contender, rounds: Vec<Round>, bare: &[Round], native: &[f64]) -> Self {
        let spread = |figure: fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let added = added(&rounds, bare);
        Self {
            id: contender.id.to_owned(),
            what: contender.what.clone(),
            cpu_us: spread(|round| round.cpu_us),
            to_native: Spread::of(
                added
                    .iter()
                    .zip(native)
                    .map(|(added, native)| added / native),
            ),
            added_us: Spread::of(added),
            busy: spread(|round| round.busy),
            per_second: spread(|round| round.per_second),
            p50_us: spread(|round| round.p50_us),
            p99_us: spread(|round| round.p99_us),
            p999_us: spread(|round| round.p999_us),
            rounds,
        }
    }
}
