//! Writes a JSON document with one long list, page by page. The output is the same as
//! [`text::json`] of the whole document.

use serde_json::Value;

use super::text;

/// The text before each entry.
const INDENT: &str = "\n    ";

/// A document of which a part is written.
pub(super) struct ListDocument {
    list: &'static str,
    begun: bool,
    /// True if an entry is written.
    any: bool,
}

impl ListDocument {
    /// Creates a document with its entries in the field `list`.
    pub(super) fn new(list: &'static str) -> Self {
        Self {
            list,
            begun: false,
            any: false,
        }
    }

    /// Returns the text of these entries, which follows that of the earlier ones.
    pub(super) fn entries(&mut self, entries: &[Value]) -> String {
        let mut out = self.beginning();
        for entry in entries {
            out.push_str(if self.any { "," } else { "" });
            out.push_str(INDENT);
            // JSON has line breaks only between values.
            out.push_str(&text::json(entry).replace('\n', INDENT));
            self.any = true;
        }
        out
    }

    fn beginning(&mut self) -> String {
        if self.begun {
            return String::new();
        }
        self.begun = true;
        format!("{{\n  \"{}\": [", self.list)
    }

    /// Returns the text of the end, with the other fields of `rest`.
    pub(super) fn end(mut self, rest: &Value) -> String {
        let mut out = self.beginning();
        out.push_str(if self.any { "\n  ]" } else { "]" });
        for (name, value) in rest
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != self.list)
        {
            let (name, value) = (
                Value::from(name.as_str()),
                text::json(value).replace('\n', "\n  "),
            );
            out.push_str(&format!(",\n  {}: {value}", text::json(&name)));
        }
        out.push_str("\n}\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pages_are_joined_into_one_document() {
        let entry = |n: u32| json!({"name": format!("a\nb\u{202e}{n}"), "list": [1, {"x": null}], "none": [], "no": {}});
        for pages in [
            vec![],
            vec![vec![]],
            vec![vec![entry(1), entry(2)], vec![entry(3)], vec![]],
        ] {
            let whole = json!({"keys": pages.concat(), "total": 3, "deep": {"a": [1]}, "next_cursor": null});
            let mut document = ListDocument::new("keys");
            let mut text: String = pages.iter().map(|page| document.entries(page)).collect();
            text.push_str(
                &document.end(
                    &json!({"keys": null, "total": 3, "deep": {"a": [1]}, "next_cursor": null}),
                ),
            );
            assert_eq!(text, text::json(&whole) + "\n");
        }
    }
}
