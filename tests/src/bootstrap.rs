//! Envoy's configuration: the shipped `envoy/latchkey.yaml`, filled in, and changed where a test needs it otherwise.
//!
//! The changes work on the text, so that what the tests run is the file that people read.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::paths::workspace;

/// A route's action: Envoy answers.
const ANSWER: &str = "direct_response: { status: 200, body: { inline_string: ok } }";

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

/// A configuration in the making.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    text: String,
}

impl Bootstrap {
    /// The shipped file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn shipped() -> Result<Self> {
        let path = workspace().join("envoy/latchkey.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { text })
    }

    /// Replaces the one place where `old` stands.
    ///
    /// # Errors
    /// When it stands nowhere, or more than once.
    pub fn replace(&mut self, old: &str, new: &str) -> Result<()> {
        let found = self.text.matches(old).count();
        ensure!(found == 1, "{old:?} stands {found} times in the bootstrap");
        self.text = self.text.replace(old, new);
        Ok(())
    }

    /// Takes out the HTTP filter of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove_http_filter(&mut self, name: &str) -> Result<()> {
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, &format!("- name: {name}"))?;
        let end = end_of_block(&lines, first);
        self.text = join(&[&lines[..first], &lines[end..]]);
        Ok(())
    }

    /// Puts other HTTP filters, a list in YAML, in place of `latchkey` and `guard`.
    ///
    /// # Errors
    /// When those are not there.
    pub fn replace_http_filters(&mut self, filters: &str) -> Result<()> {
        self.remove_http_filter("latchkey")?;
        self.remove_http_filter("guard")?;
        let lines: Vec<&str> = self.text.lines().collect();
        let router = position(&lines, "- name: envoy.filters.http.router")?;
        let depth = &lines[router][..indentation(lines[router])];
        let filters: Vec<String> = filters.lines().map(|line| format!("{depth}{line}")).collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        self.text = join(&[&lines[..router], &filters, &lines[router..]]);
        Ok(())
    }

    /// Has Envoy itself answer what its filters let through, with 200 and `ok`, and takes out the access log.
    ///
    /// # Errors
    /// When the route or the access log is not there.
    pub fn answer_itself(&mut self) -> Result<()> {
        self.replace("route: { cluster: upstream }", ANSWER)?;
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, "access_log:")?;
        let end = end_of_block(&lines, first);
        self.text = join(&[&lines[..first], &lines[end..]]);
        Ok(())
    }

    /// Adds a listener `beside`, on a free port, whose requests meet no filter.
    ///
    /// # Errors
    /// When there are no listeners.
    pub fn add_listener_beside(&mut self) -> Result<()> {
        self.replace("  listeners:\n", &format!("  listeners:\n{}", BESIDE.replace("ANSWER", ANSWER)))
    }

    /// Adds a listener `second`, on a free port, which is the listener `gateway` but for the filter's configuration:
    /// that is changed by a JSON merge patch. So the filters of both share a VM.
    ///
    /// # Errors
    /// When there is no such listener, or its configuration was changed before.
    pub fn add_second_gateway(&mut self, patch: &Value) -> Result<()> {
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, "- name: gateway")?;
        let end = end_of_block(&lines, first);
        let mut second = Self { text: join(&[&lines[first..end]]) };
        second.replace("- name: gateway", "- name: second")?;
        second.replace("${GATEWAY_PORT}", "0")?;
        second.merge_configuration(patch)?;
        let second: Vec<&str> = second.text.lines().collect();
        self.text = join(&[&lines[..end], &second, &lines[end..]]);
        Ok(())
    }

    /// Has Envoy not keep the statistic of that name.
    ///
    /// # Errors
    /// When the bootstrap does not configure statistics.
    pub fn leave_out_stat(&mut self, name: &str) -> Result<()> {
        let matcher = format!("  stats_matcher: {{ exclusion_list: {{ patterns: [{{ exact: {name} }}] }} }}\n");
        self.replace("\nstats_config:\n", &format!("\nstats_config:\n{matcher}"))
    }

    /// Gives the cluster `upstream` the protocol options of the cluster `latchkey`, which speaks HTTP/2.
    ///
    /// # Errors
    /// When either is not there.
    pub fn use_http2_upstream(&mut self) -> Result<()> {
        let lines: Vec<&str> = self.text.lines().collect();
        let options = position(&lines, "typed_extension_protocol_options:")?;
        let options = &lines[options..end_of_block(&lines, options)];
        let upstream = position(&lines, "- name: upstream")? + 1;
        self.text = join(&[&lines[..upstream], options, &lines[upstream..]]);
        Ok(())
    }

    /// Changes the filter's configuration by a JSON merge patch (RFC 7396).
    ///
    /// # Errors
    /// When the bootstrap has no such configuration, or it is not JSON.
    pub fn merge_configuration(&mut self, patch: &Value) -> Result<()> {
        let mut configuration: Value = serde_json::from_str(&self.configuration()?.2)?;
        merge(&mut configuration, patch);
        self.set_configuration(&configuration.to_string())
    }

    /// Gives the filter `text` as its configuration, JSON or not.
    ///
    /// # Errors
    /// When the bootstrap has no place for it.
    pub fn set_configuration(&mut self, text: &str) -> Result<()> {
        let (first, end, _) = self.configuration()?;
        let lines: Vec<&str> = self.text.lines().collect();
        // A JSON string is a double-quoted scalar of YAML.
        let line = format!("{}value: {}", &lines[first][..indentation(lines[first])], Value::from(text));
        self.text = join(&[&lines[..first], &[&line], &lines[end..]]);
        Ok(())
    }

    /// Fills in the variables, each `${NAME}`.
    ///
    /// # Errors
    /// When one is not used, or one is left.
    pub fn fill(mut self, variables: &[(&str, String)]) -> Result<String> {
        for (name, value) in variables {
            let variable = format!("${{{name}}}");
            ensure!(self.text.contains(&variable), "the bootstrap has no {variable}");
            self.text = self.text.replace(&variable, value);
        }
        if let Some((_, rest)) = self.text.split_once("${") {
            bail!("the bootstrap's ${{{} is not filled in", rest.lines().next().unwrap_or_default());
        }
        Ok(self.text)
    }

    /// The lines of the filter's configuration, from `value: |` up to the end of its block, and its text.
    fn configuration(&self) -> Result<(usize, usize, String)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let first = position(&lines, "value: |")?;
        let end = end_of_block(&lines, first);
        Ok((first, end, lines[first + 1..end].join("\n")))
    }
}

