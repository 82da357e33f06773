//! What the audit tells of things: what is shown of them, and so never a secret.

use latchkey_model::limits::DeclaredLimits;
use latchkey_model::route_document::RouteDocument;
use latchkey_model::tier::Tier;
use serde_json::{Value, json};

use crate::{Account, Key, NodeTokenDetails, Service, Subaccount, User, Webhook};

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Such as `key`.
    pub kind: &'static str,
    /// `None` of what there is only one.
    pub id: Option<String>,
    /// As people call it.
    pub name: Option<String>,
}

impl Target {
    /// What there is only one of.
    pub fn the(kind: &'static str) -> Self {
        Self {
            kind,
            id: None,
            name: None,
        }
    }

    /// Something by the name that somebody gave it, which may be nothing.
    pub fn named(kind: &'static str, name: &str) -> Self {
        Self {
            kind,
            id: None,
            name: Some(name.to_owned()),
        }
    }

    /// One of many.
    pub fn of(kind: &'static str, id: &str, name: &str) -> Self {
        Self {
            kind,
            id: Some(id.to_owned()),
            name: Some(name.to_owned()),
        }
    }
}

/// What can be told of in the audit.
pub trait Told {
    /// Which one it is.
    fn target(&self) -> Target;

    /// An object of all there is to say.
    fn told(&self) -> Value;
}

impl Told for Key {
    fn target(&self) -> Target {
        Target::of("key", &self.id, &self.settings.name)
    }

    fn told(&self) -> Value {
        let settings = &self.settings;
        json!({
            "name": settings.name,
            "description": settings.description,
            "key_prefix": self.secret.masked,
            "environment": settings.environment.as_str(),
            "tier": settings.tier,
            "limits": DeclaredLimits(settings.limits.0),
            "scope": settings.scope,
            "roles": settings.authority.roles,
            "permissions": settings.authority.permissions,
            "allowed_subaccounts": settings.subaccounts,
            "allowed_ips": settings.allowed_ips,
            "denied_ips": settings.denied_ips,
            "issues": settings.issues,
            "expires_at": settings.expires_at.map(latchkey_model::clock::rfc3339),
            "owner": self.user_id,
            "active": !self.disabled,
        })
    }
}

impl Told for User {
    fn target(&self) -> Target {
        Target::of("user", &self.id, &self.email)
    }

    fn told(&self) -> Value {
        json!({
            "email": self.email,
            "roles": self.authority.roles,
            "permissions": self.authority.permissions,
            "subaccounts": self.subaccounts,
            "disabled": self.disabled,
        })
    }
}

impl Told for Subaccount {
    fn target(&self) -> Target {
        Target::of("subaccount", &self.id, &self.name)
    }

    fn told(&self) -> Value {
        json!({ "name": self.name })
    }
}

impl Told for Webhook {
    fn target(&self) -> Target {
        Target::of("webhook", &self.id, &self.url)
    }

    fn told(&self) -> Value {
        json!({
            "url": self.url,
            "events": self.events,
            "expiring_days": self.expiring_days,
            "active": self.active,
        })
    }
}

impl Told for NodeTokenDetails {
    fn target(&self) -> Target {
        Target::of("node_token", &self.name, &self.name)
    }

    fn told(&self) -> Value {
        json!({ "name": self.name, "node": self.pattern })
    }
}

impl Told for Service {
    fn target(&self) -> Target {
        Target::of("service", &self.name, &self.name)
    }

    fn told(&self) -> Value {
        json!({ "name": self.name, "description": self.description })
    }
}

impl Told for Account {
    fn target(&self) -> Target {
        Target::of("account", &self.id, &self.name)
    }

    fn told(&self) -> Value {
        json!({ "name": self.name, "tier": self.tier, "max_keys": self.max_keys, "disabled": self.disabled })
    }
}

impl Told for RouteDocument {
    fn target(&self) -> Target {
        Target::the("routes")
    }

    fn told(&self) -> Value {
        // What was read from JSON can be written as JSON.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Told for Vec<Tier> {
    fn target(&self) -> Target {
        Target::the("tiers")
    }

    fn told(&self) -> Value {
        json!({ "tiers": self })
    }
}
