//! The cards of a key's page, each with a `card` function that renders it.

pub(super) mod access;
pub(super) mod addresses;
pub(super) mod details;
pub(super) mod regeneration;
pub(super) mod revocation;
pub(super) mod secrets;
pub(super) mod usage;
