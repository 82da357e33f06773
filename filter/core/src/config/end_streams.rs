//! The setting `end_streams`.

use super::ConfigError;
use super::object::Object;

/// The streams that end when their secret ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndStreams {
    /// No streams.
    Off,
    /// WebSockets and other upgrades, CONNECT, and gRPC.
    #[default]
    Upgrades,
    /// The streams of `Upgrades`, and requests that are older than 30 s.
    All,
}

impl EndStreams {
    /// The names in the configuration.
    pub const NAMES: [(&str, Self); 3] = [
        ("off", Self::Off),
        ("upgrades", Self::Upgrades),
        ("all", Self::All),
    ];

    /// Reads the setting; the default if it is absent or invalid.
    pub(super) fn read(root: &mut Object, errors: &mut Vec<ConfigError>) -> Self {
        let Some(name) = root.optional_string("end_streams", errors) else {
            return Self::default();
        };
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        if found.is_none() {
            let known = Self::NAMES.map(|(name, _)| name).join(", ");
            root.error("end_streams", format!("must be one of {known}"), errors);
        }
        found.map_or(Self::default(), |(_, mode)| *mode)
    }
}
