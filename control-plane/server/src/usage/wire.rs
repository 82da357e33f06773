//! Conversions of reports and counts between the stream's messages and the store's types.

use latchkey_policy::limit::Window;
use latchkey_protocol::{KeyRemoteUsage, KeyUsage, WindowCount};
use latchkey_store::usage::{
    self, Count, KeyReport, LastUse, MAX_REQUESTS, RemoteUsage, Requests, Windows,
};
use std::collections::BTreeSet;
use std::iter;
use std::net::IpAddr;
use tonic::Status;

/// The maximum number of keys in a report.
pub(crate) const MAX_KEYS: usize = 10_000;

/// The maximum number of secrets of one key with a last use in a report, because at most this many
/// are valid at a time.
const MAX_LAST_USES: usize = 2;

/// Validates a report: all of it, or an error. It is not checked that the keys exist.
pub(crate) fn key_reports(keys: Vec<KeyUsage>) -> Result<Vec<KeyReport>, Status> {
    if keys.len() > MAX_KEYS {
        return Err(refused(format_args!("has more than {MAX_KEYS} keys")));
    }
    keys.into_iter().map(key_report).collect()
}

fn key_report(usage: KeyUsage) -> Result<KeyReport, Status> {
    Ok(KeyReport {
        key: usage.key,
        requests: requests(&usage.requests)?,
        windows: windows(&usage.windows)?,
        last_uses: last_uses(&usage.last_uses)?,
    })
}

fn requests(reported: &[u64]) -> Result<Requests, Status> {
    let mut requests = Requests::default();
    if reported.len() > requests.len() {
        return Err(refused(format_args!(
            "has more than {} verdicts",
            requests.len()
        )));
    }
    if reported.iter().any(|total| *total > MAX_REQUESTS) {
        return Err(refused(format_args!(
            "has a total of more than {MAX_REQUESTS} requests"
        )));
    }

    iter::zip(&mut requests, reported).for_each(|(to, from)| *to = *from);
    Ok(requests)
}

fn windows(reported: &[WindowCount]) -> Result<Windows, Status> {
    let mut windows = Windows::default();
    for &WindowCount {
        kind,
        number,
        count,
    } in reported
    {
        let window = Window::ALL
            .into_iter()
            .find(|window| usage::kind(*window) == kind);
        let window =
            window.ok_or_else(|| refused(format_args!("has a window of unknown kind {kind}")))?;
        if windows[window as usize]
            .replace(Count { number, count })
            .is_some()
        {
            return Err(refused(format_args!(
                "has the {} of a key twice",
                window.as_str()
            )));
        }
    }

    Ok(windows)
}

fn last_uses(reported: &[latchkey_protocol::LastUse]) -> Result<Vec<LastUse>, Status> {
    if reported.len() > MAX_LAST_USES {
        return Err(refused(format_args!(
            "has last uses of more than {MAX_LAST_USES} secrets of a key"
        )));
    }

    let uses = reported
        .iter()
        .map(|used| last_use(used.secret, used.at, &used.ip))
        .collect::<Result<Vec<_>, _>>()?;
    let secrets: BTreeSet<_> = uses.iter().map(|used| used.secret).collect();

    if secrets.len() == uses.len() {
        Ok(uses)
    } else {
        Err(refused("has the last use of a secret twice"))
    }
}

fn last_use(secret: u32, at: i64, address: &[u8]) -> Result<LastUse, Status> {
    if secret == 0 {
        return Err(refused("has a last use of no secret"));
    }
    if at < 0 {
        return Err(refused("has a last use before 1970"));
    }

    let from = match address {
        [] => None,
        _ => Some(ip(address).ok_or_else(|| refused("has an address of neither 4 nor 16 bytes"))?),
    };
    Ok(LastUse { secret, at, from })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let sixteen = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    four.or(sixteen).ok().map(|address| address.to_canonical())
}

fn refused(reason: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("Usage {reason}"))
}

/// Converts the counts of a key to the message for nodes.
pub(crate) fn key_remote_usage(remote: &RemoteUsage) -> KeyRemoteUsage {
    let windows = iter::zip(Window::ALL, remote.windows).filter_map(|(window, count)| {
        let Count { number, count } = count?;
        Some(WindowCount {
            kind: usage::kind(window),
            number,
            count,
        })
    });
    KeyRemoteUsage {
        key: remote.key,
        slot: remote.slot,
        windows: windows.collect(),
    }
}

#[cfg(test)]
mod tests;
