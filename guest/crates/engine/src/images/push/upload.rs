//! One blob on its way to a registry. What breaks goes on where the registry says that it is; where it says nothing, or
//! has forgotten the upload, it is begun anew.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use cubby_image::manifest::Descriptor;
use cubby_registry::{Error, Repository, Upload as Opened};
use futures_util::{Stream, stream};
use tokio::task;

use crate::images::{
    Say,
    message::Message,
    patience::{ATTEMPTS, back_off},
};

/// Read from disk, and told as progress, in pieces of this size.
const PIECE: u64 = 256 << 10;

/// See the module's documentation.
pub struct Upload<'a> {
    to: &'a Repository,
    digest: String,
    size: u64,
    file: Arc<File>,
    id: &'a str,
    say: &'a Say,
    /// One that broke.
    broken: Option<Opened>,
}

impl<'a> Upload<'a> {
    pub fn of(to: &'a Repository, blob: &Descriptor, file: File, id: &'a str, say: &'a Say) -> Self {
        let (digest, file) = (blob.digest.to_string(), Arc::new(file));
        Self { to, digest, size: blob.size, file, id, say, broken: None }
    }

    pub async fn send(mut self) -> Result<(), Error> {
        let (mut failures, mut reached) = (0, 0);
        loop {
            let error = match self.attempt().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let offset = self.broken.as_ref().map_or(0, |upload| upload.offset);
            failures = if offset > reached { 1 } else { failures + 1 };
            reached = reached.max(offset);
            // Why: a registry may say where it is and then not take the rest.
            let refused = offset > 0 && matches!(error, Error::Protocol(_) | Error::NotFound(_));
            if refused {
                self.broken = None;
            }
            if failures >= ATTEMPTS || !(refused || error.is_transient()) {
                return Err(error);
            }
            tracing::warn!(err = %error, digest = self.digest, offset, "upload broke; it is taken up again");
            back_off(failures).await;
        }
    }

    /// One connection's worth of it.
    async fn attempt(&mut self) -> Result<(), Error> {
        let mut known = None;
        if let Some(broken) = &self.broken {
            // Why: what broke may have been the answer to the last byte.
            if self.to.has_blob(&self.digest).await? {
                return Ok(());
            }
            known = self.to.resume(broken).await?.filter(|upload| (1..=self.size).contains(&upload.offset));
        }
        let upload = match known {
            Some(upload) => upload,
            None => {
                self.broken = None;
                let Some(fresh) = self.to.mount_or_upload(&self.digest, None).await? else { return Ok(()) };
                fresh
            }
        };
        let bytes = pieces(self.file.clone(), upload.offset, self.size, self.id.to_owned(), self.say.clone());
        let sent = self.to.upload(&upload, &self.digest, self.size, bytes).await;
        self.broken = Some(upload);
        sent
    }
}

/// The file from `offset` on, telling how far it is. It is read by position: what is left of a broken stream may still
/// be reading it.
fn pieces(
    file: Arc<File>,
    offset: u64,
    size: u64,
    id: String,
    say: Say,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(offset, move |at| {
        let (file, id, say) = (file.clone(), id.clone(), say.clone());
        async move {
            let length = (size - at).min(PIECE);
            if length == 0 {
                return Ok(None);
            }
            let mut piece = vec![0; length as usize];
            let read = task::spawn_blocking(move || file.read_exact_at(&mut piece, at).map(|()| piece));
            let piece = read.await.map_err(io::Error::other)??;
            say(Message::progress(id, "Pushing", at + length, size));
            Ok(Some((Bytes::from(piece), at + length)))
        }
    })
}

#[cfg(test)]
mod tests {
    //! A registry that keeps what it got of a broken request, in this process: plain HTTP on loopback.

    use std::{io::Write, sync::Mutex};

