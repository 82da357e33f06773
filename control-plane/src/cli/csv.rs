//! CSV as RFC 4180 has it: commas, and quotation marks around what has one, a comma or a line break in it.

/// A record for each line; each has as many fields as the first.
pub(super) fn read(text: &str) -> Result<Vec<Vec<String>>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut records, mut record) = (Vec::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() || !record.is_empty() {
        let number = records.len() + 1;
        let (field, end, after) =
            field(rest).ok_or_else(|| format!("record {number}: its quotation marks do not end"))?;
        record.push(field);
        rest = after;
        if end == End::Record {
            records.push(std::mem::take(&mut record));
        }
    }
    // A blank line is no record.
    records.retain(|record| record.as_slice() != [""]);
    let width = records.first().map_or(0, Vec::len);
    match records.iter().position(|record| record.len() != width) {
        Some(index) => Err(format!("record {}: has {} fields, and not {width}", index + 1, records[index].len())),
        None => Ok(records),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Field,
    Record,
}

/// The first field, what ends it, and what comes after that.
fn field(text: &str) -> Option<(String, End, &str)> {
    let (field, rest) = match text.strip_prefix('"') {
        Some(quoted) => quotation(quoted)?,
        None => {
            let (field, rest) = text.split_at(text.find([',', '\r', '\n']).unwrap_or(text.len()));
            (field.to_owned(), rest)
        }
    };
    let line = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r']));
    match (rest.strip_prefix(','), line) {
        (Some(after), _) => Some((field, End::Field, after)),
        (None, Some(after)) => Some((field, End::Record, after)),
        (None, None) if rest.is_empty() => Some((field, End::Record, rest)),
        (None, None) => None,
    }
}

/// What comes before the quotation mark that ends it, with doubled ones as one; and what comes after.
fn quotation(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

/// A record, with its line break.
pub(super) fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = |field: &str| {
        if field.contains(['"', ',', '\r', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    let fields: Vec<_> = fields.into_iter().map(quoted).collect();
    fields.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let records = [["name", "description"], ["CI", "a \"b\", c\nd"], ["", "é;"], ["x", ""]];
        let text: String = records.iter().map(|record| line(record.iter().copied())).collect();
        assert_eq!(text, "name,description\nCI,\"a \"\"b\"\", c\nd\"\n,é;\nx,\n");
        assert_eq!(read(&text).unwrap(), records);
        assert_eq!(read(text.trim_end()).unwrap()[..3], records[..3]);
        assert_eq!(read("\u{feff}a,b\r\n\r\n1,2").unwrap(), [["a", "b"], ["1", "2"]]);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_csv_is_refused() {
        assert_eq!(read("a,b\n\"1,2\n").unwrap_err(), "record 2: its quotation marks do not end");
        assert_eq!(read("a\n\"1\"2\n").unwrap_err(), "record 2: its quotation marks do not end");
        assert_eq!(read("a,b\n1\n").unwrap_err(), "record 2: has 1 fields, and not 2");
    }
}
