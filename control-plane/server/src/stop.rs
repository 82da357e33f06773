//! The signal that stops background tasks.

use tokio::sync::watch;
use tokio::task;

/// The sender. Dropping it also stops the tasks.
pub(crate) struct Stopper(watch::Sender<bool>);

/// The receiver.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

/// Creates a signal that is not sent yet.
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
    /// Waits for the signal. Returns at once if it was sent before.
    pub(crate) async fn requested(&mut self) {
        // A dropped sender is a stop, too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Runs `work` in the background until it ends or the signal is sent.
    pub(crate) fn spawn(mut self, work: impl Future<Output = ()> + Send + 'static) {
        task::spawn(async move {
            tokio::select! {
                () = work => {}
                () = self.requested() => {}
            }
        });
    }
}
