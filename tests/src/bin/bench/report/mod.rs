//! The one report: the results of each section's last run, as JSON, and the pages that are made of
//! them.
//!
//! `docs/bench/results.json` has an object of sections by name. A run replaces the sections that it
//! measures and leaves the others. Each section records when, where and how it was measured.

mod goals;
mod markdown;
mod origin;
mod svg;
mod tables;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use latchkey_tests::workspace;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

pub(crate) use origin::Origin;
pub(crate) use tables::thousands;

/// The markers around README's four figures.
const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// All sections.
pub(crate) struct Report {
    sections: Map<String, Value>,
}

/// One section, as it is read.
struct Section<T> {
    origin: Origin,
    result: T,
}

impl Report {
    /// Reads the last report; an empty one if there is none yet.
    pub(crate) fn read() -> Result<Self> {
        let path = file("results.json");
        if !path.exists() {
            return Ok(Self {
                sections: Map::new(),
            });
        }
        let text = std::fs::read_to_string(&path)?;
        let sections = serde_json::from_str(&text)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self { sections })
    }

    /// Returns a report without sections.
    pub(crate) fn empty() -> Self {
        Self {
            sections: Map::new(),
        }
    }

    /// Replaces a section's earlier results.
    pub(crate) fn put(
        &mut self,
        name: &str,
        origin: &Origin,
        result: &impl Serialize,
    ) -> Result<()> {
        self.sections.insert(
            name.to_owned(),
            json!({ "origin": origin, "result": serde_json::to_value(result)? }),
        );
        Ok(())
    }

    /// Returns a section's results; none if it has not run, or if they have a format that is no
    /// longer read.
    fn section<T: DeserializeOwned>(&self, name: &str) -> Option<Section<T>> {
        let section = self.sections.get(name)?;
        let origin = serde_json::from_value(section["origin"].clone()).ok()?;
        Some(Section {
            origin,
            result: serde_json::from_value(section["result"].clone()).ok()?,
        })
    }

    /// Returns the whole report in Markdown.
    pub(crate) fn markdown(&self) -> String {
        markdown::page(self)
    }

    /// Writes `docs/bench/` and the figures in README.
    pub(crate) fn write(&self) -> Result<()> {
        std::fs::create_dir_all(file(""))?;
        std::fs::write(
            file("results.json"),
            serde_json::to_string_pretty(&self.sections)? + "\n",
        )?;
        std::fs::write(file("README.md"), self.markdown())?;
        if let Some(requests) = self.section::<crate::requests::Requests>("requests") {
            std::fs::write(
                file("requests.svg"),
                svg::added_time(&requests.result.contest),
            )?;
        }
        let path = workspace().join("README.md");
        let readme = std::fs::read_to_string(&path)?;
        std::fs::write(&path, self.with_figures(&readme)?)?;
        Ok(())
    }

    /// Returns README with the figures of this report between its markers.
    fn with_figures(&self, readme: &str) -> Result<String> {
        let (before, rest) = readme
            .split_once(BEGIN)
            .with_context(|| format!("README has no {BEGIN}"))?;
        let (_, after) = rest
            .split_once(END)
            .with_context(|| format!("README has no {END}"))?;
        Ok(format!(
            "{before}{BEGIN}\n{}{END}{after}",
            markdown::summary(self)
        ))
    }
}

fn file(name: &str) -> PathBuf {
    workspace().join("docs/bench").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_match_the_results() {
        let report = Report::read().unwrap();
        let page = std::fs::read_to_string(file("README.md")).unwrap();
        ensure_same("docs/bench/README.md", &page, &report.markdown());
        let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
        ensure_same("README.md", &readme, &report.with_figures(&readme).unwrap());
    }

    /// Compares line by line, so that a failure shows one line and not two pages.
    fn ensure_same(path: &str, written: &str, given: &str) {
        let lines = written.lines().zip(given.lines());
        for (line, (written, given)) in (1..).zip(lines) {
            assert_eq!(written, given, "{path}:{line}");
        }
        assert_eq!(written.len(), given.len(), "{path} ends elsewhere");
    }
}
