//! The signal that everything which runs on its own listens to.

use tokio::sync::watch;

/// Told once; dropped, it tells as well.
pub(crate) struct Stopper(watch::Sender<bool>);

/// Where it is heard.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// A signal that was not given yet.
pub(crate) fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Waits for it; at once if it was given before.
    pub(crate) async fn requested(&mut self) {
        // Either way it is time.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
