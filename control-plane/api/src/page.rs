//! Paging of lists: `limit`, `cursor` and `search`, the same for all lists.
//!
//! A cursor contains the position at which a page begins and the list that it belongs to: base64url
//! of `[list, [value, number]]`, where `list` identifies the list with its search and other
//! parameters. A cursor of another list is refused, because it would mean something else there.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_model::text::nfc;
use latchkey_store::{PageQuery, Position};
use sha2::{Digest as _, Sha256};

use super::error::ApiError;
use super::extract::Params;

pub(crate) const MAX_SEARCH_LEN: usize = 100;

/// The number of digest bytes that identify a list.
const LIST_LEN: usize = 9;

/// The paging parameters of a request.
pub(crate) struct PageParams {
    pub(crate) query: PageQuery,
    /// Identifies the list.
    list: String,
}

impl PageParams {
    /// Takes the parameters from the query. `list` is the list's name together with all other
    /// parameters that determine its contents and order.
    pub(crate) fn take(params: &mut Params, list: &str) -> Result<Self, ApiError> {
        let limit = params.limit()?;
        let search = params
            .text("search")?
            .filter(|text| !text.is_empty())
            .map(|text| nfc(&text).into_owned());
        if search
            .as_ref()
            .is_some_and(|text| text.chars().count() > MAX_SEARCH_LEN)
        {
            let reason = format_args!("must have at most {MAX_SEARCH_LEN} characters");
            return Err(ApiError::parameter("search", reason));
        }
        let digest = Sha256::digest(format!("{list} {search:?}"));
        let list = URL_SAFE_NO_PAD.encode(digest.get(..LIST_LEN).unwrap_or_default());
        let after = params
            .text("cursor")?
            .map(|cursor| position(&cursor, &list))
            .transpose()?;
        Ok(Self {
            query: PageQuery {
                limit,
                after,
                search,
            },
            list,
        })
    }

    /// Returns the cursor of the page that begins after `position`.
    pub(crate) fn cursor(&self, position: Option<&Position>) -> Option<String> {
        let json = serde_json::to_vec(&(&self.list, position?)).ok()?;
        Some(URL_SAFE_NO_PAD.encode(json))
    }
}

fn position(cursor: &str, list: &str) -> Result<Position, ApiError> {
    let json = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
    match serde_json::from_slice::<(String, Position)>(&json) {
        Ok((name, position)) if name == list => Ok(position),
        Ok(_) => Err(ApiError::parameter(
            "cursor",
            "is from a list with another sort order, filter or search",
        )),
        Err(_) => Err(ApiError::parameter(
            "cursor",
            "must be the `next_cursor` of an earlier response",
        )),
    }
}
