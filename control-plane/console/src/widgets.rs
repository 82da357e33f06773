//! The elements that pages are made of.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::api::Refusal;
use crate::session::{CSRF_FIELD, Session};

const DAY: i64 = 86_400;

/// The number of days before an expiry from which it is marked as near.
const SOON: i64 = 14;

/// Renders the token which shows that a form comes from the console.
pub(super) fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name=(CSRF_FIELD) value=(session.csrf); }
}

/// Renders a time. A script shows it in the reader's zone; without one, and on hover, it is in UTC.
pub(super) fn time(rfc3339: &str) -> Markup {
    let utc = rfc3339.replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(rfc3339) title=(utc) { (utc) } }
}

/// Renders a time, or `otherwise` if there is none.
pub(super) fn time_or(rfc3339: Option<&str>, otherwise: &str) -> Markup {
    rfc3339.map_or_else(|| html! { span .faint { (otherwise) } }, time)
}

/// Renders the number of days until an expiry.
pub(super) fn time_left(rfc3339: Option<&str>, now: i64) -> Markup {
    let Some(text) = rfc3339 else {
        return html! { span .faint { "never" } };
    };
    let Ok(end) = text.parse::<Timestamp>() else {
        return time(text);
    };

    let left = end.as_second().saturating_sub(now);
    let (class, words) = match left {
        ..=0 => ("bad", "expired".to_owned()),
        1..DAY => ("bad", "today".to_owned()),
        _ => {
            let days = left / DAY;
            (
                if days < SOON { "warn" } else { "" },
                if days == 1 {
                    "1 day".to_owned()
                } else {
                    format!("{days} days")
                },
            )
        }
    };

    html! { span class=(class) title=(text.replace('T', " ").replace('Z', " UTC")) { (words) } }
}

