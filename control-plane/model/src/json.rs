//! Parses JSON more strictly than serde does, and reports the location of an error.

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A value that is read only from an object; serde also accepts an array of its fields' values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(ObjectVisitor(PhantomData))
            .map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Distinguishes a null field from an omitted one. The field also needs `#[serde(default)]`.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A whole number. `23.0` is accepted, too, because it is the same number in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Whole(pub u32);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {}", u32::MAX)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
        let whole = u32::try_from(number).map(Whole);
        whole.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
        let fits = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was just seen to fit"
        )]
        let whole = fits.then_some(Whole(number as u32));
        whole.ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
    }
}

/// An error in a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path of the invalid field, or `None` for the whole value.
    pub field: Option<String>,
    /// The reason, which continues a sentence that starts with the field's name, as in "must be …".
    pub reason: String,
}

impl Fault {
    /// Returns the same fault, with a path relative to the value that contains this one at `place`.
    pub fn within(self, place: &str) -> Self {
        let field = self
            .field
            .map_or_else(|| place.to_owned(), |field| format!("{place}.{field}"));
        Self {
            field: Some(field),
            ..self
        }
    }
}

/// Parses all of `bytes` as one value.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| fault(&error))?;
    match json.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(not_json(&error)),
    }
}

fn fault(error: &serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let inner = error.inner();
    if !inner.is_data() {
        return not_json(inner);
    }

    let place = format!(" at line {} column {}", inner.line(), inner.column());
    let text = inner.to_string();
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let path = error.path().to_string();

    // For unknown, missing and duplicate fields, serde gives the field's name in the text and the
    // path of the object that contains the field.
    for (kind, is) in [
        ("unknown", "is unknown"),
        ("missing", "is missing"),
        ("duplicate", "is given twice"),
    ] {
        let rest = text
            .strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix(" field `"));
        if let Some((field, rest)) = rest.and_then(|rest| rest.split_once('`')) {
            let field = match path.as_str() {
                "." => field.to_owned(),
                path if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
                path => format!("{path}.{field}"),
            };
            return Fault {
                field: Some(field),
                reason: format!("{is}{rest}"),
            };
        }
    }

    Fault {
        field: (path != ".").then_some(path),
        reason: format!("is refused: {text}"),
    }
}

fn not_json(error: &serde_json::Error) -> Fault {
    Fault {
        field: None,
        reason: format!("is not valid JSON: {error}"),
    }
}
