//! `/v1/keys`: the account's API keys.

pub(crate) mod create;
pub(crate) mod edit;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod regenerate;
pub(crate) mod revoke;
mod secret;
mod view;
