//! Demo data: the keys, users and usage of a company after weeks of use.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::api::CreatedKey;
use crate::envoy::Envoy;
use crate::gateway::Gateway;
use crate::users::User;
use crate::wait::eventually;

const DAY: i64 = 86_400;

/// The time that usage may take to be reported, and that a key may take to expire.
const SOON: Duration = Duration::from_secs(10);

/// The parts of the demo data by which tests look up pages.
#[derive(Debug)]
pub struct DemoData {
    /// A key that has every attribute.
    pub busy_key: String,
    /// A key that is revoked.
    pub revoked_key: String,
    /// A user who may see everything and change nothing.
    pub reader: User,
    /// A second Envoy, in addition to the gateway's.
    pub second_envoy: Envoy,
}

/// Returns the keys, from the oldest on. Each name describes the key's purpose.
fn keys(subaccount: &str, now: i64) -> Vec<Value> {
    let after = |days: i64| now + days * DAY;
    vec![
        json!({ "name": "Terraform", "description": "Plans and applies the DNS zones", "roles": ["dns_manager"],
            "scope": ["dns"], "tier": "pro", "expires_at": after(87) }),
        json!({ "name": "CI pipeline", "description": "Purges the cache after each release of the shop",
            "roles": ["cache_purger", "dns_manager"], "permissions": ["billing:invoices:read"], "scope": ["dns", "cdn"],
            "tier": "pro", "expires_at": after(9), "limits": { "minute": 600, "day": 50_000 },
            "allowed_subaccounts": [subaccount],
            "allowed_ips": ["127.0.0.0/8", { "cidr": "2001:db8:42::/48", "enabled": false }],
            "denied_ips": ["203.0.113.7"] }),
        json!({ "name": "Grafana", "description": "Reads analytics for the dashboards", "roles": ["insights_analyst"],
            "tier": "basic" }),
        json!({ "name": "Invoice export", "description": "Monthly, to the accountants", "roles": ["billing_manager"],
            "scope": ["billing"], "expires_at": after(30) }),
        json!({ "name": "Status page", "description": "Reads whether all is well", "tier": "free" }),
        json!({ "name": "Mobile app (test)", "description": "Only the test environment", "environment": "test",
            "scope": ["cdn"] }),
        json!({ "name": "Partner: Northwind", "description": "Ends with the contract", "scope": ["vm"],
            "denied_ips": ["198.51.100.0/24"], "expires_at": after(240) }),
        json!({ "name": "Security scanner", "roles": ["security_manager"], "expires_at": after(2) }),
        json!({ "name": "Backup of the zones", "description": "Nightly", "permissions": ["dns:zones:read"],
            "scope": ["dns"] }),
        json!({ "name": "Old deployment", "description": "Disabled until somebody asks for it", "roles": ["dns_manager"] }),
        json!({ "name": "Contractor, spring", "description": "Revoked when they left", "roles": ["traffic_manager"] }),
        json!({ "name": "Trial of last week", "description": "Was for a demonstration", "expires_at": now + 2 }),
    ]
}

impl Gateway {
    /// Creates the demo data. The control plane restarts while it does.
    ///
    /// # Errors
    /// Fails when the API refuses any of it.
    pub async fn with_demo_data(&mut self) -> Result<DemoData> {
        let control_plane = &self.control_plane;
        let post =
            async |path: &str, body: Value| control_plane.call(Method::POST, path, body).await;
        for (name, description) in [
            ("dns", "Zones and records"),
            ("cdn", "Caching and purging"),
            ("billing", "Invoices and payments"),
            ("vm", "Machines and their disks"),
        ] {
            post(
                "/v1/services",
                json!({ "name": name, "description": description }),
            )
            .await?;
        }
        let subaccount = control_plane.create_subaccount("Shop").await?;
        control_plane.create_subaccount("Staging").await?;
        control_plane.put_routes(routes()).await?;
        for (email, roles) in [
            ("ada@example.com", json!(["admin"])),
            (
                "grace@example.com",
                json!(["dns_manager", "traffic_manager"]),
            ),
            ("billing@example.com", json!(["billing_manager"])),
        ] {
            control_plane
                .create_user(json!({ "email": email, "roles": roles }))
                .await?;
        }
        let reader = control_plane
            .create_user(json!({ "email": "auditor@example.com", "roles": ["read_only_admin"] }));
        let reader = reader.await?;

        let now = Timestamp::now().as_second();
        let mut made = Vec::new();
        for key in keys(&subaccount, now) {
            made.push(control_plane.create_key(key).await?);
        }
        let [terraform, busy, grafana, .., old, contractor, trial] = made.as_slice() else {
            unreachable!("twelve")
        };
        for key in [busy, terraform, grafana] {
            use_key(self, key).await?;
        }
        let edit = format!("/v1/keys/{}", old.key_id);
        control_plane
            .change(Method::PATCH, &edit, json!({ "active": false }))
            .await?;
        control_plane.revoke(&contractor.key_id).await?;
        control_plane.regenerate(&busy.key_id, 3_600).await?;
        let used = eventually(SOON, async || {
            ensure!(
                !control_plane.key(&busy.key_id).await?["last_used_at"].is_null(),
                "its use is not reported yet"
            );
            ensure!(
                control_plane.key(&trial.key_id).await?["active"] == false,
                "it has not expired yet"
            );
            Ok(())
        });
        used.await?;
        let second_envoy = self.another_envoy("edge-2").await?;
        let demo = DemoData {
            busy_key: busy.key_id.clone(),
            revoked_key: contractor.key_id.clone(),
            reader,
            second_envoy,
        };
        self.grow_old(now).await?;
        Ok(demo)
    }

