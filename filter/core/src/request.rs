//! The life of a request in the filter, from top to bottom.

mod prepare;
mod refusal;

use crate::client_address::Forwarded;
use crate::credentials::{Credentials, Imported};
use crate::headers::RequestHeaders;
use crate::health;
use crate::host::Host;
use crate::limit_headers::LimitHeaders;
use crate::open_streams::OpenStream;
use crate::owned::OwnedNames;
use crate::shared::{Ready, Shared};
use crate::source::{FilterRequest, SnapshotSource};
use latchkey_policy::meter::Outcome;
use latchkey_policy::settings::SnapshotSettings;
use latchkey_policy::snapshot::Unavailable;
use latchkey_policy::verdict::{self, Code, NoTrace, Settings, Source as _, Verdict};
use prepare::prepare;
use refusal::{Client, refuse, refuse_not_ready};
use std::rc::Rc;

/// The highest number of times that a request is decided because the snapshot moved in between.
const MAX_MOVES: usize = 4;

/// The action that Envoy takes with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the request on.
    Continue,
    /// Do not send the request on: it has been answered, or must not go on.
    Pause,
}

/// The result of deciding a request.
struct Judged<'c> {
    verdict: Verdict,
    /// The request's values that are imported keys, if it passes without a key.
    imported: Imported<'c>,
    /// The settings of the snapshot by which it was decided.
    snapshot: Rc<SnapshotSettings>,
}

/// The state that is kept of a request until its response.
#[derive(Debug, Default)]
pub struct RequestContext {
    /// The key's limits, for the response's headers.
    limit_headers: LimitHeaders,
    /// The record of the stream, kept for as long as it is open.
    open: Option<OpenStream>,
}

impl RequestContext {
    /// Returns whether there is state to keep until the response.
    #[inline]
    pub fn is_needed(&self) -> bool {
        !self.limit_headers.is_empty()
    }

    /// Takes the record of the stream that is kept for as long as it is open.
    #[inline]
    pub fn take_open(&mut self) -> Option<OpenStream> {
        self.open.take()
    }

    /// Decides a request by its headers, and prepares it for the upstream or answers it.
    pub fn on_headers(&mut self, host: &impl Host, worker: &Shared) -> Action {
        let Some(ready) = worker.ready() else {
            return refuse_not_ready(host);
        };
        let Ok(headers) = host.request_headers() else {
            ready.metrics.request(host, Code::NotReady);
            return refuse_not_ready(host);
        };

        if health::is_probe(&ready.config, &headers) {
            health::answer(host, worker, ready);
            return Action::Pause;
        }

        let credentials = Credentials::new(&ready.config.credentials, &headers);
        let forwarded = Forwarded::read(ready.config.trusted_hops, &headers);
        let request = FilterRequest::new(host, &headers, forwarded, credentials);

        let judged = self
            .judge(host, worker, ready, &request, credentials)
            .unwrap_or_else(|unavailable| {
                worker.complain(host, unavailable);
                Judged {
                    verdict: Verdict::NOT_READY,
                    imported: Imported::default(),
                    snapshot: Rc::default(),
                }
            });

        let prepared = prepare(host, &ready.config, credentials, &headers, &judged);
        let verdict = &judged.verdict;

        // A request that cannot be prepared as promised must not go on.
        let code = if verdict.code.passes() && prepared.is_err() {
            Code::NotReady
        } else {
            verdict.code
        };

        // A shadowed refusal is counted under its own code.
        let counted = verdict.shadowed.filter(|_| code.passes()).unwrap_or(code);
        ready.metrics.request(host, counted);

        if code.passes() {
            let digest = verdict.entry.as_ref().map(|entry| entry.digest());
            let mode = ready.config.end_streams;
            self.open =
                digest.and_then(|digest| OpenStream::new(host, mode, &headers, digest, forwarded));
            return Action::Continue;
        }

        self.refuse(host, ready, &headers, verdict, code)
    }

    /// Answers a refused request. The limits are taken: the answer has their headers, which must
    /// not be set once more when it passes by as a response.
    fn refuse(
        &mut self,
        host: &impl Host,
        ready: &Ready,
        headers: &RequestHeaders,
        verdict: &Verdict,
        code: Code,
    ) -> Action {
        let client = Client {
            grpc: headers.grpc(),
            bearer: ready.config.credentials.bearer,
            word: verdict.word,
        };
        refuse(
            host,
            code,
            verdict.quota.as_ref(),
            &std::mem::take(&mut self.limit_headers),
            client,
        )
    }

