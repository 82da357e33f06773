//! The report's tables, in Markdown.

use std::fmt::Write as _;

use super::goals::{Bound, Goal};
use crate::contest::{BARE, Contest};
use crate::lists::{BOUND_MS, Lists, SlowReads};
use crate::management::{Management, Row};
use crate::scale::{Loaded, Scale, Step};

pub(super) fn goals_table(goals: &[Goal]) -> String {
    let mut table =
        String::from("\n## Goals\n\n| | measured | goal | aim | |\n|---|---|---|---|---|\n");
    for goal in goals {
        let unit = goal.unit;
        let measured = goal.figure.map_or("not yet".to_owned(), |figure| {
            format!("{}{unit}", figure_text(figure))
        });
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
        let _ = writeln!(
            table,
            "| {} | {measured} | {bound} | {aim} | {met} |",
            goal.what
        );
    }
    table
}

/// Formats a figure with a suitable number of decimals.
fn figure_text(figure: f64) -> String {
    if figure.abs() >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}

/// Formats a number with separators: `1,000,000`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn standings(contest: &Contest) -> String {
    let mut table = String::from(
        "| | CPU, µs | over bare, µs | ÷ native | requests/s | p50, µs | p99, µs | p99.9, µs | Envoy's core busy |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for standing in &contest.standings {
        let (over, ratio) = if standing.id == BARE {
            (String::new(), String::new())
        } else {
            (
                format!("{:.2}", standing.added_us),
                format!("{:.2}", standing.to_native),
            )
        };
        let _ = write!(
            table,
            "| {} | {:.2} | {over} | {ratio} |",
            standing.what, standing.cpu_us
        );
        let _ = writeln!(
            table,
            " {:.0} | {:.0} | {:.0} | {:.0} | {:.0} % |",
            standing.per_second,
            standing.p50_us,
            standing.p99_us,
            standing.p999_us,
            standing.busy.median * 100.0
        );
    }
    table
}

/// A function that returns a row's cell for a number of keys.
type Figure<'f> = &'f dyn Fn(&Step) -> String;

/// Returns a table with a column for each number of keys.
pub(super) fn scale_table(scale: &Scale) -> String {
    let row = |what: &str, figure: Figure<'_>| {
        let figures = scale
            .steps
            .iter()
            .map(|step| format!(" {} |", figure(step)));
        format!("| {what} |{}\n", figures.collect::<String>())
    };
    let both = |step: &Step, figure: &dyn Fn(&Loaded) -> String| {
        let [one, four] = &step.loaded;
        format!("{}, {}", figure(one), figure(four))
    };
    let mut table = row("keys", &|step| thousands(step.keys));
    table.push_str(&format!("|---|{}\n", "---|".repeat(scale.steps.len())));
    let rows: [(&str, Figure<'_>); 9] = [
        ("start to ready, s: 1 worker, 4", &|step| {
            both(step, &|loaded| {
                format!("{:.2}", loaded.ready_seconds.median)
            })
        }),
        (
            "other traffic meanwhile, longest, ms: 1 worker, 4",
            &|step| both(step, &|loaded| format!("{:.1}", loaded.beside_longest_ms)),
        ),
        ("other traffic meanwhile, 99 %, ms: 1 worker, 4", &|step| {
            both(step, &|loaded| {
                format!("{:.2}", loaded.beside_p99_ms.median)
            })
        }),
        ("Envoy's memory for each key, B: 1 worker, 4", &|step| {
            format!(
                "{:.0}, {:.0}",
                scale.bytes_per_key(step, 0),
                scale.bytes_per_key(step, 1)
            )
        }),
        ("the native chain's memory for each key, B", &|step| {
            step.native_bytes_per_key
                .map_or("–".to_owned(), |bytes| format!("{bytes:.0}"))
        }),
        ("`DELETE` to its answer, ms: median, 99 %", &|step| {
            format!(
                "{:.1}, {:.1}",
                step.revocations.answered_p50_ms, step.revocations.answered_p99_ms
            )
        }),
        ("of which until acknowledged, ms: median, 99 %", &|step| {
            format!(
                "{}, {}",
                step.revocations.acknowledged_p50_ms, step.revocations.acknowledged_p99_ms
            )
        }),
        ("bytes on the stream for one change", &|step| {
            format!("{:.0}", step.revocations.stream_bytes)
        }),
        ("control plane's memory, MB", &|step| {
            format!("{:.0}", megabytes(step.control_plane_bytes))
        }),
    ];
    rows.iter()
        .for_each(|(what, figure)| table.push_str(&row(what, *figure)));
    table
}