    /// Changes the database so that the keys were created over weeks, and used all that time. No
    /// call of the API can do that.
    async fn grow_old(&mut self, now: i64) -> Result<()> {
        self.control_plane.stop().await?;
        let file = self.control_plane.options().database.clone();
        let mut database = SqliteConnectOptions::new().filename(file).connect().await?;
        let aged = "UPDATE keys SET created_at = created_at - ((SELECT max(seq) FROM keys) - seq) * 86400 * 5 - 3000 * seq";
        sqlx::query(aged).execute(&mut database).await?;
        history(&mut database, now / 3_600 * 3_600).await?;
        database.close().await?;
        self.control_plane.start().await?;
        let connected = eventually(SOON, async || {
            let nodes = self.control_plane.nodes().await?;
            ensure!(nodes.len() == 2, "{} nodes are connected", nodes.len());
            Ok(())
        });
        connected.await
    }
}

/// Writes two weeks of requests, with more of them by day, and some refused.
async fn history(database: &mut SqliteConnection, this_hour: i64) -> Result<()> {
    let insert = "INSERT INTO usage_buckets SELECT seq, ?, ?, ? / (1 + seq % 5) FROM keys WHERE seq % 4 <> 0 \
                  ON CONFLICT DO UPDATE SET requests = requests + excluded.requests";
    for hours_ago in 1..14 * 24 {
        let hour = this_hour - hours_ago * 3_600;
        let of_day = hour / 3_600 % 24;
        let busy = 40 + 60 * (12 - (of_day - 12).abs()) + hours_ago * 37 % 50;
        for (code, requests) in [
            ("allowed", busy),
            ("rate_limited", if of_day > 9 { busy / 12 } else { 0 }),
            ("ip_denied", if hours_ago % 5 == 0 { 12 } else { 0 }),
            ("missing_permission", hours_ago % 7),
        ] {
            if requests > 4 {
                sqlx::query(insert)
                    .bind(hour / 3_600)
                    .bind(code)
                    .bind(requests)
                    .execute(&mut *database)
                    .await?;
            }
        }
    }
    Ok(())
}

/// Sends some requests that pass, and one that does not.
async fn use_key(gateway: &Gateway, key: &CreatedKey) -> Result<()> {
    for path in ["/", "/", "/", "/v4/zones/example.com", "/v4/machines"] {
        gateway.ask(path, Some(&key.api_key)).await;
    }
    Ok(())
}

fn routes() -> Value {
    json!({ "rules": [
        { "path": { "exact": "/status" }, "public": true },
        { "methods": ["GET"], "path": { "template": "/v4/zones/{zone}" }, "service": "dns", "permission": "dns:read" },
        { "methods": ["POST", "PUT"], "path": { "prefix": "/v4/zones" }, "service": "dns", "permission": "dns:write" },
        { "methods": ["POST"], "path": { "exact": "/v4/purge" }, "service": "cdn", "permission": "cache:purge",
          "subaccount": { "header": "x-subaccount" } },
        { "path": { "prefix": "/v4/invoices" }, "service": "billing", "permission": "billing:invoices:read" },
        { "path": { "prefix": "/v4/machines" }, "service": "vm" },
    ] })
}

/// Returns the date `days` from now, in the format of a date field.
#[must_use]
pub fn day_in(days: i64) -> String {
    let day = Timestamp::now() + SignedDuration::from_hours(days * 24);
    day.to_string().chars().take(10).collect()
}
