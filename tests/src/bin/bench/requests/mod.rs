//! The cost of a request at Envoy, with Latchkey and with alternatives.

mod authorization;
mod chains;
mod full;
mod job;
mod latchkey;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use latchkey_tests::{Envoy, EnvoyOptions, floor_filter};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contest::{BARE, Contender, Contest, NATIVE, Rules};
use crate::cores::Cores;
use crate::keys::key;
use crate::traffic::Traffic;
pub(crate) use full::{TARGETS, plain_key};
use job::Limits;
pub(crate) use latchkey::{Latchkey, envoy_options};

/// The id of a Latchkey whose keys only have a tier, and which answers without rate-limit headers.
pub(crate) const PLAIN: &str = "plain";
pub(crate) const DEFAULT: &str = "default";
pub(crate) const FULL: &str = "full";
pub(crate) const EXT_AUTHZ: &str = "ext_authz";

/// The results of the section.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Requests {
    /// The number of keys, all of which are used, drawn at random.
    pub(crate) keys: usize,
    pub(crate) contest: Contest,
}

/// Starts all contenders, checks that they do their job, and measures them in turns.
pub(crate) async fn measure(
    dir: &Path,
    cores: Cores,
    keys: usize,
    rules: Rules,
) -> Result<Requests> {
    // The first contenders use no service.
    let service = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut field = Field {
        dir,
        cores,
        keys,
        rules,
        service,
        contenders: Vec::new(),
        envoys: Vec::new(),
    };
    // One more key than are in use, which `job::check` uses up.
    let service = authorization::serve((0..=keys).map(key))?;

    field.enter(BARE, "bare Envoy", None, None).await?;
    field
        .enter(
            "empty",
            "Wasm filter that does nothing",
            Some(chains::empty_filter()?),
            None,
        )
        .await?;
    let what = "native chain: `api_key_auth`, `rbac`, `local_ratelimit` with a bucket for each key";
    field
        .enter(
            NATIVE,
            what,
            Some(chains::native(keys + 1, true)),
            Some(Limits::EachKey),
        )
        .await?;
    let what = "native chain with one bucket for all keys";
    field
        .enter(
            "native_shared",
            what,
            Some(chains::native(keys + 1, false)),
            Some(Limits::None),
        )
        .await?;

    let no_headers = json!({ "rate_limit_headers": [] });
    let plain = Latchkey::start(PLAIN, dir, cores, keys + 1, plain_key, no_headers).await?;
    field
        .enter_latchkey(PLAIN, "Latchkey *plain*: keys with a tier", &plain)
        .await?;
    let default = Latchkey::start(DEFAULT, dir, cores, keys + 1, plain_key, json!({})).await?;
    field
        .enter_latchkey(
            DEFAULT,
            "Latchkey as shipped: *plain* and `X-RateLimit-*`",
            &default,
        )
        .await?;
    let what = "the floor of *plain*: its host calls and the guard, without what they are made for";
    field.enter_floor("plain_floor", what, "plain").await?;
    let full = full::start(dir, cores, keys + 1).await?;
    let what =
        "Latchkey *full*: IP lists, 50 route rules with permissions, three limits, `X-RateLimit-*`";
    field.enter_latchkey(FULL, what, &full).await?;
    field
        .enter_floor("full_floor", "the floor of *full*", "full")
        .await?;

    let what = "Lua: look-up, counter, method and path, without a hash";
    field
        .enter(
            "lua",
            what,
            Some(chains::lua(keys + 1)),
            Some(Limits::EachKey),
        )
        .await?;
    field.service = service.address;
    let what = "`ext_authz`, gRPC to a minimal service (Envoy's share alone)";
    field
        .enter(
            EXT_AUTHZ,
            what,
            Some(chains::ext_authz()),
            Some(Limits::EachKey),
        )
        .await?;

    let mut contenders = field.contenders;
    Ok(Requests {
        keys,
        contest: Contest::hold(&mut contenders, rules)?,
    })
}

/// Returns the native chain with the keys of the first `keys` numbers.
pub(crate) fn native_chain(keys: usize) -> String {
    chains::native(keys, true)
}

/// The contenders, and the parts that they need.
struct Field<'f> {
    dir: &'f Path,
    cores: Cores,
    keys: usize,
    rules: Rules,
    /// The address of the service that filters ask.
    service: SocketAddr,
    contenders: Vec<Contender>,
    /// The Envoys of contenders other than Latchkey. They end when this is dropped.
    envoys: Vec<Envoy>,
}

impl Field<'_> {
    /// Starts an Envoy with these HTTP filters, and checks its job.
    async fn enter(
        &mut self,
        id: &'static str,
        what: &str,
        filters: Option<String>,
        job: Option<Limits>,
    ) -> Result<()> {
        let options = EnvoyOptions {
            node_id: id.to_owned(),
            http_filters: Some(filters.unwrap_or_default()),
            ..envoy_options(self.dir, self.cores, self.service, "")?
        };
        self.start(id, what, &options, job).await
    }

    /// Starts an Envoy that is configured as Latchkey's are, with the filter that makes the host
    /// calls for such a key.
    async fn enter_floor(&mut self, id: &'static str, what: &str, key: &str) -> Result<()> {
        let options = EnvoyOptions {
            node_id: id.to_owned(),
            filter: floor_filter()?,
            raw_configuration: Some(key.to_owned()),
            ..envoy_options(self.dir, self.cores, self.service, "")?
        };
        self.start(id, what, &options, None).await
    }

    async fn start(
        &mut self,
        id: &'static str,
        what: &str,
        options: &EnvoyOptions,
        job: Option<Limits>,
    ) -> Result<()> {
        let envoy = Envoy::start(options).await?;
        self.admit(id, what, &envoy, job).await?;
        self.envoys.push(envoy);
        Ok(())
    }

    async fn enter_latchkey(
        &mut self,
        id: &'static str,
        what: &str,
        latchkey: &Latchkey,
    ) -> Result<()> {
        self.admit(id, what, &latchkey.envoy, Some(Limits::EachKey))
            .await
    }

    async fn admit(
        &mut self,
        id: &'static str,
        what: &str,
        envoy: &Envoy,
        job: Option<Limits>,
    ) -> Result<()> {
        if let Some(limits) = job {
            job::check(envoy, self.keys, limits)
                .await
                .with_context(|| format!("{id} does not do its job"))?;
        }
        let traffic = Traffic::new(&TARGETS, self.keys);
        self.contenders.push(Contender::new(
            id,
            what,
            envoy,
            traffic,
            self.rules.connections,
        )?);
        Ok(())
    }
}
