//! A macro that declares named schemas.

/// Declares named schemas, for fields whose Rust type does not describe all their bounds:
/// `#[schema(value_type = Name)]`.
macro_rules! named_schemas {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)+) => {$(
        $(#[doc = $doc])+
        pub enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema.description(Some(concat!($($doc),+).trim())).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}
pub(crate) use named_schemas;
