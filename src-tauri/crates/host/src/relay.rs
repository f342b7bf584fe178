//! Copies bytes both ways between two streams until both directions are done.
//!
//! Each direction lives on its own:
//!
//! - end of input in one direction closes the other stream for writing and nothing else (half-close);
//! - a peer that takes no more bytes ends that direction only: what it still has to say is delivered;
//! - a broken input ends everything, as nobody could tell the far side otherwise.
//!
//! Why not `tokio::io::copy_bidirectional`: it drops the answer of a peer that refuses the rest of a request (an early
//! HTTP error to a large upload).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};

/// Per direction. Large enough that a bulk transfer is not bound by system calls, small enough for thousands of connections.
const BUFFER_BYTES: usize = 32 * 1024;

/// Bytes that went from the first stream to the second, and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    pub forth_bytes: u64,
    pub back_bytes: u64,
}

/// Copies until both directions ended.
pub async fn relay<A, B>(a: A, b: B) -> io::Result<Relayed>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut a_read, mut a_write) = tokio::io::split(a);
    let (mut b_read, mut b_write) = tokio::io::split(b);
    let (forth_bytes, back_bytes) =
        tokio::try_join!(one_way(&mut a_read, &mut b_write), one_way(&mut b_read, &mut a_write))?;
    Ok(Relayed { forth_bytes, back_bytes })
}

/// [`relay`] for a client on a socket of this system, which ends as soon as the client is gone altogether.
///
/// Why: a client that closed its socket and one that closed only its sending side look the same to `read`. Without the
/// difference, `docker logs -f` of a silent container would leave a connection behind for each Ctrl-C.
pub async fn relay_client<C: Client, B>(mut client: C, far: B) -> io::Result<()>
where
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut near_read, mut near_write) = client.halves();
    let (mut far_read, mut far_write) = tokio::io::split(far);
    let back = one_way(&mut far_read, &mut near_write);
    tokio::pin!(back);
    tokio::select! {
        done = &mut back => {
            done?;
            one_way(&mut near_read, &mut far_write).await?;
        }
        done = one_way(&mut near_read, &mut far_write) => {
            done?;
            let watch = C::watch(&near_read)?;
            tokio::select! {
                done = back => { done?; }
                gone = C::hung_up(&watch) => gone?,
            }
        }
    }
    Ok(())
}

/// A connected socket whose halves can be borrowed.
pub trait Client: Sized {
    type Read<'a>: AsyncRead + Unpin
    where
        Self: 'a;
    type Write<'a>: AsyncWrite + Unpin
    where
        Self: 'a;

    /// Knows of the socket's end, whatever its halves wait for.
    type Watch: Send + Sync;

    fn halves(&mut self) -> (Self::Read<'_>, Self::Write<'_>);

    fn watch(read: &Self::Read<'_>) -> io::Result<Self::Watch>;

    /// Returns when the socket is closed in both directions (`EPOLLHUP`), which for a peer that still reads never is.
    fn hung_up(watch: &Self::Watch) -> impl Future<Output = io::Result<()>> + Send;
}

macro_rules! client {
    ($socket:ident, $family:ident) => {
        impl Client for tokio::net::$socket {
            type Read<'a> = tokio::net::$family::ReadHalf<'a>;
            type Write<'a> = tokio::net::$family::WriteHalf<'a>;

            fn halves(&mut self) -> (Self::Read<'_>, Self::Write<'_>) {
                self.split()
            }

            type Watch = Self;

            /// The same socket once more, with a readiness of its own.
            fn watch(read: &Self::Read<'_>) -> io::Result<Self> {
                let socket: &tokio::net::$socket = read.as_ref();
                Self::from_std(twin(socket)?.into())
            }

            async fn hung_up(twin: &Self) -> io::Result<()> {
                loop {
                    // Why writable: hang-up comes with it, and after the end of input readability would fire for ever.
                    if twin.ready(Interest::WRITABLE).await?.is_write_closed() {
                        return Ok(());
                    }
                    // Forgets "writable", so that the next wait is for the next change. Never forgets "closed".
                    let _ = twin.try_io(Interest::WRITABLE, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
                }
            }
        }
    };
}

#[cfg(unix)]
fn twin(socket: &impl std::os::fd::AsFd) -> io::Result<std::os::fd::OwnedFd> {
    socket.as_fd().try_clone_to_owned()
}

#[cfg(windows)]
fn twin(socket: &impl std::os::windows::io::AsSocket) -> io::Result<std::os::windows::io::OwnedSocket> {
    socket.as_socket().try_clone_to_owned()
}

/// A pipe's end is looked at: Windows tells it only to those who read or write.
#[cfg(windows)]
impl Client for crate::local::Stream {
    type Read<'a> = PipeReader<'a>;
    type Write<'a> = tokio::io::WriteHalf<&'a mut Self>;

    fn halves(&mut self) -> (Self::Read<'_>, Self::Write<'_>) {
        let broken = self.watch();
        let (read, write) = tokio::io::split(self);
        (PipeReader { read, broken }, write)
    }

    type Watch = crate::local::Watch;

    fn watch(read: &Self::Read<'_>) -> io::Result<Self::Watch> {
        Ok(read.broken.clone())
    }

    async fn hung_up(pipe: &Self::Watch) -> io::Result<()> {
        while !pipe.is_broken() {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        Ok(())
    }
}

#[cfg(windows)]
pub struct PipeReader<'a> {
    read: tokio::io::ReadHalf<&'a mut crate::local::Stream>,
    broken: crate::local::Watch,
}

#[cfg(windows)]
impl AsyncRead for PipeReader<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

#[cfg(unix)]
client!(UnixStream, unix);
client!(TcpStream, tcp);

async fn one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total = 0;
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            // The far side may be gone already; then there is nobody to tell.
            let _ = to.shutdown().await;
            return Ok(total);
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return Ok(total);
        }
        // Streams with a buffer of their own must not sit on a keystroke.
        if to.flush().await.is_err() {
            return Ok(total);
        }
        total += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{client_pair, pair};

