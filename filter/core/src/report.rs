//! Reports of usage to the control plane: one at a time, with the changes since the last report
//! that arrived.

use crate::host::Nanos;
use latchkey_policy::cells::{CellError, Cells};
use latchkey_policy::ledger;
use latchkey_policy::limit::Window;
use latchkey_policy::meter::{self, Meter, Owner};
use latchkey_policy::snapshot::Epoch;
use latchkey_protocol::window_count::Kind;
use latchkey_protocol::{KeyUsage, LastUse, Usage, WindowCount};
use std::net::IpAddr;

/// The shortest time between two reports. It determines how late other nodes learn of the requests
/// that are admitted here.
const PAUSE: Nanos = 250_000_000;

/// The highest number of keys in a report: some 200 kB.
const MAX_KEYS: usize = 2_000;

/// The highest number of reports at the end of a stream. With one that is unacknowledged the
/// control plane reads as many before it waits.
const MAX_LAST: usize = 3;

/// The reports on one stream.
#[derive(Debug, Default)]
pub struct Reporter {
    sequence: u64,
    looked_at: Nanos,
    /// The slot at which the next report begins.
    from: u32,
    /// Slots of the last report, and the versions of their cells, until it is acknowledged.
    unacknowledged: Option<Vec<(u32, u32)>>,
}

impl Reporter {
    /// Returns the next report, if one is due and there are changes for keys of `epoch`.
    pub fn next(
        &mut self,
        cells: &impl Cells,
        epoch: &Epoch,
        now: Nanos,
    ) -> Result<Option<Usage>, CellError> {
        // If the last report ended in the middle of the slots, there is more to report at once.
        if self.unacknowledged.is_some() || (self.from == 0 && now.abs_diff(self.looked_at) < PAUSE)
        {
            return Ok(None);
        }
        self.looked_at = now;
        self.report(cells, epoch)
    }

    /// Returns the last reports: all that is not acknowledged, as far as it fits into a few
    /// reports.
    pub fn last(&mut self, cells: &impl Cells, epoch: &Epoch) -> Result<Vec<Usage>, CellError> {
        self.from = 0;
        let mut reports = Vec::new();
        for _ in 0..MAX_LAST {
            self.unacknowledged = None;
            reports.extend(self.report(cells, epoch)?);
            if self.from == 0 {
                break;
            }
        }
        Ok(reports)
    }

    fn report(&mut self, cells: &impl Cells, epoch: &Epoch) -> Result<Option<Usage>, CellError> {
        let marked = ledger::marked(cells, self.from, MAX_KEYS)?;
        // Slots that are always busy must not keep the slots after them from being reported.
        let last = marked.last().filter(|_| marked.len() >= MAX_KEYS);
        self.from = last.map_or(0, |slot| slot.saturating_add(1));
        let (mut read, mut keys) = (Vec::with_capacity(marked.len()), Vec::new());

        for slot in marked {
            let (meter, version) = ledger::read(cells, slot)?;
            read.push((slot, version));
            // Keys of another history mean nothing here. A meter that cannot be read is reset by
            // the next worker that needs it, and marked then.
            if let Some(meter) =
                meter.filter(|meter| meter.owner() == Owner::new(epoch, meter.owner().key))
            {
                keys.push(usage(&meter));
            }
        }

        if keys.is_empty() {
            ledger::clear(cells, &read)?;
            return Ok(None);
        }

        self.sequence = self.sequence.saturating_add(1);
        self.unacknowledged = Some(read);

        Ok(Some(Usage {
            sequence: self.sequence,
            keys,
        }))
    }

    /// Handles the control plane's acknowledgement of a report.
    pub fn acknowledged(&mut self, cells: &impl Cells, sequence: u64) -> Result<(), CellError> {
        if sequence != self.sequence {
            return Ok(());
        }
        self.unacknowledged
            .take()
            .map_or(Ok(()), |reported| ledger::clear(cells, &reported))
    }
}

fn usage(meter: &Meter) -> KeyUsage {
    KeyUsage {
        key: meter.owner().key,
        requests: meter.requests().to_vec(),
        windows: meter
            .windows()
            .map(|(window, number, count)| count_of(window, number, count))
            .collect(),
        last_uses: meter.last_uses().map(last_use).collect(),
    }
}

fn last_use(used: meter::LastUse) -> LastUse {
    let ip = match used.from {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => Vec::new(),
    };
    LastUse {
        secret: used.secret,
        at: used.at,
        ip,
    }
}

fn count_of(window: Window, number: u32, count: u32) -> WindowCount {
    let kind = match window {
        Window::Minute => Kind::Minute,
        Window::Hour => Kind::Hour,
        Window::Day => Kind::Day,
        Window::Month => Kind::Month,
    };
    WindowCount {
        kind: kind.into(),
        number,
        count,
    }
}

/// Returns the window of a count; `None` for one that only a later version knows.
pub fn window_of(count: &WindowCount) -> Option<Window> {
    match count.kind() {
        Kind::Minute => Some(Window::Minute),
        Kind::Hour => Some(Window::Hour),
        Kind::Day => Some(Window::Day),
        Kind::Month => Some(Window::Month),
        Kind::Unspecified => None,
    }
}
