//! Bodies that a handler has not read to their end.
//!
//! A refusal often needs no more than a request's head, and its client may still be sending. hyper would answer and close the
//! connection at once, so that a client which sends its body in a second packet (every Python one) fails with a broken pipe
//! instead of reading why. So what is left of a body is read before the answer goes out, up to [`MOST`], and the connection
//! stays good for the next request. Source: Go net/http `maxPostHandlerReadBytes`.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{HeaderMap, header};
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// So much is read of what nobody wanted; a client with more is cut off after its answer.
const MOST: usize = 256 << 10;

/// So long a client may take to send it: one that announces a body and sends none is answered all the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body that comes back when its reader drops it before its end.
pub struct Lent<B: Body + Unpin> {
    body: Option<B>,
    back: Arc<Mutex<Option<B>>>,
}

/// Where a [`Lent`] body comes back to.
pub struct Rest<B>(Arc<Mutex<Option<B>>>);

/// Hands a request's body out to its handler.
pub fn lend<B: Body + Unpin>(headers: &HeaderMap, body: B) -> (Lent<B>, Rest<B>) {
    let back = Arc::new(Mutex::new(None));
    // Who asks first whether to send the body is not to be told so by our reading it.
    let wanted_back = !headers.contains_key(header::EXPECT);
    let rest = if wanted_back { back.clone() } else { Arc::default() };
    (Lent { body: Some(body), back }, Rest(rest))
}

impl<B: Body<Data = Bytes> + Unpin> Rest<B> {
    /// Reads what a handler that is done has left. A body that somebody still reads is theirs.
    pub async fn read(self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left else { return };
        let read = async {
            let mut read = 0;
            while read <= MOST {
                let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
                match frame {
                    Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) | None => return,
                }
            }
        };
        // Why whatever came: the answer goes out in either case.
        let _ = tokio::time::timeout(PATIENCE, read).await;
    }
}

impl<B: Body + Unpin> Drop for Lent<B> {
    fn drop(&mut self) {
        let unfinished = self.body.take().filter(|body| !body.is_end_stream());
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = unfinished;
    }
}

impl<B: Body + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
