//! Loopback addresses that stay free while nobody listens on them.
//!
//! A control plane that is killed and started again has to find its port free. On 127.0.0.1 any
//! other test, or the source port of any connection, may take it before that. So each control plane
//! gets a separate one of Linux's sixteen million loopback addresses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// Returns a loopback address. This process returns the same address only once in 250 calls.
pub(crate) fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // Avoids 127.0.x.x, which everybody uses, and a last part of 0 or 255.
    Ipv4Addr::new(
        127,
        1 + high % 250,
        low,
        1 + NEXT.fetch_add(1, Ordering::Relaxed) % 250,
    )
}

/// A lock that is held while a port is tried, and while a process is made: between fork and exec a
/// child holds its parent's listeners.
pub(crate) static FORKING: Mutex<()> = Mutex::new(());

/// Returns `ip` with two ports that are free there.
pub(crate) fn free_ports(ip: Ipv4Addr) -> Result<[SocketAddr; 2]> {
    let _no_fork = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
    let bind = || TcpListener::bind((ip, 0)).with_context(|| format!("no free port on {ip}"));
    // Both ports are bound at the same time, so that they differ.
    let (one, other) = (bind()?, bind()?);
    Ok([one.local_addr()?, other.local_addr()?])
}