    /// Adds the headers with the key's limits to the response.
    pub fn on_response_headers(&self, host: &impl Host) {
        self.limit_headers.each(|name, value| {
            // If a header cannot be set, the response goes on without it.
            let _ = host.set_response_header(name, value);
        });
    }

    /// Decides a request.
    fn judge<'c, H: Host>(
        &mut self,
        host: &H,
        worker: &Shared,
        ready: &Ready,
        request: &FilterRequest<'c, H>,
        credentials: Credentials<'c>,
    ) -> Result<Judged<'c>, Unavailable> {
        let mut reader = worker.reader()?;
        let settings = Settings {
            keys: &ready.config.keys,
            shadow: &ready.config.shadow,
        };

        for _ in 0..MAX_MOVES {
            let source = SnapshotSource::new(host, worker, ready, reader.view(host)?);
            let decided =
                verdict::decide(&source, request, settings, &mut NoTrace).and_then(|verdict| {
                    Ok((
                        imported(&source, credentials, &verdict)?,
                        source.settings()?,
                        verdict,
                    ))
                });
            match decided {
                Err(Unavailable::Moved) => {}
                Err(unavailable) => return Err(unavailable),
                Ok((imported, snapshot, verdict)) => {
                    self.account(ready, &source, &verdict)?;
                    return Ok(Judged {
                        verdict,
                        imported,
                        snapshot,
                    });
                }
            }
        }

        // The missing data is not only on its way.
        Err(Unavailable::Damaged)
    }

    /// Counts a refusal of a key that exists, and keeps what is left of its limits for the
    /// response.
    fn account<H: Host>(
        &mut self,
        ready: &Ready,
        source: &SnapshotSource<'_, H>,
        verdict: &Verdict,
    ) -> Result<(), Unavailable> {
        let Some(entry) = &verdict.entry else {
            return Ok(());
        };
        if let Some(outcome) = counted(verdict.code) {
            source.refuse(&entry.key(), outcome)?;
        }

        let (limits, quota, meter) = (&entry.policy.limits, verdict.quota.as_ref(), source.meter());
        self.limit_headers = LimitHeaders::new(
            ready.config.rate_limit_headers,
            limits,
            quota,
            meter.as_ref(),
            source.now()?,
        );
        Ok(())
    }
}

/// Keeps from the upstream what a client puts into trailers, which some upstreams read as headers.
/// Where there is no snapshot now, the rules of the last one name the headers: the request's own
/// headers passed by it, or by none.
pub fn on_trailers(host: &impl Host, worker: &Shared) -> Action {
    let remove = || {
        let Ready { config, .. } = worker.ready()?;
        let mut reader = worker.reader().ok()?;
        let snapshot = reader.view(host).map(|view| view.settings());
        let snapshot = snapshot.unwrap_or_else(|_| reader.last_settings());

        let trailers = host.request_trailers().ok()?;
        for name in config
            .credentials
            .stripped_headers()
            .filter(|name| trailers.has(name))
        {
            host.remove_request_trailer(name).ok()?;
        }
        OwnedNames::new(&config.identity_names, &snapshot.routes, None)
            .clean_trailers(host, &trailers)
            .ok()
    };

    remove().map_or(Action::Pause, |()| Action::Continue)
}

/// Returns the imported keys among the candidates of a request that passes without a key: only a
/// look-up shows that they are keys. While there are no such keys nothing is looked up.
fn imported<'c, H: Host>(
    source: &SnapshotSource<'_, H>,
    credentials: Credentials<'c>,
    verdict: &Verdict,
) -> Result<Imported<'c>, Unavailable> {
    if verdict.entry.is_some() || !verdict.code.passes() || !source.settings()?.imported {
        return Ok(Imported::default());
    }
    Imported::among(credentials.candidates(), |digest| {
        Ok(source.find(digest)?.is_some())
    })
}

/// Returns the outcome that a refusal is counted as in the key's meter. Admissions and refusals by
/// limits are counted where they are decided.
#[inline]
fn counted(code: Code) -> Option<Outcome> {
    code.outcome()
        .filter(|outcome| !matches!(outcome, Outcome::Allowed | Outcome::RateLimited))
}

#[cfg(test)]
mod tests;
