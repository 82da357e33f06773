//! The report in Markdown: a whole page, and four figures for README.

use std::fmt::Write as _;

use super::tables::{
    goals_table, lists_tables, management_tables, megabytes, scale_table, standings, thousands,
};
use super::{Report, Section, goals};
use crate::contest::{Contest, NATIVE};
use crate::lists::Lists;
use crate::management::Management;
use crate::nodes::Nodes;
use crate::requests::{EXT_AUTHZ, FULL, PLAIN, Requests};
use crate::scale::{InUse, Scale};

/// Returns the whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = String::from(
        "# Measurements\n\n`make bench` measures everything on this page. It rewrites the page, `results.json`, which has every round, \
         `requests.svg`, and the four figures in README. `make bench ARGS='requests --rounds 3'` measures one section and keeps \
         the others. [costs.md](costs.md) explains where the time of a request goes.\n",
    );
    let requests: Option<Section<Requests>> = report.section("requests");
    let scale: Option<Section<Scale>> = report.section("scale");
    let nodes: Option<Section<Nodes>> = report.section("nodes");
    let goals = goals::all(
        requests.as_ref().map(|section| &section.result),
        scale.as_ref().map(|section| &section.result),
        nodes.as_ref().map(|section| &section.result),
    );
    page.push_str(&goals_table(&goals));
    if let Some(Section { origin, result }) = &requests {
        let _ = write!(
            page,
            "\n## Requests\n\n{}\n\n{}",
            origin.sentence(),
            requests_text(result)
        );
    }
    if let Some(Section { origin, result }) = &scale {
        let _ = write!(
            page,
            "\n## Scale\n\n{}\n\n{}",
            origin.sentence(),
            scale_text(result)
        );
    }
    if let Some(Section { origin, result }) = &nodes {
        let _ = write!(
            page,
            "\n## Nodes\n\n{}\n\n{NODES}\n\n{}",
            origin.sentence(),
            result.table
        );
    }
    if let Some(Section { origin, result }) = report.section::<Management>("management") {
        let _ = write!(
            page,
            "\n## Management\n\n{}\n\n{}",
            origin.sentence(),
            management_tables(&result)
        );
    }
    if let Some(Section { origin, result }) = report.section::<Lists>("lists") {
        let _ = write!(
            page,
            "\n## Lists\n\n{}\n\n{}",
            origin.sentence(),
            lists_tables(&result)
        );
    }
    page
}

const NODES: &str = "A real control plane, and nodes in one process that speak the stream as the filter does \
    (`latchkey-nodes`, `tests/src/nodes/`); they share the machine. Some of them load the whole snapshot, the others connect \
    with the revision that those got to, as nodes that were connected before.";

/// Returns README's four figures, the number of goals that are not met, and the chart. A figure
/// that was not measured is left out.
pub(crate) fn summary(report: &Report) -> String {
    let requests: Option<Section<Requests>> = report.section("requests");
    let scale: Option<Section<Scale>> = report.section("scale");
    let nodes: Option<Section<Nodes>> = report.section("nodes");
    let figures = figures(requests.as_ref(), scale.as_ref(), nodes.as_ref());
    let goals = goals::all(
        requests.as_ref().map(|section| &section.result),
        scale.as_ref().map(|section| &section.result),
        nodes.as_ref().map(|section| &section.result),
    );
    let missed = goals
        .iter()
        .filter(|goal| goal.met() == Some(false))
        .count();

    let mut text = String::from("| | measured |\n|---|---|\n");
    for (name, figure) in figures {
        let _ = writeln!(text, "| {name} | {figure} |");
    }
    let _ = write!(
        text,
        "\n{missed} of {} goals are **not met**. [docs/bench/README.md](docs/bench/README.md) has all figures, the \
         machine, the method and the goals.\n",
        goals.len()
    );
    if requests.is_some() {
        text.push_str("\n![CPU that each filter adds to a request](docs/bench/requests.svg)\n");
    }
    text
}

