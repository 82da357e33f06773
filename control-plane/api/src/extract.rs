//! Extractors for handlers.
//!
//! | module | reads |
//! |---|---|
//! | `credential`, `session` | the credential, and the caller who presents it |
//! | `origin` | the address and the id of the request |
//! | `id` | the id in the path |
//! | `params` | the query parameters |
//! | `body` | the JSON body |

mod body;
mod credential;
mod id;
mod origin;
mod params;
mod session;

pub(crate) use body::{AnonymousBody, Body, json_bytes, parse};
pub(crate) use id::Id;
pub(crate) use origin::{CountedNetwork, RequestOrigin};
pub(crate) use params::{DEFAULT_LIMIT, DEFAULT_WAIT_MS, MAX_LIMIT, MAX_WAIT_MS, Params};
pub(crate) use session::Session;
