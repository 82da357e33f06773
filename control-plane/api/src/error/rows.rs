//! A macro that makes the error type from the rows of the catalogue.

use axum::http::StatusCode;

/// A row of the catalogue of errors.
#[derive(Debug, Clone, Copy)]
pub struct ErrorRow {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable code, for programs.
    pub code: &'static str,
    /// The kind of error, for people.
    pub title: &'static str,
    /// The text, with the names of its parameters in braces.
    pub text: &'static str,
}

/// Declares `ApiError` and `ERRORS` from rows: `Name { parameters } = STATUS "code" "Title" "text",
/// field = …, retry_after = …;`.
macro_rules! errors {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $({ $($parameter:ident: $type:ty),+ })? =
            $status:ident $code:literal $title:literal $text:literal
            $(, field = $field:expr)? $(, retry_after = $seconds:expr)?;
    )+) => {
        /// The rows of all errors.
        pub const ERRORS: &[$crate::error::rows::ErrorRow] = &[$(errors!(@row $status $code $title $text)),+];

        /// The reason why a request is refused.
        #[derive(Debug)]
        pub(crate) enum ApiError {
            $(
                $(#[doc = $doc])+
                $name $({ $($parameter: $type),+ })?,
            )+
            /// One of several rows of the body is invalid.
            Row {
                /// The row's error.
                error: Box<ApiError>,
                /// The row's position, such as `keys[0]`.
                place: String,
            },
        }

        #[allow(unused_variables)]
        impl ApiError {
            /// Returns the row of the catalogue.
            pub(crate) fn row(&self) -> &'static $crate::error::rows::ErrorRow {
                match self {
                    $(Self::$name { .. } => const { &errors!(@row $status $code $title $text) },)+
                    Self::Row { error, .. } => error.row(),
                }
            }

            /// Returns the text with its parameters.
            #[allow(clippy::useless_format)]
            pub(super) fn text(&self) -> String {
                match self {
                    $(Self::$name $({ $($parameter),+ })? => format!($text),)+
                    Self::Row { error, place } => error.text_in_row(place),
                }
            }

            /// Returns the field or parameter at fault, if it is a single one.
            pub(super) fn field_at_fault(&self) -> Option<std::borrow::Cow<'_, str>> {
                let field: Option<&str> = match self {
                    $(Self::$name $({ $($parameter),+ })? => errors!(@optional $($field)?),)+
                    Self::Row { error, place } => return Some(error.field_in_row(place).into()),
                };
                field.map(Into::into)
            }

            /// Returns the value of `Retry-After`, in seconds.
            pub(super) fn retry_after(&self) -> Option<u32> {
                match self {
                    $(Self::$name $({ $($parameter),+ })? => errors!(@some $($seconds)?),)+
                    Self::Row { .. } => None,
                }
            }
        }
    };
    (@row $status:ident $code:literal $title:literal $text:literal) => {
        $crate::error::rows::ErrorRow {
            status: axum::http::StatusCode::$status,
            code: $code,
            title: $title,
            text: $text,
        }
    };
    (@optional $value:expr) => { $value };
    (@optional) => { None };
    (@some $value:expr) => { Some($value) };
    (@some) => { None };
}
pub(super) use errors;
