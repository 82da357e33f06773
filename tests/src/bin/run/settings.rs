//! The settings of `make run`, from the environment.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};
use latchkey_tests::DemoPorts;

/// Reads each port from the variable of its name: `GATEWAY_PORT` (10000), `ADMIN_PORT` (9901),
/// `CONTROL_PORT` (8080), `STREAM_PORT` (8081) and `UPSTREAM_PORT` (8082). 0 takes a free port.
pub(crate) fn ports() -> Result<DemoPorts> {
    Ok(DemoPorts {
        gateway: port("GATEWAY_PORT", 10_000)?,
        admin: port("ADMIN_PORT", 9901)?,
        control: port("CONTROL_PORT", 8080)?,
        stream: port("STREAM_PORT", 8081)?,
        upstream: port("UPSTREAM_PORT", 8082)?,
    })
}

/// Fails, naming port and variable, when a port is taken or given twice.
pub(crate) fn check(ports: &DemoPorts) -> Result<()> {
    let ports = [
        ("GATEWAY_PORT", ports.gateway),
        ("ADMIN_PORT", ports.admin),
        ("CONTROL_PORT", ports.control),
        ("STREAM_PORT", ports.stream),
        ("UPSTREAM_PORT", ports.upstream),
    ];
    // All ports are held until all are checked, so that a duplicate port is noticed.
    let mut held = Vec::new();
    for (variable, port) in ports {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => held.push((listener, variable, port)),
            Err(error) => {
                if let Some((_, other, _)) = held.iter().find(|(_, _, taken)| *taken == port) {
                    bail!("{variable} and {other} are both {port}");
                }
                if error.kind() == ErrorKind::AddrInUse {
                    bail!("port {port} is taken; set {variable} to use another");
                }
                return Err(error)
                    .with_context(|| format!("port {port} cannot be used ({variable})"));
            }
        }
    }
    Ok(())
}

fn port(variable: &str, default: u16) -> Result<u16> {
    match std::env::var_os(variable).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => {
            let port = text.to_str().and_then(|text| text.parse().ok());
            port.with_context(|| format!("{variable} is {}, which is no port", text.display()))
        }
    }
}
