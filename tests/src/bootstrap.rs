//! Envoy's configuration: the shipped `envoy/latchkey.yaml` with its variables filled in, and
//! changed where a test needs that.
//!
//! The changes work on the text, so that the tests run the same file that people read.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::paths::workspace;

/// The action of a route that Envoy answers itself.
const ANSWER: &str = "direct_response: { status: 200, body: { inline_string: ok } }";

const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";

/// A listener without filters.
const BESIDE: &str = r#"    - name: beside
      address:
        socket_address: { address: 127.0.0.1, port_value: 0 }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: beside
                route_config:
                  virtual_hosts:
                    - { name: all, domains: ["*"], routes: [{ match: { prefix: / }, ANSWER }] }
                http_filters:
                  - name: router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#;

/// A configuration that is being built.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    text: String,
}

impl Bootstrap {
    /// Reads the shipped file.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn shipped() -> Result<Self> {
        let path = workspace().join("envoy/latchkey.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { text })
    }

    /// Creates a configuration from a text whose variables are filled in already.
    pub(crate) fn filled(text: String) -> Self {
        Self { text }
    }

    /// Returns the current text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Replaces the only occurrence of `old`.
    ///
    /// # Errors
    /// Fails when it stands nowhere, or more than once.
    pub fn replace(&mut self, old: &str, new: &str) -> Result<()> {
        let found = self.text.matches(old).count();
        ensure!(found == 1, "{old:?} stands {found} times in the bootstrap");
        self.text = self.text.replace(old, new);
        Ok(())
    }

