//! The filter as a Wasm module: the logic of [`latchkey_filter_core`] on the proxy-wasm ABI. For
//! other targets than Wasm this crate is empty.
#![cfg_attr(
    not(test),
    deny(
        clippy::panic,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(target_arch = "wasm32")]
mod envoy;
