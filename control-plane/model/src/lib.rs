//! The values of Latchkey's control plane: how each is parsed, checked, compared and written. The
//! API, the store, the console and the command line share them.
//!
//! Nothing here uses the database or HTTP, or waits.
//!
//! | module | owns |
//! |---|---|
//! | [`text`] | names, email addresses and descriptions: allowed characters and normal forms |
//! | [`random`] | ids and other random values |
//! | [`clock`] | the time of day as a parameter, and how times are written |
//! | [`secret`], [`secret_files`] | passwords and tokens, and the files that hold them |
//! | [`authority`], [`role`], [`permissions`] | roles and permissions that users and keys hold |
//! | [`selection`] | all of something, or a list |
//! | [`limits`], [`ceilings`], [`tier`] | limits of keys, their upper bounds, and tiers |
//! | [`ip_list`], [`client_network`] | IP lists, and the network that a client counts as |
//! | [`issues`] | bounds of the keys that a key may create |
//! | [`node_pattern`] | patterns of Envoy's `node.id` |
//! | [`route_document`] | the document of route rules |
//! | [`explain`](mod@explain) | the filter's verdict on a described request, with each step |
//! | [`entity_tag`] | entity tags and `If-Match` |
//! | [`event_type`] | the types of webhook events |
//! | [`body`] | bounds of bodies of requests |
//! | [`json`] | strict reading of JSON, with the place of an error |
//! | [`schema`] | parts of OpenAPI descriptions |

pub mod authority;
pub mod body;
pub mod ceilings;
pub mod client_network;
pub mod clock;
pub mod entity_tag;
pub mod event_type;
pub mod explain;
pub mod ip_list;
pub mod issues;
pub mod json;
pub mod limits;
pub mod node_pattern;
pub mod permissions;
pub mod random;
pub mod role;
pub mod route_document;
pub mod schema;
pub mod secret;
pub mod secret_files;
pub mod selection;
pub mod text;
pub mod tier;
