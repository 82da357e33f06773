//! The Envoys, and their faults.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use latchkey_tests::{Envoy, EnvoyOptions, Link, Passage, SeededRng};
use serde_json::json;
use tokio::time::sleep;

use crate::model::Violation;
use crate::settings::Deck;
use crate::world::{World, filters};

/// An Envoy, including its restarts.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) envoy: tokio::sync::Mutex<Running>,
    /// The link between it and the control plane.
    link: Link,
    /// The gateway's address; none while Envoy does not run.
    address: Mutex<Option<SocketAddr>>,
}

/// The process, and the options of its next start.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) envoy: Envoy,
    options: EnvoyOptions,
    updates: u64,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Stop,
    Kill,
    Terminate,
    Configuration,
    Code,
    Cut,
    Hold,
}

const FAULTS: [Fault; 7] = [
    Fault::Cut,
    Fault::Hold,
    Fault::Stop,
    Fault::Kill,
    Fault::Terminate,
    Fault::Configuration,
    Fault::Code,
];

impl Node {
    pub(crate) async fn start(options: EnvoyOptions, link: Link) -> Result<Self> {
        let envoy = Envoy::start(&options).await?;
        let address = Mutex::new(Some(envoy.gateway()));
        let name = options.node_id.clone();
        Ok(Self {
            name,
            envoy: tokio::sync::Mutex::new(Running {
                envoy,
                options,
                updates: 0,
            }),
            link,
            address,
        })
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_address(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Starts Envoy again after it has ended.
    async fn start_again(&self, running: &mut Running) -> Result<()> {
        running.envoy = Envoy::start(&running.options).await?;
        self.set_address(Some(running.envoy.gateway()));
        Ok(())
    }

    /// Changes the filter's configuration, including its staleness limit.
    pub(crate) async fn update_configuration(&self, world: &World) -> Result<()> {
        let mut running = self.envoy.lock().await;
        running.updates += 1;
        let staleness = world.settings.staleness.as_secs() * (1 + running.updates % 2);
        let configuration = json!({
            "max_staleness_seconds": staleness,
            "identity_headers": { format!("x-update-{}", running.updates): "key" },
        });
        self.update(&mut running, |options| {
            options.configuration = configuration;
        })
        .await
    }

    /// Replaces the filter's code by the other build.
    pub(crate) async fn update_code(&self) -> Result<()> {
        let mut running = self.envoy.lock().await;
        let [one, other] = filters()?;
        let next = if running.options.filter == one {
            other
        } else {
            one
        };
        self.update(&mut running, |options| options.filter = next)
            .await
    }

    async fn update(
        &self,
        running: &mut Running,
        change: impl FnOnce(&mut EnvoyOptions),
    ) -> Result<()> {
        change(&mut running.options);
        let options = running.options.clone();
        running.envoy.update(|current| *current = options).await?;
        self.set_address(Some(running.envoy.gateway()));
        Ok(())
    }

    async fn make(&self, fault: Fault, world: &World, rng: &mut SeededRng) -> Result<()> {
        match fault {
            Fault::Stop => {
                let mut running = self.envoy.lock().await;
                running.envoy.process().pause()?;
                sleep(world.settings.next_stop(rng)).await;
                running.envoy.process().resume()
            }
            Fault::Kill => {
                let mut running = self.envoy.lock().await;
                running.envoy.kill();
                self.set_address(None);
                sleep(Duration::from_millis(200)).await;
                self.start_again(&mut running).await
            }
            Fault::Terminate => {
                let mut running = self.envoy.lock().await;
                running.envoy.stop().await?;
                self.set_address(None);
                self.start_again(&mut running).await
            }
            Fault::Configuration => self.update_configuration(world).await,
            Fault::Code => self.update_code().await,
            Fault::Cut | Fault::Hold => {
                // The lock prevents an exchange of databases for that time.
                let _running = self.envoy.lock().await;
                self.link.set(if matches!(fault, Fault::Cut) {
                    Passage::Cut
                } else {
                    Passage::Held
                });
                sleep(world.settings.next_outage(rng)).await;
                self.link.set(Passage::Open);
                Ok(())
            }
        }
    }
}

/// Makes faults at Envoy number `number` until faults end.
pub(crate) async fn faults(world: Arc<World>, number: usize, mut rng: SeededRng) {
    let node = &world.nodes[number];
    let mut deck = Deck::new(&FAULTS);
    while !world.faults_end.load(Ordering::SeqCst) {
        sleep(world.settings.next_pause(&mut rng)).await;
        let Some(fault) = deck.draw(&mut rng) else {
            return;
        };
        let kind = match fault {
            Fault::Stop => "Envoy stopped",
            Fault::Kill => "Envoy killed",
            Fault::Terminate => "Envoy restarted",
            Fault::Configuration => "configuration updated",
            Fault::Code => "code updated",
            Fault::Cut => "link cut",
            Fault::Hold => "link held",
        };
        world.say(&format!("{}: {kind}", node.name));
        world.figures.fault(kind);
        if let Err(error) = node.make(fault, &world, &mut rng).await.context(kind) {
            world.violated(Violation::Broken, format!("{}: {error:#}", node.name));
            return;
        }
    }
}
