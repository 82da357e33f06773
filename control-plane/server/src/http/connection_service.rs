//! Requests on a connection with a place, which is notified of their progress.

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use axum::{BoxError, Router};
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};

use super::Peer;
use super::places::Place;

/// The router of one connection.
#[derive(Clone)]
pub(super) struct ConnectionService {
    pub(super) router: Router,
    pub(super) place: Place,
    pub(super) peer: Peer,
}

impl<B> Service<Request<B>> for ConnectionService
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Tracked<Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Self {
            router,
            place,
            peer,
        } = self.clone();
        place.reads(Instant::now());
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(place.clone());
        let request =
            request.map(|body| Body::new(Tracked::new(body, place.clone(), Place::works)));

        Box::pin(async move {
            let response = router.oneshot(request).await?;
            place.writes(Instant::now());
            Ok(response.map(|body| Tracked::new(body, place, |place| place.rests(Instant::now()))))
        })
    }
}

/// A body that notifies the place of its end.
pub(super) struct Tracked<B> {
    body: B,
    end: Option<End>,
}

impl<B: HttpBody> Tracked<B> {
    fn new(body: B, place: Place, notify: fn(&Place)) -> Self {
        // For an empty body the place is notified here.
        let end = Some(End { place, notify }).filter(|_| !body.is_end_stream());
        Self { body, end }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.end = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Notifies the place when it is dropped: at the end of a body, or when the body is no longer
/// wanted.
struct End {
    place: Place,
    notify: fn(&Place),
}

impl Drop for End {
    fn drop(&mut self) {
        (self.notify)(&self.place);
    }
}
