//! Whether the client is still there, asked while there is nothing to write to it.
//!
//! hyper serves a connection on whose client has closed its sending side, as dockerd does, and reads nothing while it
//! answers, so it learns of a departure from a failed write alone. Who waits for something to happen asks here:
//!
//! - [`Client::left`]: the client sends no more. A stream without an end (events, followed logs, a wait, progress) is over
//!   then, because clients that read on do not close half of their connection. Source: Go net/http, where the end of a
//!   connection's input cancels its request.
//! - [`Client::hung_up`]: the client receives no more either. For connections taken over from HTTP (attach, exec), where half a
//!   close is the end of standard input and nothing else. Source: moby api/server/router/container/notify_linux.go.
//!
//! The kernel is asked by an epoll instance of our own, not by the runtime's: that one would wake us whenever there is room to
//! write, which for a followed container is always.

use std::{
    convert::Infallible,
    future::pending,
    io::{self, IoSlice},
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::request::Parts,
};
use futures_util::{Stream, StreamExt};
use rustix::{
    event::epoll,
    net::{SendFlags, send},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// The far end of a request's connection, which is not kept open by this. Of a request without one nobody leaves.
#[derive(Clone, Default)]
pub struct Client(Option<Weak<Mutex<dyn AsFd + Send>>>);

impl Client {
    /// A body that goes on for as long as something happens and somebody listens.
    pub fn body<B, E>(self, stream: impl Stream<Item = Result<B, E>> + Send + 'static) -> Body
    where
        B: Into<Bytes> + 'static,
        E: Into<BoxError> + 'static,
    {
        Body::from_stream(stream.take_until(Box::pin(self.left())))
    }

    /// Returns when the client sends no more, or is gone altogether.
    pub async fn left(self) {
        self.watch(|_| true).await;
    }

    /// Returns when the client is gone altogether.
    pub async fn hung_up(self) {
        self.watch(|client| client.is_deaf()).await;
    }

    /// Waits for an end of either direction that is the end `enough` asks for.
    async fn watch(self, enough: impl Fn(&Self) -> bool) {
        if self.0.is_none() {
            return pending().await;
        }
        let ends = match self.ends() {
            Ok(Some(ends)) => ends,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(err = %error, "a client's departure will be noticed late");
                return pending().await;
            }
        };
        loop {
            let Ok(mut ready) = ends.readable().await else { return pending().await };
            if happened(ends.get_ref()).contains(epoll::EventFlags::HUP) || enough(&self) {
                return;
            }
            ready.clear_ready();
        }
    }

    fn stream(&self) -> Option<Arc<Mutex<dyn AsFd + Send>>> {
        self.0.as_ref()?.upgrade()
    }

    /// Becomes readable with each end of a direction; none when the connection is closed on our side.
    fn ends(&self) -> io::Result<Option<AsyncFd<OwnedFd>>> {
        let Some(stream) = self.stream() else { return Ok(None) };
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Why edges: after the end of the input that event would come for ever.
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&epoll, stream.as_fd(), epoll::EventData::new_u64(0), ends)?;
        // SAFETY: an `OwnedFd` keeps its number, and is open until the `AsyncFd` drops it.
        let ends = unsafe { AsyncFd::register_with_interest(epoll, Interest::READABLE) };
        ends.map(Some).map_err(|error| error.into_parts().1)
    }

    /// Nothing could be sent any more. Why asked so: vsock tells of a far end that closed wholly by no event of its own.
    fn is_deaf(&self) -> bool {
        let Some(stream) = self.stream() else { return true };
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = send(stream.as_fd(), &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        !matches!(nothing, Ok(_) | Err(rustix::io::Errno::AGAIN))
    }
}

/// Takes the event, so that the instance is readable again only with the next one.
fn happened(epoll: &OwnedFd) -> epoll::EventFlags {
    let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
    match epoll::wait(epoll, &mut events[..], Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(1..) => events[0].flags,
        _ => epoll::EventFlags::empty(),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// A connection that its [`Client`]s can look at while it is served.
pub struct Connection<S>(Arc<Mutex<S>>);

impl<S: AsFd + Send + 'static> Connection<S> {
    pub fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    pub fn client(&self) -> Client {
        let stream: Arc<Mutex<dyn AsFd + Send>> = self.0.clone();
        Client(Some(Arc::downgrade(&stream)))
    }
}

impl<S> Connection<S> {
    fn locked<T>(&self, work: impl FnOnce(Pin<&mut S>) -> T) -> T
    where
        S: Unpin,
    {
        work(Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.locked(|stream| stream.poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.locked(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.locked(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.locked(|stream| stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.locked(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.locked(|stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::UnixStream};

    use super::*;

    #[tokio::test]
    async fn half_a_close_is_told_from_a_whole_one() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let connection = Connection::new(ours);
        let client = connection.client();
        let gone = tokio::spawn(client.clone().hung_up());
        // What the client still says is nobody's end.
        theirs.write_all(b"x").await.unwrap();
        tokio::task::yield_now().await;
        assert!(!client.is_deaf());
        theirs.shutdown().await.unwrap();
        client.clone().left().await;
        assert!(!client.is_deaf() && !gone.is_finished());
        drop(theirs);
        gone.await.unwrap();
        // A connection that we have closed has nobody at its other end.
        drop(connection);
        client.left().await;
    }

    #[tokio::test]
    async fn a_close_over_tcp_is_noticed_too() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let connection = Connection::new(listener.accept().await.unwrap().0);
        let client = connection.client();
        drop(theirs);
        client.clone().left().await;
        assert!(!client.is_deaf(), "TCP tells half a close from a whole one only when something is sent");
    }
}