/// Returns the figures for README, each with its description.
fn figures(
    requests: Option<&Section<Requests>>,
    scale: Option<&Section<Scale>>,
    nodes: Option<&Section<Nodes>>,
) -> Vec<(String, String)> {
    let added = requests.and_then(|section| {
        let added = |id| Some(section.result.contest.standing(id)?.added_us.median);
        let figure = format!("{:.1} µs, {:.1} µs", added(PLAIN)?, added(FULL)?);
        let (native, ext_authz) = (added(NATIVE)?, added(EXT_AUTHZ)?);
        let name = format!(
            "CPU of Envoy that Latchkey adds to a request: keys with a tier; keys with every check \
             (`api_key_auth` with `rbac` and `local_ratelimit`: {native:.1}; `ext_authz`: {ext_authz:.1})"
        );
        Some((name, figure))
    });
    let revocation = nodes.and_then(|section| {
        let figure = |path| section.result.figure(path);
        let (median, p99) = (figure("/quiet/wall_ms/p50")?, figure("/quiet/wall_ms/p99")?);
        let name = "`DELETE` of a key to its answer, acknowledged by 1,000 nodes with 1,000,000 keys: \
                    median; 99th percentile";
        Some((name.to_owned(), format!("{median:.1} ms, {p99:.1} ms")))
    });
    let step = scale.and_then(|section| {
        let step = section.result.steps.iter().max_by_key(|step| step.keys)?;
        Some((&section.result, step))
    });
    let memory = step.map(|(scale, step)| {
        let name = format!("memory of Envoy for each of {} keys", thousands(step.keys));
        (name, format!("{:.0} B", scale.bytes_per_key(step, 0)))
    });
    let start = step.map(|(_, step)| {
        let name = format!(
            "start of an Envoy with {} keys until it is ready",
            thousands(step.keys)
        );
        (
            name,
            format!("{:.2} s", step.loaded[0].ready_seconds.median),
        )
    });
    [added, revocation, memory, start]
        .into_iter()
        .flatten()
        .collect()
}

fn requests_text(requests: &Requests) -> String {
    let Requests { keys, contest } = requests;
    let rules = contest.rules;
    format!(
        "One Envoy process a contender, each with one worker, all on one core; the load, the control planes and the \
         service that `ext_authz` asks are on another. The same listener and the same route, which Envoy answers \
         itself, and no access log: only the HTTP filters differ (`tests/src/bin/bench/requests/`). Latchkey's are \
         those of `envoy/latchkey.yaml`, filter and guard, with a control plane behind them. {} keep-alive connections \
         send requests of HTTP/1.1 with nine headers, of which one is a key out of {}, drawn at random; all have to be \
         answered 200. Before that each contender has to refuse a request without a key, one with an unknown key, and, \
         where each key has a limit, what is beyond it.\n\n\
         In each of {} rounds everybody has {} turns of {} s, each after {} s that do not count, in an order that \
         rotates. CPU is that of all threads of the Envoy process, as the kernel counts it. What a contender adds is \
         over the bare Envoy of the same round, and is divided by what the native chain adds in that round. Figures are \
         the median of the rounds, and their range. Where Envoy's core is not busy, the other core bounds the requests \
         a second, as it does for `ext_authz`, whose service runs there; the CPU a request is Envoy's all the \
         same.\n\n{}{}\n![Added CPU a request](requests.svg)\n",
        rules.connections,
        thousands(*keys),
        rules.rounds,
        rules.turns,
        rules.seconds,
        rules.warm_up_seconds,
        disturbance(contest),
        standings(contest),
    )
}

/// Returns a warning if the measurement was disturbed, else an empty text.
fn disturbance(contest: &Contest) -> &'static str {
    if contest.was_disturbed() {
        "**The machine was not quiet**: even the bare Envoy did not keep its core busy. Ratios vary more than they \
         should.\n\n"
    } else {
        ""
    }
}

fn scale_text(scale: &Scale) -> String {
    let Scale {
        quiet,
        empty,
        in_use,
        ..
    } = scale;
    let mut text = String::from(
        "A control plane with so many keys that have a tier, and an Envoy that starts beside it, on one core, with one \
         worker and with four. It is ready when the key that was made last passes. Other traffic is a request each \
         millisecond on 16 connections to another listener of that Envoy, which has no filters, from the moment on at \
         which Envoy listens; a request that had to wait for the one before it counts from when it was due. Memory is \
         what is resident once it has settled, less that of an Envoy with one key, by key; what Envoy has free from its \
         start is used first, so that this figure is too low for few keys. Times and memory are the median of several \
         Envoys, the longest time of other traffic is also the range of each one's longest. Revocations are one after \
         the other. Databases come from `target/bench/`, where they are kept from run to run.\n\n",
    );
    let _ = writeln!(
        text,
        "For comparison: a quiet Envoy without filters answers the same traffic within {:.2} ms (median), {:.2} ms \
         (99 %) and {:.1} ms (longest). An Envoy with one key has {:.0} MB resident with one worker, {:.0} MB with \
         four.\n\n{}",
        quiet.median_ms,
        quiet.p99_ms,
        quiet.longest_ms,
        megabytes(empty[0]),
        megabytes(empty[1]),
        scale_table(scale),
    );
    if let Some(InUse { most, contest, .. }) = in_use {
        let _ = write!(
            text,
            "\nRequests as in the section above, in rounds of their own ({} of {} turns of {} s). Once each of the {} \
             keys has been used, which adds its counters, Envoy has {:.0} B for each.\n\n{}{}",
            contest.rules.rounds,
            contest.rules.turns,
            contest.rules.seconds,
            thousands(*most),
            in_use
                .as_ref()
                .map_or(0.0, |in_use| scale.bytes_per_key_in_use(in_use)),
            disturbance(contest),
            standings(contest),
        );
    }
    text
}
