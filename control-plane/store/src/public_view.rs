//! The public view of each resource: the fields that its audit entries contain, which are never
//! secret, and the entity tags of keys and users.

use latchkey_model::entity_tag::{EntityTag, Tagged};
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::route_document::RouteDocument;
use latchkey_model::tier::Tier;
use serde_json::{Value, json};

use super::audit::{Audited, Target};
use super::{Account, Key, NodeTokenDetails, Service, Subaccount, User, Webhook};

impl Audited for Key {
    fn target(&self) -> Target {
        Target::new("key", &self.id, &self.settings.name)
    }

    fn public_fields(&self) -> Value {
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

impl Audited for User {
    fn target(&self) -> Target {
        Target::new("user", &self.id, &self.email)
    }

    fn public_fields(&self) -> Value {
        json!({
            "email": self.email,
            "roles": self.authority.roles,
            "permissions": self.authority.permissions,
            "subaccounts": self.subaccounts,
            "disabled": self.disabled,
        })
    }
}

impl Audited for Subaccount {
    fn target(&self) -> Target {
        Target::new("subaccount", &self.id, &self.name)
    }

    fn public_fields(&self) -> Value {
        json!({ "name": self.name })
    }
}

impl Audited for Webhook {
    fn target(&self) -> Target {
        Target::new("webhook", &self.id, &self.url)
    }

    fn public_fields(&self) -> Value {
        json!({
            "url": self.url,
            "events": self.events,
            "expiring_days": self.expiring_days,
            "active": self.active,
        })
    }
}

impl Audited for NodeTokenDetails {
    fn target(&self) -> Target {
        Target::new("node_token", &self.name, &self.name)
    }

    fn public_fields(&self) -> Value {
        json!({ "name": self.name, "node": self.pattern })
    }
}

impl Audited for Service {
    fn target(&self) -> Target {
        Target::new("service", &self.name, &self.name)
    }

    fn public_fields(&self) -> Value {
        json!({ "name": self.name, "description": self.description })
    }
}

impl Audited for Account {
    fn target(&self) -> Target {
        Target::new("account", &self.id, &self.name)
    }

    fn public_fields(&self) -> Value {
        json!({ "name": self.name, "tier": self.tier, "max_keys": self.max_keys, "disabled": self.disabled })
    }
}

impl Audited for RouteDocument {
    fn target(&self) -> Target {
        Target::the("routes")
    }

    fn public_fields(&self) -> Value {
        // A value that was parsed from JSON can be serialized.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Audited for Vec<Tier> {
    fn target(&self) -> Target {
        Target::the("tiers")
    }

    fn public_fields(&self) -> Value {
        json!({ "tiers": self })
    }
}

impl Tagged for Key {
    fn entity_tag(&self) -> EntityTag {
        let settings = &self.settings;
        let lists = (&settings.allowed_ips, &settings.denied_ips);
        let texts = (
            &self.id,
            &settings.name,
            &settings.description,
            &self.user_id,
        );
        let state = (
            self.disabled,
            self.revoked_at,
            settings.expires_at,
            settings.limits,
        );
        EntityTag::new(
            "key",
            &(
                texts,
                state,
                lists,
                &self.secret.masked,
                self.secret.created_at,
            ),
        )
    }
}

impl Tagged for User {
    fn entity_tag(&self) -> EntityTag {
        let held = (
            &self.authority.roles,
            &self.authority.permissions,
            &self.subaccounts,
        );
        EntityTag::new("user", &(&self.id, &self.email, held, self.disabled))
    }
}