fn position(lines: &[&str], wanted: &str) -> Result<usize> {
    lines.iter().position(|line| line.trim() == wanted).with_context(|| format!("the bootstrap has no line `{wanted}`"))
}

/// The first line after `first` that stands no deeper than it.
fn end_of_block(lines: &[&str], first: usize) -> usize {
    let depth = indentation(lines[first]);
    let deeper = |line: &&&str| line.trim().is_empty() || indentation(line) > depth;
    first + 1 + lines[first + 1..].iter().take_while(deeper).count()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn join(parts: &[&[&str]]) -> String {
    parts.concat().into_iter().flat_map(|line| [line, "\n"]).collect()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Bootstrap {
        let text = "filters:\n  - name: latchkey\n    configuration:\n      value: |\n        { \"a\": {\"b\": \"${TOKEN}\"},\n          \"c\": 1 }\n  - name: guard\n    deep:\n      er: 1\n\n  - name: router\n";
        Bootstrap { text: text.to_owned() }
    }

    #[test]
    fn the_shipped_file_takes_every_change() {
        let mut bootstrap = Bootstrap::shipped().unwrap();
        bootstrap.remove_http_filter("guard").unwrap();
        bootstrap.use_http2_upstream().unwrap();
        bootstrap.replace("failure_policy: FAIL_CLOSED", "failure_policy: FAIL_RELOAD").unwrap();
        bootstrap.replace("vm_id: latchkey", "vm_id: other").unwrap();
        bootstrap.merge_configuration(&json!({"control_plane": {"token": "secret"}})).unwrap();
        assert!(!bootstrap.text.contains("RBAC"));
        assert_eq!(bootstrap.text.matches("http2_protocol_options:").count(), 2);
        assert!(bootstrap.text.contains("envoy.filters.http.router"));
    }

    #[test]
    fn the_shipped_file_takes_other_filters_and_answers_itself() {
        let mut bootstrap = Bootstrap::shipped().unwrap();
        bootstrap.replace_http_filters("- name: another\n  deeper: 1").unwrap();
        bootstrap.answer_itself().unwrap();
        bootstrap.add_listener_beside().unwrap();
        let text = &bootstrap.text;
        let place = text.find("\n                  - name: another\n                    deeper: 1\n").unwrap();
        assert!(text[place..].contains("envoy.filters.http.router"));
        assert!(!text.contains("stamped-by-latchkey") && !text.contains("access_loggers"), "{text}");
        assert_eq!((text.matches("direct_response").count(), text.matches("- name: beside").count()), (2, 1));
    }

    #[test]
    fn the_second_gateway_differs_in_name_port_and_configuration_alone() {
        let mut bootstrap = Bootstrap::shipped().unwrap();
        bootstrap.add_second_gateway(&json!({"key_prefix": "other"})).unwrap();
        bootstrap.merge_configuration(&json!({"key_prefix": "one"})).unwrap();
        bootstrap.leave_out_stat("a.stat").unwrap();
        let text = &bootstrap.text;
        let second = text.find("- name: second").unwrap();
        let (one, other) = (text.find(r#"\"one\""#).unwrap(), text.find(r#"\"other\""#).unwrap());
        assert!(one < second && second < other, "{text}");
        for both in ["vm_id: latchkey", "- name: guard", "${FILTER_WASM}", "${NODE_TOKEN}"] {
            assert_eq!(text.lines().filter(|line| line.contains(both) && !line.starts_with('#')).count(), 2, "{both}");
        }
        assert!(text.contains("\nstats_config:\n  stats_matcher:"), "{text}");
    }

    #[test]
    fn a_filter_is_removed_with_its_block_and_nothing_else() {
        let mut bootstrap = sample();
        bootstrap.remove_http_filter("guard").unwrap();
        assert!(bootstrap.text.ends_with("\"c\": 1 }\n  - name: router\n"), "{}", bootstrap.text);
        assert!(bootstrap.remove_http_filter("guard").is_err());
    }

    #[test]
    fn the_configuration_is_merged_and_still_filled_in() {
        let mut bootstrap = sample();
        bootstrap.merge_configuration(&json!({"a": {"d": [2]}, "c": null})).unwrap();
        let text = bootstrap.fill(&[("TOKEN", "t".to_owned())]).unwrap();
        let expected = r#"      value: "{\"a\":{\"b\":\"t\",\"d\":[2]}}""#;
        assert!(text.lines().any(|line| line == expected), "{text}");
    }

    #[test]
    fn a_variable_that_is_left_or_not_there_is_an_error() {
        assert!(sample().fill(&[]).unwrap_err().to_string().contains("TOKEN"));
        assert!(sample().fill(&[("TOKEN", String::new()), ("PORT", String::new())]).is_err());
    }
}