    use cubby_image::Digest;
    use cubby_registry::{Access, Credentials, Settings};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[derive(Default)]
    struct Kept {
        bytes: Vec<u8>,
        /// How many uploads were begun.
        begun: usize,
        /// Where each request with bytes began.
        ranges: Vec<Option<String>>,
        /// How many requests with bytes are broken off half way, and whether the upload survives that.
        cuts: usize,
        forgets: bool,
        whole: Option<String>,
    }

    async fn serve(kept: Arc<Mutex<Kept>>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(BufReader::new(stream), kept.clone()));
            }
        });
        port
    }

    async fn answer(mut stream: BufReader<TcpStream>, kept: Arc<Mutex<Kept>>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                // A TLS greeting: this registry speaks plain HTTP only.
                Ok(0x16) if head.is_empty() => return,
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let header =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned);
        let length: usize = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let (method, path) = (head.split(' ').next().unwrap(), head.split(' ').nth(1).unwrap());
        let status = if method == "patch" {
            let cut = kept.lock().unwrap().cuts > 0;
            let mut body = vec![0; if cut { length / 2 } else { length }];
            stream.read_exact(&mut body).await.unwrap();
            let mut kept = kept.lock().unwrap();
            kept.ranges.push(header("content-range"));
            kept.bytes.extend(body);
            if cut {
                kept.cuts -= 1;
                return;
            }
            "202 Accepted"
        } else {
            kept.lock().unwrap().status(method, path)
        };
        let size = kept.lock().unwrap().bytes.len().max(1) - 1;
        let headers = format!("location: /v2/app/blobs/uploads/1\r\nrange: 0-{size}\r\ncontent-length: 0");
        let head = format!("HTTP/1.1 {status}\r\n{headers}\r\nconnection: close\r\n\r\n");
        drop(stream.write_all(head.as_bytes()).await);
    }

    impl Kept {
        fn status(&mut self, method: &str, path: &str) -> &'static str {
            match method {
                "head" if self.whole.is_none() => "404 Not Found",
                "post" => {
                    self.bytes.clear();
                    self.begun += 1;
                    "202 Accepted"
                }
                "get" if path.contains("/uploads/") && self.forgets => "404 Not Found",
                "get" if path.contains("/uploads/") => "204 No Content",
                "put" => {
                    self.whole = path.split_once("digest=").map(|(_, digest)| digest.replace("%3a", ":"));
                    "201 Created"
                }
                _ => "200 OK",
            }
        }
    }

    async fn send(kept: &Arc<Mutex<Kept>>, content: &[u8]) -> Result<(), Error> {
        let server = format!("127.0.0.1:{}", serve(kept.clone()).await);
        let settings = Settings::default();
        let to = Repository::open(&server, "app", Access::Push, Credentials::Anonymous, &settings).await.unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let blob = Descriptor::new("", Digest::of(content), content.len() as u64);
        let say: Say = Arc::new(|_| {});
        Upload::of(&to, &blob, file, "id", &say).send().await
    }

    #[tokio::test]
    async fn a_broken_upload_goes_on_where_the_registry_is() {
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let whole = Some(Digest::of(&content).to_string());
        let kept = Arc::new(Mutex::new(Kept { cuts: 2, ..Kept::default() }));
        send(&kept, &content).await.unwrap();
        let found = kept.lock().unwrap();
        assert!(found.bytes == content, "each byte came once and in order");
        let range = |from: usize| Some(format!("{from}-{}", content.len() - 1));
        assert_eq!(found.ranges, [None, range(1_500_000), range(2_250_000)]);
        assert_eq!((found.begun, &found.whole), (1, &whole));
    }

    #[tokio::test]
    async fn an_upload_that_the_registry_forgot_is_begun_anew() {
        let content = vec![7; 1_000_000];
        let kept = Arc::new(Mutex::new(Kept { cuts: 1, forgets: true, ..Kept::default() }));
        send(&kept, &content).await.unwrap();
        let found = kept.lock().unwrap();
        assert!(found.bytes == content);
        assert_eq!((found.begun, found.ranges.clone()), (2, vec![None, None]));
    }
}
