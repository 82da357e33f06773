//! The request, as far as a verdict may need it.

use crate::credential::Presented;
use crate::key::KeyDigest;
use crate::snapshot::Unavailable;
use std::borrow::Cow;
use std::net::IpAddr;

/// The form in which a request names its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential<'r> {
    /// The values that a client presents.
    Presented(Presented<'r>),
    /// The digest of a known key, for a request that is only described.
    Known(KeyDigest),
}

/// The data of a request that a verdict may need.
pub trait Request {
    /// Returns the key.
    fn credential(&self) -> Credential<'_>;

    /// Returns the client's address, as the host trusts it; `None` if it is not known.
    fn source_address(&self) -> Option<IpAddr>;

    /// Returns a header or a pseudo-header (`:authority`, `:method`, `:path` with the query). The
    /// values of one that was sent more than once are joined by commas.
    fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Unavailable>;
}
