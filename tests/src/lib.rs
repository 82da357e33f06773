//! Runs Latchkey as a whole, for the end-to-end tests and for `make run`: a real Envoy with the
//! filter in it, a real control plane, a real upstream.
//!
//! ```no_run
//! # use latchkey_tests::Gateway;
//! # use serde_json::json;
//! # async fn example() {
//! let gateway = Gateway::start().await;
//! let key = gateway.control_plane.create_key(json!({"name": "CI"})).await.unwrap();
//! assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
//! # }
//! ```
//!
//! These rules hold for every part:
//! - Ports are free ones, so any number of tests run side by side.
//! - Nothing remains: dropping a part kills and reaps its process, and the kernel kills it when the
//!   thread that spawned it ends. So a part lives no longer than the test that started it. It can't
//!   be shared between tests, whose threads come and go.
//! - When a test panics, the end of each process' log is printed. So a test panics at the place of
//!   the failure; it does not return an error.
//! - Waiting is not a sleep: [`eventually`] polls until a probe succeeds, and reports its last
//!   error.

mod api;
mod bootstrap;
#[cfg(feature = "browser")]
mod browser;
mod cgi;
mod connection;
mod control_plane;
mod cores;
mod demo;
mod demo_data;
mod envoy;
mod envoy_options;
mod files;
mod gateway;
mod hot_restart;
mod link;
mod listeners;
mod load;
mod loopback;
mod nodes;
mod paths;
mod process;
mod protocols;
mod seeded_rng;
mod slow_link;
mod tap;
mod upgrade;
mod upstream;
mod users;
mod wait;
mod wire;

pub use api::{CreatedKey, Enforcement, Refused, http_client};
pub use bootstrap::Bootstrap;
#[cfg(feature = "browser")]
pub use browser::{Browser, Finding, Scheme, Size, keys};
pub use cgi::CgiUpstream;
pub use connection::{Connection, request};
pub use control_plane::{ControlPlane, ControlPlaneOptions};
pub use cores::{allowed_cores, stay_on};
pub use demo::{Demo, DemoCredentials, DemoPorts, DemoState};
pub use demo_data::{DemoData, day_in};
pub use envoy::Envoy;
pub use envoy_options::{EnvoyOptions, FailurePolicy};
pub use files::{random_hex, write_private};
pub use gateway::{Answer, Gateway, GatewayBuilder};
pub use hot_restart::HotRestart;
pub use link::{Link, Passage};
pub use load::{Load, Sample, Tally, burst};
pub use nodes::{Fleet, NodeId, Reports, Totals, raise_file_limit};
pub use paths::{
    axe_script, browser_binaries, chaos_binary, empty_filter, envoy_binary, faulty_filter, filter,
    floor_filter, latchkey_binary, next_format_filter, nodes_binary, schemathesis, workspace,
};
pub use process::Process;
pub use seeded_rng::SeededRng;
pub use slow_link::SlowLink;
pub use tap::Tap;
pub use upgrade::Earlier;
pub use upstream::Upstream;
pub use users::User;
pub use wait::{Fatal, eventually};
pub use wire::{WireUpstream, arrived_path};