    #[tokio::test]
    async fn half_close_reaches_the_far_side_and_the_answer_comes_back() {
        let (client, near) = pair().unwrap();
        let (far, server) = pair().unwrap();
        let relayed = tokio::spawn(relay(near, far));
        let server = tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(server);
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            // Only possible because the end of input did not close this direction.
            write.write_all(&vec![7; 300_000]).await.unwrap();
            got
        });
        let (mut read, mut write) = tokio::io::split(client);
        write.write_all(&vec![1; 200_000]).await.unwrap();
        write.shutdown().await.unwrap();
        let mut answer = Vec::new();
        read.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, vec![7; 300_000]);
        assert_eq!(server.await.unwrap(), vec![1; 200_000]);
        assert_eq!(relayed.await.unwrap().unwrap(), Relayed { forth_bytes: 200_000, back_bytes: 300_000 });
    }

    /// Windows' sockets cannot be told to take nothing more.
    #[cfg(unix)]
    #[tokio::test]
    async fn an_answer_survives_a_peer_that_refuses_the_rest_of_the_request() {
        let (client, near) = pair().unwrap();
        let (far, server) = pair().unwrap();
        let relayed = tokio::spawn(relay(near, far));
        // The server takes nothing at all, answers and closes its reading side first.
        let mut server = server.into_std().unwrap();
        server.set_nonblocking(false).unwrap();
        server.shutdown(std::net::Shutdown::Read).unwrap();
        let (mut read, mut write) = client.into_split();
        let upload = tokio::spawn(async move {
            let chunk = vec![0; 64 * 1024];
            for _ in 0..64 {
                if write.write_all(&chunk).await.is_err() {
                    break;
                }
            }
        });
        use std::io::Write;
        tokio::task::spawn_blocking(move || server.write_all(b"HTTP/1.1 413 Too Large\r\n\r\n").unwrap())
            .await
            .unwrap();
        let mut answer = [0; 26];
        read.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413 Too Large\r\n\r\n");
        drop(read);
        upload.abort();
        let _ = upload.await;
        relayed.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_left_ends_the_relay_although_the_far_side_is_silent() {
        let (client, near) = client_pair().await;
        let (far, _silent) = pair().unwrap();
        let relayed = tokio::spawn(relay_client(near, far));
        drop(client);
        relayed.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_closed_its_sending_side_first_and_left_later_ends_it_too() {
        let (mut client, near) = client_pair().await;
        let (far, mut server) = pair().unwrap();
        let relayed = tokio::spawn(relay_client(near, far));
        client.write_all(b"in").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"in");
        // Still served after its half-close …
        server.write_all(b"out").await.unwrap();
        let mut answer = [0; 3];
        client.read_exact(&mut answer).await.unwrap();
        // … until it leaves.
        drop(client);
        relayed.await.unwrap().unwrap();
    }
}
