//! The HTTP filters of the contenders other than Latchkey, in Envoy's format: a YAML list.
//!
//! Each does the job of a *plain* Latchkey as nearly as it can: it looks the key in `x-api-key` up
//! among the same keys, counts the key's requests, and replaces the key by the client's name in the
//! request to the upstream.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::json;

use super::job::LIMIT;
use crate::keys::key;

/// The tier of all keys, with the limit [`LIMIT`].
pub(crate) const TIER: &str = "enterprise";

/// Returns a Wasm filter that does nothing.
pub(crate) fn empty_filter() -> Result<String> {
    let wasm = latchkey_tests::empty_filter()?;
    Ok(format!(
        r#"- name: empty
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: empty
      failure_policy: FAIL_CLOSED
      vm_config:
        vm_id: empty
        runtime: envoy.wasm.runtime.v8
        code:
          local: {{ filename: "{}" }}"#,
        wasm.display()
    ))
}

/// Returns three filters: `api_key_auth` with the keys of the first `count` numbers, `rbac` that
/// admits requests with a name, and `local_ratelimit`, which has a token bucket for each name, or
/// one for all.
pub(crate) fn native(count: usize, bucket_each: bool) -> String {
    let mut filters = String::from(
        r#"- name: envoy.filters.http.api_key_auth
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
    key_sources: [{ header: x-api-key }]
    forwarding: { header: x-client-id, hide_credentials: true }
    credentials:
"#,
    );
    for number in 0..count {
        // Writing to a string does not fail.
        let _ = writeln!(
            filters,
            "    - {{ key: {}, client: client-{number} }}",
            key(number).expose()
        );
    }
    filters.push_str(
        r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: ALLOW
      policies:
        known-clients:
          permissions: [{ any: true }]
          principals: [{ header: { name: x-client-id, present_match: true } }]
- name: envoy.filters.http.local_ratelimit
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
    stat_prefix: limits
    filter_enabled: { default_value: { numerator: 100 } }
    filter_enforced: { default_value: { numerator: 100 } }
"#,
    );
    if bucket_each {
        // The bucket at the top is for requests without a name, which `rbac` refuses before they
        // get here.
        let _ = write!(
            filters,
            "    token_bucket: {{ max_tokens: 1, fill_interval: 60s }}
    rate_limits: [{{ actions: [{{ request_headers: {{ header_name: x-client-id, descriptor_key: client }} }}] }}]
    max_dynamic_descriptors: {count}
    descriptors:
    - entries: [{{ key: client }}]
      token_bucket: {{ max_tokens: {LIMIT}, tokens_per_fill: {LIMIT}, fill_interval: 60s }}
    always_consume_default_token_bucket: false"
        );
    } else {
        filters
            .push_str("    token_bucket: { max_tokens: 4000000000, tokens_per_fill: 4000000000, fill_interval: 60s }");
    }
    filters
}

/// Returns a Lua script with the keys in a table.
pub(crate) fn lua(count: usize) -> String {
    let mut script = format!("local LIMIT = {LIMIT}\nlocal KEYS = {{}}\n");
    for number in 0..count {
        let _ = writeln!(
            script,
            "KEYS[\"{}\"] = \"client-{number}\"",
            key(number).expose()
        );
    }
    script.push_str(include_str!("keys.lua"));
    format!(
        r#"- name: envoy.filters.http.lua
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
    default_source_code: {{ inline_string: {} }}"#,
        json!(script)
    )
}

/// Returns the filter that asks the service at the cluster `latchkey`.
pub(crate) fn ext_authz() -> String {
    r#"- name: envoy.filters.http.ext_authz
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    transport_api_version: V3
    grpc_service: { envoy_grpc: { cluster_name: latchkey }, timeout: 5s }"#
        .to_owned()
}
