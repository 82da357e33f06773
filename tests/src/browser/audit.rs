//! The requirements on every page: it is accessible, and it is small.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::Browser;
use crate::paths::axe_script;
use crate::wait::eventually;

/// The time that a page may take to load.
const LOAD: Duration = Duration::from_secs(10);

/// An accessibility fault on a page, as axe-core reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: String,
    /// The severity: `minor`, `moderate`, `serious` or `critical`.
    pub impact: String,
    /// The page's path.
    pub page: String,
    /// The element and how to repair it.
    pub element: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ({}) on {}: {}",
            self.rule, self.impact, self.page, self.element
        )
    }
}

#[derive(Deserialize)]
struct Violation {
    id: String,
    impact: Option<String>,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    html: String,
    target: Value,
    #[serde(rename = "failureSummary")]
    summary: Option<String>,
}

impl Browser {
    /// Returns all faults that axe-core finds on the page.
    ///
    /// # Errors
    /// Fails when it is not there or does not run.
    pub async fn findings(&self) -> Result<Vec<Finding>> {
        if self.run("return typeof axe", vec![]).await? == "undefined" {
            self.run(&std::fs::read_to_string(axe_script()?)?, vec![])
                .await?;
        }
        let script =
            "return axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations)";
        let violations: Vec<Violation> = serde_json::from_value(self.run(script, vec![]).await?)?;
        let page = self.path().await;
        let of = |Violation { id, impact, nodes }: Violation| {
            let impact = impact.unwrap_or_default();
            let page = page.clone();
            nodes.into_iter().map(
                move |Node {
                          html,
                          target,
                          summary,
                      }| Finding {
                    rule: id.clone(),
                    impact: impact.clone(),
                    page: page.clone(),
                    element: format!(
                        "{target} {html} {}",
                        summary.unwrap_or_default().replace('\n', " ")
                    ),
                },
            )
        };
        Ok(violations.into_iter().flat_map(of).collect())
    }

    /// Returns the warnings and errors that the browser has logged since the last call, such as
    /// violations of a page's policy.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.driver()?.browser_log().await?.into_iter();
        // The log also contains advice.
        let grave = log.filter(|entry| matches!(entry.level.as_str(), "WARNING" | "SEVERE"));
        Ok(grave.map(|entry| entry.message).collect())
    }

    /// Returns the number of bytes that came over the network for the page and everything that it
    /// has loaded.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn weight(&self) -> Result<u64> {
        // The icon is not in the page's own list of resources.
        let script = r#"
            const loaded = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type));
            const icons = [...document.querySelectorAll("link[rel=icon]")].map((icon) => icon.href);
            const sizes = icons.filter((icon) => !loaded.some((entry) => entry.name === icon))
                .map(async (icon) => (await (await fetch(icon)).blob()).size);
            const weight = loaded.reduce((sum, entry) => sum + entry.transferSize, 0);
            return Promise.all(sizes).then((sizes) => sizes.reduce((sum, size) => sum + size, weight))"#;
        let weight = self.run(script, vec![]).await?;
        ensure!(weight.as_u64() > Some(0), "the page weighs {weight}");
        Ok(weight.as_u64().unwrap_or_default())
    }

    /// Follows the link with this text, and returns the milliseconds from the click to the end of
    /// the page's `load`.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn time_of_click(&self, text: &str) -> Result<f64> {
        let note = r#"addEventListener("click", () => {
            sessionStorage.clicked = performance.timeOrigin + performance.now();
        }, { capture: true })"#;
        self.run(note, vec![]).await?;
        self.press(text).await;
        let time = r#"
            const [page] = performance.getEntriesByType("navigation");
            return page.loadEventEnd && performance.timeOrigin + page.loadEventEnd - sessionStorage.clicked"#;
        let measured = eventually(LOAD, async || {
            let time = self.run(time, vec![]).await?.as_f64().unwrap_or_default();
            ensure!(time > 0.0, "the page is still loading");
            Ok(time)
        });
        measured.await
    }
}
