//! Ids in the paths of pages, which become a part of the paths of API calls.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::ConsoleState;
use crate::error::PageError;

/// The id in a page's path. Its characters cannot make it more than one segment of a path.
pub(super) struct Id(pub(super) String);

impl FromRequestParts<ConsoleState> for Id {
    type Rejection = PageError;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &ConsoleState,
    ) -> Result<Self, PageError> {
        let Path(id) = Path::<String>::from_request_parts(parts, console)
            .await
            .map_err(|_| PageError::NotFound)?;

        if is_plain(&id) {
            Ok(Self(id))
        } else {
            Err(PageError::NotFound)
        }
    }
}

fn is_plain(id: &str) -> bool {
    !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_plain_ids_are_accepted() {
        assert!(is_plain("key_4rHcXkT1bGz0"));
        for id in ["", "..", "a/b", "a?b", "a#b", "a%2Fb", "ä", "a b"] {
            assert!(!is_plain(id), "{id}");
        }
    }
}