pub(super) fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}

pub(super) fn management_tables(management: &Management) -> String {
    let Management {
        keys,
        keys_in_a_call,
        imported_per_second,
        writes,
        reads,
        walk_pages,
        walk_seconds,
    } = management;
    let mut text = format!(
        "What the API takes with {} keys, beside what SQLite itself can write on the same disk:\n\n",
        thousands(*keys)
    );
    let rows = |text: &mut String, rows: &[Row]| {
        for Row {
            what,
            per_second,
            median_ms,
            p99_ms,
        } in rows
        {
            let _ = writeln!(
                text,
                "| {what} | {per_second:.0} | {median_ms:.2} ms | {p99_ms:.2} ms |"
            );
        }
    };
    text.push_str(
        "| writes, one a transaction | a second | median | 99th percentile |\n|---|---|---|---|\n",
    );
    rows(&mut text, writes);
    let _ = writeln!(
        text,
        "| `POST /v1/keys/import`, {keys_in_a_call} keys a call: keys | {imported_per_second:.0} | | |"
    );
    text.push_str("\n| reads of 100 keys, 1 client | a second | median | 99th percentile |\n|---|---|---|---|\n");
    rows(&mut text, reads);
    let _ = writeln!(
        text,
        "\nAll of them, in {walk_pages} pages of 1,000, take {walk_seconds:.1} s."
    );
    text
}

pub(super) fn lists_tables(lists: &Lists) -> String {
    let mut text = format!(
        "One account with 1,100,000 keys, of which 100,000 are revoked, 1,000,000 entries of the audit, and a day of usage of \
         100,000 keys (`tests/src/bin/bench/lists/stock.sql`); one client. No list may take more than {BOUND_MS:.0} ms, 99 \
         times of 100; the longest took {:.0} ms.\n",
        lists.longest_ms()
    );
    for (title, rows) in [
        ("lists of the API", &lists.api),
        ("pages of the console", &lists.console),
    ] {
        let _ = write!(
            text,
            "\n| {title} | median | 99th percentile | |\n|---|---|---|---|\n"
        );
        for Row {
            what,
            median_ms,
            p99_ms,
            ..
        } in rows
        {
            let late = if *p99_ms > BOUND_MS {
                "**too long**"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "| {what} | {median_ms:.1} ms | {p99_ms:.1} ms | {late} |"
            );
        }
    }
    slow_reads_table(&mut text, &lists.slow_reads);
    text
}

fn slow_reads_table(text: &mut String, slow_reads: &SlowReads) {
    let SlowReads {
        readers,
        answered,
        refused,
        interrupted,
        rows,
    } = slow_reads;
    let _ = write!(
        text,
        "\n{readers} of the slowest lists at a time, read by a user who may only read ({answered} were answered, {refused} \
         refused with 429, {interrupted} interrupted with 503), and the calls of others meanwhile:\n\n\
         | call | median | 99th percentile |\n|---|---|---|\n"
    );
    for Row {
        what,
        median_ms,
        p99_ms,
        ..
    } in rows
    {
        let _ = writeln!(text, "| {what} | {median_ms:.1} ms | {p99_ms:.1} ms |");
    }
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn a_number_has_its_commas() {
        assert_eq!(
            [7, 100, 1_000, 1_234_567].map(thousands),
            ["7", "100", "1,000", "1,234,567"]
        );
    }
}
