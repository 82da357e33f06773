//! The plot: the time that each contender adds to a bare Envoy's, as bars with their range.

use std::fmt::Write as _;

use crate::contest::{BARE, Contest};

const WIDTH: f64 = 760.0;
/// The left edge of the bars.
const LEFT: f64 = 150.0;
/// The room for the figures after the longest bar.
const RIGHT: f64 = 130.0;
const ROW: f64 = 30.0;
const TOP: f64 = 48.0;

/// Returns a whole SVG file, legible on light and on dark pages.
pub(crate) fn added_time(contest: &Contest) -> String {
    let shown: Vec<_> = contest
        .standings
        .iter()
        .filter(|standing| standing.id != BARE)
        .collect();
    let longest = shown
        .iter()
        .map(|standing| standing.added_us.max)
        .fold(1.0, f64::max);
    let across = |us: f64| us.max(0.0) / longest * (WIDTH - LEFT - RIGHT);
    #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
    let height = TOP + ROW * shown.len() as f64 + 12.0;
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>CPU time that each adds to a request at Envoy</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="26" font-size="15" fill="#1f2328">CPU of Envoy a request over bare Envoy, µs: median of the rounds, and their range</text>
"##
    );
    for (row, standing) in (0_u32..).zip(shown) {
        let middle = TOP + ROW * (f64::from(row) + 0.5);
        let added = standing.added_us;
        let color = if is_ours(&standing.id) {
            "#0969da"
        } else {
            "#8c959f"
        };
        let (from, to) = (LEFT + across(added.min), LEFT + across(added.max));
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            r##"<text x="{:.1}" y="{:.1}" text-anchor="end" fill="#1f2328">{}</text>
<rect x="{LEFT}" y="{:.1}" width="{:.1}" height="18" fill="{color}"/>
<path d="M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v8M{to:.1} {:.1}v8" stroke="#1f2328" fill="none"/>
<text x="{:.1}" y="{:.1}" fill="#1f2328">{:.1}, {:.1} × native</text>"##,
            LEFT - 10.0,
            middle + 4.5,
            standing.id.replace('_', " "),
            middle - 9.0,
            across(added.median),
            middle - 4.0,
            middle - 4.0,
            to.max(LEFT + across(added.median)) + 8.0,
            middle + 4.5,
            added.median,
            standing.to_native.median,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn is_ours(id: &str) -> bool {
    use crate::requests::{DEFAULT, FULL, PLAIN};
    [PLAIN, DEFAULT, FULL].contains(&id)
}
