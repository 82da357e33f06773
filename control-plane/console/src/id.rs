//! Ids in the paths of pages, which become a part of the paths of API calls.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::Page;
use crate::failure::Failure;

/// The id in a page's path. Its characters cannot make it more than one segment of a path.
pub(super) struct Id(pub(super) String);

impl FromRequestParts<Page> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Page) -> Result<Self, Failure> {
        let Path(id) = Path::<String>::from_request_parts(parts, console)
            .await
            .map_err(|_| Failure::NotFound)?;
        if is_plain(&id) {
            Ok(Self(id))
        } else {
            Err(Failure::NotFound)
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
    fn what_is_no_id_is_no_part_of_a_call() {
        assert!(is_plain("key_4rHcXkT1bGz0"));
        for id in ["", "..", "a/b", "a?b", "a#b", "a%2Fb", "ä", "a b"] {
            assert!(!is_plain(id), "{id}");
        }
    }
}
