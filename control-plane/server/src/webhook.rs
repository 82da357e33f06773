//! Webhooks: notifications to an account's receivers about changes to its keys, according to
//! [Standard Webhooks](https://www.standardwebhooks.com).
//!
//! The transaction of a change also writes the event with its body to the outbox
//! (`latchkey-store`). From there the [`worker`] sends it until a receiver has accepted it: **at
//! least once**, and in no particular order. All state is in the store, so nothing is lost with the
//! process, and several processes can share the work.
//!
//! | module | owns |
//! |---|---|
//! | [`reach`] | allowed destinations |
//! | `client`, `signature` | one attempt to send, with its signature |
//! | `retry` | the time of the next attempt, and the end of attempts |
//! | `worker` | sending due deliveries |
//! | `cleanup` | announcing expiries, and deleting old data |

pub(crate) mod cleanup;
mod client;
pub(crate) mod reach;
mod retry;
mod signature;
pub(crate) mod worker;
