//! The parts from which schemas are built. A type with its own serde code has its schema beside
//! that code.

use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

/// Returns the schema of any text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Returns the schema of a text that matches `pattern`. Callers anchor it at both ends if they need
/// that.
pub fn matching(pattern: impl Into<String>) -> ObjectBuilder {
    text().pattern(Some(pattern))
}

/// Returns the schema of one of several words.
pub fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> ObjectBuilder {
    text().enum_values(Some(words))
}

/// Returns the schema of a text in a named format, for formats that no pattern can describe.
pub fn formatted(format: &str) -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom(format.to_owned())))
}

/// Returns the schema of a whole number of at least `least`.
pub fn number(least: u32) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(format))
        .minimum(Some(least))
}

/// Returns the schema of an object without additional properties.
pub fn object() -> ObjectBuilder {
    use utoipa::openapi::schema::AdditionalProperties::FreeForm;
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(FreeForm(false)))
}

/// Returns the schema of `null`.
pub fn null() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}
