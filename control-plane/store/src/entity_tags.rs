//! The entity tags of keys and users.

use latchkey_model::entity_tag::{EntityTag, Tagged};

use super::{Key, User};

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
