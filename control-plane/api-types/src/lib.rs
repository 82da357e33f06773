//! The requests and responses of Latchkey's API, with their schemas: one type for the API, its
//! description and its clients.
//!
//! | module | owns |
//! |---|---|
//! | `accounts`, `audit`, `explain`, `import`, `keys`, … | the types of these calls |
//! | `error`, `enforcement`, `repeatable` | parts of many responses |
//! | `expiry` | the expiry of a key in requests |
//! | [`schemas`] | the schemas of texts, such as ids and names |
//!
//! The doc comments are the texts of the OpenAPI description. Fields whose names say everything
//! have none.

#![allow(missing_docs)]

mod accounts;
mod audit;
mod counts;
mod enforcement;
mod error;
mod expiry;
mod explain;
mod import;
mod keys;
mod named;
mod node_tokens;
mod nodes;
mod repeatable;
mod roles;
mod routes;
pub mod schemas;
mod services;
mod sessions;
mod subaccounts;
mod success;
mod tiers;
mod usage;
mod users;
mod webhooks;

pub use accounts::{
    Account, AccountEdit, AccountList, Administrator, CreatedAccount, EditedAccount, NewAccount,
    NewAdministrator,
};
pub use audit::{AuditEntry, AuditList, AuditParty};
pub use enforcement::Enforcement;
pub use error::Error;
pub use expiry::{EXPIRY_END, Expiry, from_rfc3339};
pub use explain::{DescribedRequest, Explanation, Question, Refusal, Step};
pub use import::{
    ImportCheck, ImportCheckOrKeys, ImportProblem, ImportedKey, ImportedKeys, ImportedRows,
    KeyImport,
};
pub use keys::{
    EditedKey, Fixed, GeneratedKey, Key, KeyEdit, KeyList, KeyWithUsage, NewKey, Regeneration,
    RevokedKey, Secret,
};
pub use node_tokens::{CreatedNodeToken, NewNodeToken, NodeToken, NodeTokenList};
pub use nodes::{
    AcceptedEpochs, EpochToAccept, ForgottenNodes, LostNodes, Node, NodeList, RefusedPeer,
    UnknownNodes,
};
pub use repeatable::Made;
pub use roles::{RoleDefinition, RoleList};
pub use routes::ChangedRoutes;
pub use services::{DeletedService, NewService, Service, ServiceEdit, ServiceList};
pub use sessions::{Grantable, Login, Myself, PasswordChange, Session, SessionUser};
pub use subaccounts::{
    CreatedSubaccount, DeletedSubaccount, NewSubaccount, Subaccount, SubaccountEdit, SubaccountList,
};
pub use success::{Done, Success};
pub use tiers::{ChangedTiers, NewTier, NewTiers, Tiers};
pub use usage::{KeyUsage, Usage, UsageBucket, resolutions};
pub use users::{DeletedUser, EditedUser, NewUser, User, UserEdit, UserList};
pub use webhooks::{
    CreatedWebhook, DeletedWebhook, EXPIRING_DAYS, ExpiringDays, NewWebhook, SentDelivery, Webhook,
    WebhookDeliveries, WebhookDelivery, WebhookEdit, WebhookList, WebhookRotation,
};

/// The maximum number of entries of a list, other than of IP addresses.
pub const MAX_ENTRIES: usize = 256;

/// The maximum length of a name for machines, of a service, tier or node token.
pub const MAX_WORD_LEN: usize = 64;