/// Renders a region around a table, which scrolls sideways on narrow screens.
pub(super) fn wide(label: &str, table: &Markup) -> Markup {
    html! { div .wide tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// Renders a table in a region with this label.
pub(super) fn wide_table(label: &str, columns: &Markup, rows: &Markup) -> Markup {
    wide(label, &html! { table { (head_and_body(columns, rows)) } })
}

/// Renders a table in a region with this label. On narrow screens its rows are stacked.
pub(super) fn stacked_table(label: &str, columns: &Markup, rows: &Markup) -> Markup {
    wide(
        label,
        &html! { table .stack { (head_and_body(columns, rows)) } },
    )
}

fn head_and_body(columns: &Markup, rows: &Markup) -> Markup {
    html! {
        thead { tr { (columns) } }
        tbody { (rows) }
    }
}

/// Renders the titles of columns.
pub(super) fn columns(titles: &[&str]) -> Markup {
    html! { @for title in titles { th scope="col" { (title) } } }
}

/// Renders the titles of columns with numbers.
pub(super) fn number_columns(titles: &[&str]) -> Markup {
    html! { @for title in titles { th .number scope="col" { (title) } } }
}

/// Renders a table cell. On narrow screens rows are stacked, and the cell is shown beside its
/// column's title.
pub(super) fn cell(column: &str, content: &Markup) -> Markup {
    html! { td data-label=(column) { (content) } }
}

/// Renders a table cell with a number.
pub(super) fn number_cell(column: &str, content: &Markup) -> Markup {
    html! { td .number data-label=(column) { (content) } }
}

/// Renders a highlighted word.
pub(super) fn badge(class: &str, text: &str) -> Markup {
    html! { span class={ "badge " (class) } { (text) } }
}

/// Renders the error of the field of that name, if the refusal is about it. The field refers to it
/// by its id.
pub(super) fn error(refusal: Option<&Refusal>, name: &str) -> Markup {
    html! {
        @if let Some(refusal) = refusal.filter(|refusal| refusal.is_about(name)) {
            span .error id={ (name) "-error" } role="alert" { (refusal.field_message()) }
        }
    }
}

/// Renders the error, unless it is about one of these fields.
pub(super) fn general_error(refusal: Option<&Refusal>, fields: &[&str]) -> Markup {
    html! {
        @if let Some(refusal) = refusal.filter(|refusal| !fields.iter().any(|field| refusal.is_about(field))) {
            p .error role="alert" { (refusal.error) }
        }
    }
}

/// Formats the length of a list, such as `1 key` and `2,000 keys`, or `10,000+ keys` if there may
/// be more.
pub(super) fn count(total: u64, is_estimate: bool, thing: &str) -> String {
    let (more, plural) = (
        if is_estimate { "+" } else { "" },
        if total == 1 && !is_estimate { "" } else { "s" },
    );
    format!("{}{more} {thing}{plural}", number(total))
}

/// Renders the element with the length of a list. It stays when the list is replaced, so that a
/// screen reader reads out the new number.
pub(super) fn list_count(count: &str) -> Markup {
    html! { p .count #count role="status" { (count) } }
}

/// Renders the new length of a list that htmx replaces.
pub(super) fn list_count_update(count: &str) -> Markup {
    html! { span hx-swap-oob="innerHTML:#count" { (count) } }
}

/// Renders links to the first page of a list, if `cursor` is not empty, and to the page after this
/// one, if `next` is a cursor. `address` returns the address of the page at a cursor, `texts` are
/// the texts of both links.
pub(super) fn pager(
    cursor: &str,
    next: Option<&str>,
    texts: [&str; 2],
    address: impl Fn(&str) -> String,
) -> Markup {
    let [first_text, next_text] = texts;
    html! {
        nav .pages aria-label="Pages" {
            @if !cursor.is_empty() { a href=(address("")) { (first_text) } }
            @if let Some(next) = next { a .button href=(address(next)) { (next_text) } }
        }
    }
}

/// Renders a sentence about an empty list, and what to do next.
pub(super) fn empty_list(sentence: &str, next: &Markup) -> Markup {
    html! { div .nothing { p .lead { (sentence) } (next) } }
}

/// Formats a number with separators between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (given, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(given), shown);
        }
    }

    #[test]
    fn near_expiry_is_marked() {
        let rendered = |end| time_left(Some(end), 1_800_000_000).into_string();
        assert!(
            rendered("2027-01-15T08:00:00Z").contains("class=\"bad\"")
                && rendered("2027-01-15T08:00:00Z").contains("expired")
        );
        assert!(rendered("2027-01-15T20:00:00Z").contains("today"));
        assert!(
            rendered("2027-01-17T08:00:00Z").contains("class=\"warn\"")
                && rendered("2027-01-17T08:00:00Z").contains("2 days")
        );
        assert!(rendered("2027-03-15T08:00:00Z").contains("class=\"\""));
        assert!(time_left(None, 0).into_string().contains("never"));
    }

    #[test]
    fn table_is_in_a_labelled_region() {
        let rows = html! { tr { td { "CI" } } };
        let table = stacked_table("Keys", &columns(&["Name"]), &rows).into_string();
        assert_eq!(
            table,
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Keys\">\
             <table class=\"stack\"><thead><tr><th scope=\"col\">Name</th></tr></thead>\
             <tbody><tr><td>CI</td></tr></tbody></table></div>"
        );
    }

    #[test]
    fn pager_links_only_to_other_pages() {
        let pages = |cursor, next| {
            let address = |cursor: &str| format!("?{cursor}");
            pager(cursor, next, ["First", "Next"], address).into_string()
        };

        assert_eq!(
            pages("", Some("b")),
            "<nav class=\"pages\" aria-label=\"Pages\">\
             <a class=\"button\" href=\"?b\">Next</a></nav>"
        );
        assert_eq!(
            pages("b", None),
            "<nav class=\"pages\" aria-label=\"Pages\"><a href=\"?\">First</a></nav>"
        );
    }
}
