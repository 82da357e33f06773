//! Encoded records in runs of bounded length. No record is split.

/// The maximum length of a run in bytes, unless a single record is longer: a worker of Envoy
/// applies a run of this length in about a millisecond.
pub const CHUNK_LEN: usize = 128 * 1024;

/// Concatenated records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunks(Vec<Vec<u8>>);

impl Chunks {
    /// Appends one record, which `encode` writes.
    pub(super) fn push<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.0.is_empty() {
            self.0.push(Vec::new());
        }
        let Some(run) = self.0.last_mut() else {
            return Ok(());
        };
        let before = run.len();
        encode(run)?;
        if run.len() > CHUNK_LEN && before > 0 {
            let record = run.split_off(before);
            // The run may be kept for a long time, and nothing is added to it from now on.
            run.shrink_to_fit();
            self.0.push(record);
        }
        Ok(())
    }

    /// Returns the number of bytes in all runs.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Returns whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl IntoIterator for Chunks {
    type Item = Vec<u8>;
    type IntoIter = std::vec::IntoIter<Vec<u8>>;

    /// Returns the runs in order.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn runs_split_between_records() {
        let mut chunks = Chunks::default();
        let records: Vec<_> = (0..40u8).map(|n| vec![n; 20_000]).collect();
        for record in &records {
            let Ok(()) = chunks.push(|out| {
                out.extend_from_slice(record);
                Ok::<_, Infallible>(())
            });
        }
        assert_eq!(chunks.len(), 40 * 20_000);
        let runs: Vec<_> = chunks.into_iter().collect();
        assert!(
            runs.iter()
                .all(|run| run.len() <= CHUNK_LEN && run.len() % 20_000 == 0)
        );
        assert_eq!(runs.len(), 40_usize.div_ceil(CHUNK_LEN / 20_000));
        assert_eq!(runs.concat(), records.concat());
    }

    #[test]
    fn no_records_make_no_run() {
        assert!(Chunks::default().is_empty());
        assert_eq!(Chunks::default().into_iter().count(), 0);
    }
}
