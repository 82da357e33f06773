//! Changes to the shipped bootstrap that admit more of HTTP.

use anyhow::{Context as _, Result};

use crate::bootstrap::Bootstrap;

const LISTENER: &str = "                stat_prefix: gateway\n";
/// The listener's HTTP/2 options; a cluster's are indented less.
const HTTP2: &str = "                http2_protocol_options:\n";
const ROUTE: &str = "                      routes:\n";
const CLUSTER: &str = "    - name: upstream\n      type: STATIC\n";

impl Bootstrap {
    /// Passes on headers with underscores in their names.
    ///
    /// # Errors
    /// Fails when the bootstrap does not configure how such headers are handled.
    pub fn allow_underscores(&mut self) -> Result<()> {
        let action = "headers_with_underscores_action: ";
        let line = self
            .text()
            .lines()
            .find(|line| line.trim_start().starts_with(action))
            .context(action)?
            .to_owned();
        let depth = line.len() - line.trim_start().len();
        self.replace(&line, &format!("{}{action}ALLOW", &line[..depth]))
    }

    /// Passes on trailers on HTTP/1.1, downstream and, unless the upstream speaks HTTP/2, upstream.
    ///
    /// # Errors
    /// Fails when the listener or the cluster is not there.
    pub fn pass_trailers(&mut self, http2_upstream: bool) -> Result<()> {
        let option = "http_protocol_options: { enable_trailers: true }";
        self.replace(LISTENER, &format!("{LISTENER}                {option}\n"))?;
        if http2_upstream {
            return Ok(());
        }
        let options = format!(
            "      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{ {option} }}\n"
        );
        self.replace(CLUSTER, &format!("{CLUSTER}{options}"))
    }

    /// Passes on these upgrades, also on HTTP/2, where they are extended CONNECT.
    ///
    /// # Errors
    /// Fails when the listener or its routes are not there.
    pub fn pass_upgrades(&mut self, upgrades: &[&str]) -> Result<()> {
        let types: Vec<_> = upgrades
            .iter()
            .map(|name| format!("{{ upgrade_type: {name} }}"))
            .collect();
        let option = format!("                upgrade_configs: [{}]\n", types.join(", "));
        self.replace(LISTENER, &format!("{LISTENER}{option}"))?;
        self.replace(
            HTTP2,
            &format!("{HTTP2}                  allow_connect: true\n"),
        )?;
        if upgrades.contains(&"CONNECT") {
            let config = "upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }]";
            let route = format!(
                "                        - match: {{ connect_matcher: {{}} }}\n                          route: {{ cluster: upstream, {config} }}\n"
            );
            self.replace(ROUTE, &format!("{ROUTE}{route}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_file_takes_every_protocol() {
        let mut bootstrap = Bootstrap::shipped().unwrap();
        bootstrap.allow_underscores().unwrap();
        bootstrap.pass_trailers(false).unwrap();
        bootstrap.pass_upgrades(&["websocket", "CONNECT"]).unwrap();
        let text = bootstrap.text();
        assert!(text.contains("headers_with_underscores_action: ALLOW\n"));
        assert_eq!(text.matches("enable_trailers: true").count(), 2);
        assert!(
            text.contains(
                "upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: CONNECT }]"
            )
        );
    }
}
