//! The parts of which descriptions of values are made. A type that serde reads or writes by code of
//! its own has its description beside that code.

use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

/// Any text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text that matches `pattern`, which is anchored at both ends by whoever needs that.
pub fn matching(pattern: impl Into<String>) -> ObjectBuilder {
    text().pattern(Some(pattern))
}

/// One of some words.
pub fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> ObjectBuilder {
    text().enum_values(Some(words))
}

/// A text of a form that has a name, because no pattern can say it.
pub fn formatted(format: &str) -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom(format.to_owned())))
}

/// A whole number of at least `least`.
pub fn number(least: u32) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(format))
        .minimum(Some(least))
}

/// An object that has no other fields than those it is given.
pub fn object() -> ObjectBuilder {
    use utoipa::openapi::schema::AdditionalProperties::FreeForm;
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(FreeForm(false)))
}

/// `null`.
pub fn null() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}
