//! The figures as a table.

use std::fmt::Write as _;

use crate::measure::{Deletes, Figures};
use crate::quantiles::Quantiles;

/// Returns the table in Markdown.
pub(crate) fn markdown(figures: &Figures) -> String {
    let Figures {
        plan,
        snapshot,
        restart,
        ..
    } = figures;
    let mut out = String::new();
    let mut row = |what: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {what} | {value} |");
    };
    row(
        &format!(
            "one control plane, {} nodes, {} keys",
            plan.nodes, plan.keys
        ),
        String::new(),
    );
    row("---", "---".to_owned());
    if let Some(import) = figures.import {
        let keys = f64::from(u32::try_from(plan.keys).unwrap_or(u32::MAX));
        row(
            "import of all keys",
            format!(
                "{:.0} s, {:.0} keys/s",
                import.seconds,
                keys / import.seconds
            ),
        );
        row(
            "memory of the control plane while it imports, peak",
            megabytes(import.peak_rss_bytes),
        );
    }
    row(
        "start of the control plane to ready",
        format!("{:.0} ms", figures.start_ms),
    );
    row("whole snapshot", megabytes(snapshot.bytes));
    row("one node loads it", seconds(snapshot.one_node_ms));
    row(
        &format!("{} more load it at once", plan.whole - 1),
        seconds(snapshot.others_ms),
    );
    row(
        &format!("{} nodes connect and resume", plan.nodes - plan.whole),
        seconds(figures.resumed_ms),
    );
    deletes(&mut row, "", &figures.quiet);
    deletes(
        &mut row,
        &format!(", each node reports usage every {} ms", plan.report_ms),
        &figures.reporting,
    );
    row(
        "CPU of the control plane, no changes",
        format!("{:.0} ‰ of a core", figures.idle_millicores),
    );
    row(
        "memory of the control plane, settled",
        megabytes(figures.rss_bytes),
    );
    row(
        "memory of the control plane, peak",
        megabytes(figures.peak_rss_bytes),
    );
    row("restart: start to ready", seconds(restart.ready_ms));
    let current = format!(
        "restart: start to all nodes current, {} changes behind",
        restart.changes
    );
    row(&current, seconds(restart.all_current_ms));
    row(
        "restart: CPU of the control plane until then",
        seconds(restart.cpu_ms),
    );
    row(
        "restart: memory of the control plane, peak",
        megabytes(restart.peak_rss_bytes),
    );
    out
}

fn deletes(row: &mut impl FnMut(&str, String), when: &str, deletes: &Deletes) {
    row(
        &format!("`DELETE` to acknowledged by all nodes{when}: answered"),
        quantiles(deletes.wall_ms, "ms"),
    );
    row(
        &format!("`DELETE`{when}: `elapsed_ms`"),
        quantiles(deletes.enforcement_ms, "ms"),
    );
    row(
        &format!("one change on one stream{when}: received"),
        quantiles(deletes.received_bytes, "B"),
    );
    row(
        &format!("one change on one stream{when}: sent"),
        quantiles(deletes.sent_bytes, "B"),
    );
    row(
        &format!("CPU of the control plane a change{when}"),
        format!("{:.1} ms", deletes.cpu_ms),
    );
}

fn quantiles(of: Quantiles, unit: &str) -> String {
    format!(
        "median {:.1}, p99 {:.1}, max {:.1} {unit}",
        of.p50, of.p99, of.max
    )
}

fn seconds(milliseconds: f64) -> String {
    format!("{:.2} s", milliseconds / 1e3)
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}
