//! Webhooks: telling receivers of an account what becomes of its keys, in the way of [Standard
//! Webhooks](https://www.standardwebhooks.com).
//!
//! What happens is written into the outbox in the very transaction in which it happens, with its
//! body (`latchkey-store`). From there the [`worker`] sends it, until a receiver has taken it: **at
//! least once**, and in no particular order. Everything that it goes by is in the store, so nothing
//! is lost with the process, and several processes can share the work.
//!
//! | module | owns |
//! |---|---|
//! | [`reach`] | where it may be sent |
//! | `client`, `signature` | sending it once, signed |
//! | `retry` | when it is sent again, and when no more |
//! | `worker` | sending what is due |
//! | `chores` | announcing expiries, and deleting what is old |

pub(crate) mod chores;
mod client;
pub(crate) mod reach;
mod retry;
mod signature;
pub(crate) mod worker;
