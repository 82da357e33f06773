//! `make run`: runs all of Latchkey on this machine, in the foreground, with a key to try.

mod settings;

use std::process::ExitCode;

use anyhow::{Result, bail};
use latchkey_tests::{
    Demo, DemoCredentials, DemoState, envoy_binary, filter, latchkey_binary, workspace,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

// It uses one thread: the children end with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latchkey-run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let ports = settings::ports()?;
    settings::check(&ports)?;
    // Looks for these before anything is started, so that a missing part is the only message.
    latchkey_binary()?;
    filter()?;
    envoy_binary()?;
    let state = DemoState::open(workspace().join(".run"))?;

    eprintln!("latchkey-run: starting the control plane and Envoy");
    let mut demo = tokio::select! {
        demo = Demo::start(&ports, &state) => demo?,
        () = either(&mut interrupt, &mut terminate) => return Ok(()),
    };
    let credentials = tokio::select! {
        credentials = demo.prepare(&state) => credentials?,
        () = either(&mut interrupt, &mut terminate) => return stop(demo).await,
    };
    credentials.write(&state)?;
    print_instructions(&credentials);

    let ended = tokio::select! {
        ended = demo.first_to_end() => Some(ended),
        () = either(&mut interrupt, &mut terminate) => None,
    };
    match ended {
        None => stop(demo).await,
        Some(message) => {
            // Errors while stopping are ignored: the first message counts, and other failures
            // follow from it.
            let _ = stop(demo).await;
            bail!("{message}")
        }
    }
}

async fn stop(mut demo: Demo) -> Result<()> {
    eprintln!("latchkey-run: ending");
    demo.stop().await
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! { _ = one.recv() => {} _ = other.recv() => {} }
}

fn print_instructions(credentials: &DemoCredentials) {
    let DemoCredentials {
        gateway_url,
        control_url,
        admin_email,
        ..
    } = credentials;
    println!(
        r#"
Latchkey is ready: gateway {gateway_url}, control plane {control_url}, logs in .run/. Ctrl-C ends it.
The console is at {control_url}/console: log in as {admin_email}, with ADMIN_PASSWORD of .run/demo.env.
Try it in another terminal, in this directory:

Without a key, Envoy refuses (401 missing_key):
  . .run/demo.env; curl -i $GATEWAY_URL/hello

With the key it admits (200), and the upstream shows which headers reached it:
  . .run/demo.env; curl -i -H "X-API-Key: $DEMO_KEY" $GATEWAY_URL/hello

Revoked, the key is refused (401 invalid_key) from the answer on:
  . .run/demo.env; TOKEN=$(curl -s -H 'Content-Type: application/json' -d "{{\"email\":\"$ADMIN_EMAIL\",\"password\":\"$ADMIN_PASSWORD\"}}" $CONTROL_URL/v1/sessions | sed 's/.*"token": *"\([^"]*\)".*/\1/'); curl -s -X DELETE -H "Authorization: Bearer $TOKEN" $CONTROL_URL/v1/keys/$DEMO_KEY_ID; echo; curl -i -H "X-API-Key: $DEMO_KEY" $GATEWAY_URL/hello
"#
    );
}
