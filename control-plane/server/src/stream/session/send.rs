//! The messages that a stream sends: batches of a size that its link carries, and heartbeats.

use latchkey_protocol::{Batch, Heartbeat, ToNode, to_node};
use latchkey_store::Head;
use tokio::time::Instant;

use super::{End, HEARTBEAT, RESERVED, Session};
use crate::stream::batches::{self, Batches};
use crate::stream::snapshot_cache::Cursor;

impl Session {
    /// Sends the rest of the snapshot that the node loads. Keys that have changed since then are
    /// sent with the changes. Returns the snapshot's revision.
    pub(super) async fn send_snapshot(&mut self) -> Result<u64, End> {
        let Some((snapshot, cursor)) = self
            .loading
            .as_ref()
            .map(|loading| (loading.snapshot.clone(), loading.cursor()))
        else {
            return Ok(0);
        };
        let Cursor {
            mut batch,
            bytes: mut skipped,
        } = cursor;

        while let Some(mut rest) = snapshot.batches.get(batch, self.format) {
            let whole = batches::record_bytes(&rest);
            batches::skip(&mut rest, skipped);
            skipped = 0;
            while batches::record_bytes(&rest) > 0 {
                self.wait_for_window().await?;
                let part = batches::take(&mut rest, self.window.batch_bytes());
                let bytes = whole.saturating_sub(batches::record_bytes(&rest));
                if let Some(loading) = &mut self.loading {
                    loading.record_sent(Cursor { batch, bytes });
                }
                self.send_part(part)?;
            }
            batch += 1;
        }
        Ok(snapshot.revision)
    }

    /// Sends everything that has changed since `revision`.
    pub(super) async fn send_changes_since(&mut self, revision: u64) -> Result<(), End> {
        let changes = self
            .read(async |store| store.changes_since(revision).await)
            .await?;
        self.send_batches(&Batches::from_changes(changes)).await
    }

    /// Sends batches in parts of a size that the link carries.
    pub(super) async fn send_batches(&mut self, batches: &Batches) -> Result<(), End> {
        self.ended.record_sent(batches.completes());
        for index in 0.. {
            let Some(mut rest) = batches.get(index, self.format) else {
                break;
            };
            loop {
                self.wait_for_window().await?;
                let part = batches::take(&mut rest, self.window.batch_bytes());
                self.send_part(part)?;
                if batches::record_bytes(&rest) == 0 {
                    break;
                }
            }
        }

        Ok(())
    }

    /// Waits until the window allows another batch.
    async fn wait_for_window(&mut self) -> Result<(), End> {
        while !self.window.is_open() {
            self.step().await?;
        }
        Ok(())
    }

    fn send_part(&mut self, mut batch: Batch) -> Result<(), End> {
        let bytes = batches::record_bytes(&batch);
        batch.sequence = self
            .window
            .record_sent(batch.revision, bytes, Instant::now());
        let completed = <[u8; 16]>::try_from(&batch.tag[..]).map(|tag| Head {
            revision: batch.revision,
            tag,
        });

        let metrics = &self.shared.metrics.stream;
        metrics.batches.inc();
        metrics
            .batch_bytes
            .inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));

        self.send(to_node::Message::Batch(batch))?;
        if let Ok(head) = completed {
            self.position = Some(head);
            self.answer_contact();
        }
        Ok(())
    }

    /// Sends a message for which the outbox always has room.
    pub(super) fn send(&mut self, message: to_node::Message) -> Result<(), End> {
        self.outbox
            .try_send(Ok(ToNode {
                message: Some(message),
            }))
            .map_err(|_| End::Gone)
    }

    /// Sends a message that may be dropped.
    pub(super) fn try_send(&mut self, message: to_node::Message) {
        // The next step notices a closed outbox.
        let _ = self.outbox.try_send(Ok(ToNode {
            message: Some(message),
        }));
    }

    /// Answers an Alive message, once the node has everything that was committed when it arrived.
    pub(super) fn answer_contact(&mut self) {
        let Some(Head { revision, tag }) = self.position.filter(|_| !self.waiting) else {
            return;
        };
        if self.outbox.capacity() <= RESERVED {
            return;
        }

        if let Some(echo) = self.contact.answer(revision) {
            self.try_send(to_node::Message::Heartbeat(Heartbeat {
                revision,
                tag: tag.to_vec(),
                echo,
            }));
        }
    }

    /// Sends a heartbeat, which keeps the stream alive. Before Welcome it contains no revision.
    pub(super) fn heartbeat(&mut self) {
        let heartbeat = if self.welcomed {
            let Head { revision, tag } = self.shared.store.head();
            Heartbeat {
                revision,
                tag: tag.to_vec(),
                echo: 0,
            }
        } else {
            Heartbeat::default()
        };

        if self.outbox.capacity() > RESERVED {
            self.try_send(to_node::Message::Heartbeat(heartbeat));
        }
        self.answer_contact();
        self.next_heartbeat = Instant::now() + HEARTBEAT;
    }
}
