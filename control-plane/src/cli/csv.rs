//! CSV as RFC 4180 has it.

use ::csv::{ReaderBuilder, WriterBuilder};

/// A record for each line that is not blank; each has as many fields as the first.
pub(super) fn read(text: &str) -> Result<Vec<Vec<String>>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let fields = |record: ::csv::StringRecord| record.iter().map(str::to_owned).collect();
    reader.records().map(|record| record.map(fields).map_err(|error| error.to_string())).collect()
}

/// A record, with its line break.
pub(super) fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    // Writing into memory cannot fail, and what is made of texts is one.
    let _ = writer.write_record(fields);
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
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
        assert_eq!(read(text.trim_end()).unwrap(), records);
        assert_eq!(read("\u{feff}a,b\r\n\r\n1,2").unwrap(), [["a", "b"], ["1", "2"]]);
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn a_record_of_another_length_is_refused() {
        let error = read("a,b\n1\n").unwrap_err();
        assert!(error.contains("1 fields") && error.contains("2 fields"), "{error}");
    }
}
