//! Reads files given by users: YAML, of which JSON is a subset. Errors have the path of the field
//! and the line.

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::options;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::error::CommandError;
use super::text::plain;

/// Returns the text of the file, or of stdin for `-`.
pub(super) fn text(file: &Path) -> Result<String, CommandError> {
    let text = if file == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|error| CommandError::file(file, format!("cannot be read: {error}")))
}

/// Reads and parses a file.
pub(super) fn read<T: DeserializeOwned>(file: &Path) -> Result<T, CommandError> {
    parse(&text(file)?).map_err(|reason| CommandError::file(file, reason))
}

/// Parses one document. Refuses unknown and duplicate fields.
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
        let place = path
            .filter(|path| path != ".")
            .map_or_else(String::new, |path| format!("{path}: "));
        plain(&format!("{place}{}", error.to_string().trim_end()))
    })
}

/// Parses like [`parse`], but without a size limit for JSON. YAML has limits because its aliases
/// can expand a short text into a large value.
pub(super) fn value(text: &str) -> Result<Value, String> {
    match serde_json::from_str::<StrictValue>(text) {
        Ok(StrictValue(value)) => Ok(value),
        Err(error) if error.is_data() => Err(plain(&error.to_string())),
        Err(_) => parse(text),
    }
}

/// A value in which no field is given twice.
struct StrictValue(Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(StrictValue(entry)) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, StrictValue(value))) = fields.next_entry::<String, _>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom(format_args!("duplicate field `{name}`")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        #[allow(dead_code)]
        keys: Vec<Key>,
    }

    #[derive(Debug, serde::Deserialize)]
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

    /// Reads JSON of any size.
    #[test]
    fn json_and_yaml_are_read() {
        let large = json!({"keys": vec![json!({"name": "CI", "limits": {"day": 1.5, "hour": -1}, "on": [true, null]}); 50_000]});
        assert!(
            parse::<Value>(&large.to_string()).is_err(),
            "a reader of YAML has its bounds"
        );
        assert!(value(&large.to_string()).unwrap() == large);
        assert_eq!(
            value("keys:\n- {name: CI}\n").unwrap(),
            json!({"keys": [{"name": "CI"}]})
        );
        assert_eq!(value("[{name: CI}]").unwrap(), json!([{"name": "CI"}]));
        let error = value(r#"{"keys": [{"name": "CI", "name": "CD"}]}"#).unwrap_err();
        assert!(
            error.starts_with("duplicate field `name` at line 1"),
            "{error}"
        );
    }

    #[test]
    fn document_error_has_path_and_line() {
        let wrong = |text| parse::<Document>(text).unwrap_err();
        for (text, path, line) in [
            (
                "keys:\n- name: CI\n- name: CD\n  colour: red\n",
                "keys[1]",
                "line 4",
            ),
            ("keys:\n- name: [1]\n", "keys[0].name", "line 2"),
            ("keys: {\n", "", "line"),
            ("key: []\n", "", "line 1"),
            ("keys: []\nkeys: []\n", "", "line 2"),
        ] {
            let error = wrong(text);
            assert!(
                error.contains(path) && error.contains(line) && !error.contains('\n'),
                "{error}"
            );
        }

        assert!(wrong("keys:\n- {name: a, colour: b}\n").contains("colour"));
    }
}
