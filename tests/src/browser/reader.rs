//! Whose browser it is: how large their screen is, what they prefer, where they live.

use anyhow::Result;
use serde_json::json;

use super::{Browser, Size};

/// Light or dark, as the reader's system prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Light, Self::Dark];

    /// As style sheets call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// Makes the window's inside this wide and high.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn resize(&self, (width, height): Size) -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await?;
        Ok(())
    }

    /// Has pages shown as to a reader who prefers this.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn prefer(&self, scheme: Scheme) -> Result<()> {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme.as_str() },
            // No colour is on its way to another one when it is looked at.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await?;
        Ok(())
    }

    /// Forgets what it has loaded, as if it had never been on the site.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn forget_cache(&self) -> Result<()> {
        self.devtools("Network.clearBrowserCache", json!({}))
            .await?;
        Ok(())
    }

    /// Has pages shown as to a reader who lives there, such as in `Pacific/Auckland`.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn live_in(&self, zone: &str) -> Result<()> {
        self.devtools(
            "Emulation.setTimezoneOverride",
            json!({ "timezoneId": zone }),
        )
        .await?;
        Ok(())
    }

    /// Runs no script of any page that is loaded from now on.
    ///
    /// # Errors
    /// When the browser does not answer.
    pub async fn without_script(&self) -> Result<()> {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        )
        .await?;
        Ok(())
    }
}
