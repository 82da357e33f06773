//! Declares schemas by a name each.

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