    /// Removes the HTTP filter with that name.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn remove_http_filter(&mut self, name: &str) -> Result<()> {
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, &format!("- name: {name}"))?;
        let end = end_of_block(&lines, first);
        self.text = join(&[&lines[..first], &lines[end..]]);
        Ok(())
    }

    /// Replaces `latchkey` and `guard` by other HTTP filters, a list in YAML.
    ///
    /// # Errors
    /// Fails when those are not there.
    pub fn replace_http_filters(&mut self, filters: &str) -> Result<()> {
        self.remove_http_filter("latchkey")?;
        self.remove_http_filter("guard")?;
        let lines: Vec<&str> = self.text.lines().collect();
        let router = position(&lines, "- name: envoy.filters.http.router")?;
        let depth = &lines[router][..indentation(lines[router])];
        let filters: Vec<String> = filters
            .lines()
            .map(|line| format!("{depth}{line}"))
            .collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        self.text = join(&[&lines[..router], &filters, &lines[router..]]);
        Ok(())
    }

    /// Makes Envoy answer the requests that its filters admit, with 200 and `ok`, and removes the
    /// access log.
    ///
    /// # Errors
    /// Fails when the route or the access log is not there.
    pub fn answer_itself(&mut self) -> Result<()> {
        self.replace("route: { cluster: upstream }", ANSWER)?;
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, "access_log:")?;
        let end = end_of_block(&lines, first);
        self.text = join(&[&lines[..first], &lines[end..]]);
        Ok(())
    }

    /// Adds a listener `beside`, on a free port, that has no filters.
    ///
    /// # Errors
    /// Fails when there are no listeners.
    pub fn add_listener_beside(&mut self) -> Result<()> {
        self.replace(
            "  listeners:\n",
            &format!("  listeners:\n{}", BESIDE.replace("ANSWER", ANSWER)),
        )
    }

    /// Adds a listener `second`, on a free port. It is a copy of the listener `gateway` whose
    /// filter configuration is changed by a JSON merge patch. So the filters of both share a VM.
    ///
    /// # Errors
    /// Fails when there is no such listener, or its configuration was changed before.
    pub fn add_second_gateway(&mut self, patch: &Value) -> Result<()> {
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, "- name: gateway")?;
        let end = end_of_block(&lines, first);
        let mut second = Self {
            text: join(&[&lines[first..end]]),
        };
        second.replace("- name: gateway", "- name: second")?;
        second.replace("${GATEWAY_PORT}", "0")?;
        second.merge_configuration(patch)?;
        let second: Vec<&str> = second.text.lines().collect();
        self.text = join(&[&lines[..end], &second, &lines[end..]]);
        Ok(())
    }

    /// Makes Envoy drop the statistic with that name.
    ///
    /// # Errors
    /// Fails when the bootstrap does not configure statistics.
    pub fn leave_out_stat(&mut self, name: &str) -> Result<()> {
        let matcher = format!(
            "  stats_matcher: {{ exclusion_list: {{ patterns: [{{ exact: {name} }}] }} }}\n"
        );
        self.replace("\nstats_config:\n", &format!("\nstats_config:\n{matcher}"))
    }

    /// Gives the cluster `upstream` the protocol options of the cluster `latchkey`, which speaks
    /// HTTP/2.
    ///
    /// # Errors
    /// Fails when either is not there.
    pub fn use_http2_upstream(&mut self) -> Result<()> {
        let lines: Vec<&str> = self.text.lines().collect();
        let options = position(&lines, "typed_extension_protocol_options:")?;
        let options = &lines[options..end_of_block(&lines, options)];
        let upstream = position(&lines, "- name: upstream")? + 1;
        self.text = join(&[&lines[..upstream], options, &lines[upstream..]]);
        Ok(())
    }

    /// Adds another endpoint to the cluster `latchkey`.
    ///
    /// # Errors
    /// Fails when it has none yet.
    pub fn add_stream(&mut self, stream: SocketAddr) -> Result<()> {
        let lines: Vec<&str> = self.text.lines().collect();
        let endpoints = lines
            .iter()
            .rposition(|line| line.trim() == "- lb_endpoints:");
        let endpoints = endpoints.context("the bootstrap has no endpoints")? + 1;
        let depth = &lines[endpoints][..indentation(lines[endpoints])];
        let (ip, port) = (stream.ip(), stream.port());
        let address = format!("{{ socket_address: {{ address: \"{ip}\", port_value: {port} }} }}");
        let line = format!("{depth}- endpoint: {{ address: {address} }}");
        let end = end_of_block(&lines, endpoints);
        self.text = join(&[&lines[..end], &[&line], &lines[end..]]);
        Ok(())
    }

    /// Removes the listeners, and returns them as the text of a file for LDS, which Envoy then
    /// reads from `path`.
    ///
    /// # Errors
    /// Fails when there are no listeners.
    pub fn split_listeners(&mut self, path: &Path, version: u64) -> Result<String> {
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, "listeners:")?;
        let end = end_of_block(&lines, first);
        let depth = indentation(lines[first]) + 2;
        let mut file = format!("version_info: \"{version}\"\nresources:\n");
        for line in &lines[first + 1..end] {
            match line.strip_prefix(&format!("{:depth$}- ", "")) {
                Some(rest) => file.push_str(&format!(
                    "{:depth$}- \"@type\": {LISTENER}\n{:depth$}  {rest}\n",
                    "", ""
                )),
                None => file.push_str(&format!("{line}\n")),
            }
        }
        let source = format!("path_config_source: {{ path: \"{}\" }}", path.display());
        let dynamic = format!("dynamic_resources:\n  lds_config: {{ {source} }}\n\n");
        let static_resources = position(&lines, "static_resources:")?;
        self.text = join(&[
            &lines[..static_resources],
            &[&dynamic],
            &lines[static_resources..first],
            &lines[end..],
        ]);
        Ok(file)
    }

    /// Returns the text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Changes the filter's configuration by a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// Fails when the bootstrap has no such configuration, or it is not JSON.
    pub fn merge_configuration(&mut self, patch: &Value) -> Result<()> {
        let mut configuration: Value = serde_json::from_str(&self.configuration()?.2)?;
        merge(&mut configuration, patch);
        self.set_configuration(&configuration.to_string())
    }

    /// Sets the filter's configuration to `text`, which need not be JSON.
    ///
    /// # Errors
    /// Fails when the bootstrap has no place for it.
    pub fn set_configuration(&mut self, text: &str) -> Result<()> {
        let (first, end, _) = self.configuration()?;
        let lines: Vec<&str> = self.text.lines().collect();
        // A JSON string is a double-quoted scalar of YAML.
        let line = format!(
            "{}value: {}",
            &lines[first][..indentation(lines[first])],
            Value::from(text)
        );
        self.text = join(&[&lines[..first], &[&line], &lines[end..]]);
        Ok(())
    }

    /// Returns true if a variable with that name is to be filled in.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.text.contains(&format!("${{{name}}}"))
    }

    /// Fills in the variables, each `${NAME}`.
    ///
    /// # Errors
    /// Fails when one is not used, or one is left.
    pub fn fill(mut self, variables: &[(&str, String)]) -> Result<String> {
        for (name, value) in variables {
            let variable = format!("${{{name}}}");
            ensure!(
                self.text.contains(&variable),
                "the bootstrap has no {variable}"
            );
            self.text = self.text.replace(&variable, value);
        }
        if let Some((_, rest)) = self.text.split_once("${") {
            bail!(
                "the bootstrap's ${{{} is not filled in",
                rest.lines().next().unwrap_or_default()
            );
        }
        Ok(self.text)
    }

    /// Returns the lines of the filter's configuration, from `value: |` to the end of its block,
    /// and its text.
    fn configuration(&self) -> Result<(usize, usize, String)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, "value: |")?;
        let end = end_of_block(&lines, first);
        Ok((first, end, lines[first + 1..end].join("\n")))
    }
}

fn position(lines: &[&str], wanted: &str) -> Result<usize> {
    lines
        .iter()
        .position(|line| line.trim() == wanted)
        .with_context(|| format!("the bootstrap has no line `{wanted}`"))
}

/// Returns the first line after `first` that is not indented more deeply.
fn end_of_block(lines: &[&str], first: usize) -> usize {
    let depth = indentation(lines[first]);
    let deeper = |line: &&&str| line.trim().is_empty() || indentation(line) > depth;
    first + 1 + lines[first + 1..].iter().take_while(deeper).count()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn join(parts: &[&[&str]]) -> String {
    parts
        .concat()
        .into_iter()
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
