//! What every page is held to: that people can use it, and that it weighs little.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::Browser;
use crate::paths::axe_script;
use crate::wait::eventually;

/// How long a page may take to load.
const LOAD: Duration = Duration::from_secs(10);

/// Where a page keeps people from using it, as axe-core finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: String,
    /// How bad that is: `minor`, `moderate`, `serious` or `critical`.
    pub impact: String,
    /// The page's path.
    pub page: String,
    /// The element and how to mend it.
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
    /// All that axe-core finds on the page.
    ///
    /// # Errors
    /// When it is not there or does not run.
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

    /// What the browser itself has complained of since it was last asked, such as what a page's
    /// policy forbids.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.driver()?.browser_log().await?.into_iter();
        // It also has advice.
        let grave = log.filter(|entry| matches!(entry.level.as_str(), "WARNING" | "SEVERE"));
        Ok(grave.map(|entry| entry.message).collect())
    }

    /// How many bytes came over the network for the page and all that it has loaded.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn weight(&self) -> Result<u64> {
        // The icon is not among the resources that a page hears of.
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

    /// Follows the link that says this: how many milliseconds it takes from the click to the end of
    /// the page's `load`.
    ///
    /// # Errors
    /// When the browser does not answer.
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
