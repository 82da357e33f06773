//! The reader's environment: the size of their screen, their preferred colours, their time zone.

use anyhow::Result;
use serde_json::json;

use super::{Browser, Size};

/// The colour scheme that the reader's system prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Scheme {
    /// Both schemes.
    pub const ALL: [Self; 2] = [Self::Light, Self::Dark];

    /// Returns the scheme's name in style sheets.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// Sets the size of the window's inside.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn resize(&self, (width, height): Size) -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await?;
        Ok(())
    }

    /// Shows pages as to a reader who prefers this scheme.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn prefer(&self, scheme: Scheme) -> Result<()> {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme.as_str() },
            // Disables transitions, so that no colour is changing when a picture is taken.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await?;
        Ok(())
    }

    /// Clears the browser's cache, as if it had never been on the site.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn forget_cache(&self) -> Result<()> {
        self.devtools("Network.clearBrowserCache", json!({}))
            .await?;
        Ok(())
    }

    /// Shows pages as to a reader in this time zone, such as `Pacific/Auckland`.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn live_in(&self, zone: &str) -> Result<()> {
        self.devtools(
            "Emulation.setTimezoneOverride",
            json!({ "timezoneId": zone }),
        )
        .await?;
        Ok(())
    }

    /// Disables scripts on all pages that are loaded from now on.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn without_script(&self) -> Result<()> {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        )
        .await?;
        Ok(())
    }
}
