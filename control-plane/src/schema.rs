//! What the descriptions of values are made of. A type that serde reads or writes by code of its
//! own says beside that code what it looks like; what is a text of some form, or is shared by many
//! types, is declared by [`schemas!`].

use utoipa::openapi::schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

/// Declares schemas by a name each, for fields whose Rust type says less than there is to say:
/// `#[schema(value_type = Name)]`.
macro_rules! schemas {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)+) => {$(
        $(#[doc = $doc])+
        pub(crate) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema.description(Some(concat!($($doc),+).trim())).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}
pub(crate) use schemas;

/// Any text.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text that matches `pattern`, which is anchored at both ends by whoever needs that.
pub(crate) fn matching(pattern: impl Into<String>) -> ObjectBuilder {
    text().pattern(Some(pattern))
}

/// One of some words.
pub(crate) fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> ObjectBuilder {
    text().enum_values(Some(words))
}

/// A text of a form that has a name, because no pattern can say it.
pub(crate) fn formatted(format: &str) -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom(format.to_owned())))
}

/// A whole number of at least `least`.
pub(crate) fn number(least: u32) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(format))
        .minimum(Some(least))
}

/// An object that has no other fields than those it is given.
pub(crate) fn object() -> ObjectBuilder {
    use utoipa::openapi::schema::AdditionalProperties::FreeForm;
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(FreeForm(false)))
}

/// `null`.
pub(crate) fn null() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}
