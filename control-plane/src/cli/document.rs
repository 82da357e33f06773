//! Files that people give: YAML, of which JSON is a part. What is wrong with one is told with its path and line.

use serde::de::DeserializeOwned;
use serde_saphyr::options;
use std::fs;
use std::io;
use std::path::Path;

use super::error::CommandError;
use super::text::plain;

/// The file's text, or stdin's for `-`.
pub(super) fn text(file: &Path) -> Result<String, CommandError> {
    let text = if file == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
    text.map_err(|error| CommandError::file(file, format!("cannot be read: {error}")))
}

/// What the file says.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, CommandError> {
    parse(&text(file)?).map_err(|reason| CommandError::file(file, reason))
}

/// One document; what is unknown or given twice is refused.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut path = None;
    let options = options! { strict_booleans: true, with_snippet: false };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        serde_path_to_error::deserialize(yaml).map_err(|error| {
            path = Some(error.path().to_string());
            error.into_inner()
        })
    });
    read.map_err(|error| {
        let place = path.filter(|path| path != ".").map_or_else(String::new, |path| format!("{path}: "));
        plain(&format!("{place}{}", error.to_string().trim_end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        #[allow(dead_code)]
        keys: Vec<Key>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Key {
        #[allow(dead_code)]
        name: String,
    }

    #[test]
    fn yaml_and_json_are_read_alike() {
        let yaml = "rules:\n- {path: {exact: /health}, public: true}\n- path: {prefix: /}\n  methods: [GET]\nn: null\n";
        let value = json!({
            "rules": [{"path": {"exact": "/health"}, "public": true}, {"path": {"prefix": "/"}, "methods": ["GET"]}],
            "n": null,
        });
        assert_eq!(parse::<Value>(yaml).unwrap(), value);
        assert_eq!(parse::<Value>(&value.to_string()).unwrap(), value);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path_and_line() {
        let wrong = |text| parse::<Document>(text).unwrap_err();
        for (text, path, line) in [
            ("keys:\n- name: CI\n- name: CD\n  colour: red\n", "keys[1]", "line 4"),
            ("keys:\n- name: [1]\n", "keys[0].name", "line 2"),
            ("keys: {\n", "", "line"),
            ("key: []\n", "", "line 1"),
            ("keys: []\nkeys: []\n", "", "line 2"),
        ] {
            let error = wrong(text);
            assert!(error.contains(path) && error.contains(line) && !error.contains('\n'), "{error}");
        }
        assert!(wrong("keys:\n- {name: a, colour: b}\n").contains("colour"));
    }
}
