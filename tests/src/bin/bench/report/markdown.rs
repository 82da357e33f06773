//! The report in Markdown: a page of its own, and its tables for README.

use std::fmt::Write as _;

use super::goals::{self, Bound, Goal};
use super::{Report, Section};
use crate::contest::BARE;
use crate::management::{Management, Row};
use crate::requests::Requests;

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = String::from(
        "# Measurements\n\n`make bench` measures all of this, and rewrites this page, `results.json`, which has every round, `requests.svg`, \
         and the tables in README. `make bench ARGS='requests --rounds 3'` measures a part; the rest stays as it was \
         measured before.\n",
    );
    let requests: Option<Section<Requests>> = report.section("requests");
    let goals = goals::of_requests(requests.as_ref().map(|section| &section.result));
    page.push_str(&goals_table(&goals));
    if let Some(Section { origin, result }) = &requests {
        let rules = result.contest.rules;
        let _ = write!(
            page,
            "\n## Requests\n\n{}\n\nOne Envoy process a contender, each with one worker, all on core 0; the load, the \
             control planes and the service that `ext_authz` asks are on core 1. The same listener, the same route, \
             which Envoy answers itself, no access log: only the HTTP filters differ. {} keep-alive connections send \
             requests of HTTP/1.1 with nine headers, of which one is a key out of {}, drawn at random; all have to be \
             answered 200. Before that each contender has to refuse a request without a key, one with an unknown key, \
             and, where it has limits for each key, what is beyond them. In each of {} rounds everybody has {} turns of \
             {} s, each after {} s that do not count, in an order that rotates. CPU is that of all threads of the Envoy \
             process, from the kernel's schedstat. What a contender adds is over the bare Envoy of the same round, and \
             is divided by what the native chain adds in that round. Figures are the median of the rounds, and their \
             range. Envoy's core is to be busy: where it is not, the load or the service on the other core is what \
             bounds the requests a second, not the CPU a request.\n\n{}\n![Added CPU a request](requests.svg)\n",
            origin.sentence(),
            rules.connections,
            result.keys,
            rules.rounds,
            rules.turns,
            rules.seconds,
            rules.warm_up_seconds,
            requests_table(result, true),
        );
    }
    if let Some(Section { origin, result }) = report.section::<Management>("management") {
        let _ = write!(page, "\n## Management\n\n{}\n\n{}", origin.sentence(), management_tables(&result));
    }
    page
}

/// The tables for README.
pub(crate) fn summary(report: &Report) -> String {
    let mut text = String::new();
    if let Some(Section { result, .. }) = report.section::<Requests>("requests") {
        let _ = write!(
            text,
            "CPU of the Envoy process a request, one worker, {} keys; medians of {} rounds, and their range \
             ([all of it](docs/bench/README.md)):\n\n{}\n![Added CPU a request](docs/bench/requests.svg)\n\n",
            result.keys,
            result.contest.rules.rounds,
            requests_table(&result, false)
        );
    }
    if let Some(Section { result, .. }) = report.section::<Management>("management") {
        text.push_str(&management_tables(&result));
    }
    text
}

fn goals_table(goals: &[Goal]) -> String {
    let mut table = String::from("\n## Goals\n\n| | measured | goal | aim | |\n|---|---|---|---|---|\n");
    for goal in goals {
        let unit = goal.unit;
        let measured = goal.figure.map_or("not yet".to_owned(), |figure| format!("{}{unit}", figure_text(figure)));
        let bound = match goal.bound {
            Bound::AtMost(bound) => format!("≤ {bound}{unit}"),
            Bound::AtLeast(bound) => format!("≥ {bound}{unit}"),
        };
        let aim = goal.aim.map_or(String::new(), |aim| format!("{aim}{unit}"));
        let met = match goal.met() {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "",
        };
        let _ = writeln!(table, "| {} | {measured} | {bound} | {aim} | {met} |", goal.what);
    }
    table
}

/// With as many decimals as mean something.
fn figure_text(figure: f64) -> String {
    if figure.abs() >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

fn requests_table(requests: &Requests, all: bool) -> String {
    let mut table = String::from("| | CPU, µs | over bare, µs | ÷ native | requests/s | p50, µs | p99, µs |");
    table.push_str(if all { " p99.9, µs | Envoy's core busy |\n" } else { "\n" });
    table.push_str(if all { "|---|---|---|---|---|---|---|---|---|\n" } else { "|---|---|---|---|---|---|---|\n" });
    for standing in &requests.contest.standings {
        let (over, ratio) = if standing.id == BARE {
            (String::new(), String::new())
        } else {
            (format!("{:.2}", standing.added_us), format!("{:.2}", standing.to_native))
        };
        let _ = write!(table, "| {} | {:.2} | {over} | {ratio} |", standing.what, standing.cpu_us);
        let _ = write!(table, " {:.0} | {:.0} | {:.0} |", standing.per_second, standing.p50_us, standing.p99_us);
        if all {
            let _ = write!(table, " {:.0} | {:.0} % |", standing.p999_us, standing.busy.median * 100.0);
        }
        table.push('\n');
    }
    table
}

fn management_tables(management: &Management) -> String {
    let Management { keys, keys_in_a_call, imported_per_second, writes, reads, walk_pages, walk_seconds } = management;
    let mut text =
        format!("What the API takes with {keys} keys, beside what SQLite itself can write on the same disk:\n\n");
    let rows = |text: &mut String, rows: &[Row]| {
        for Row { what, per_second, median_ms, p99_ms } in rows {
            let _ = writeln!(text, "| {what} | {per_second:.0} | {median_ms:.2} ms | {p99_ms:.2} ms |");
        }
    };
    text.push_str("| writes, one a transaction | a second | median | 99th percentile |\n|---|---|---|---|\n");
    rows(&mut text, writes);
    let _ =
        writeln!(text, "| `POST /v1/keys/import`, {keys_in_a_call} keys a call: keys | {imported_per_second:.0} | | |");
    text.push_str("\n| reads of 100 keys, 1 client | a second | median | 99th percentile |\n|---|---|---|---|\n");
    rows(&mut text, reads);
    let _ = writeln!(text, "\nAll of them, in {walk_pages} pages of 1,000, take {walk_seconds:.1} s.");
    text
}
