//! A web server small enough to read in one go: a thread per connection, a bound on their number, one page.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{hostname, page, terminate};

const MAX_CONNECTIONS: usize = 64;
const MAX_REQUEST_BYTES: u64 = 16 * 1024;
const IDLE: Duration = Duration::from_secs(15);

struct Counters {
    started: Instant,
    requests: AtomicU64,
    connections: AtomicUsize,
}

pub fn main(port: u16) -> ExitCode {
    terminate::on_signals();
    let listener = match listen(port) {
        Ok(listener) => listener,
        Err(err) => {
            eprintln!("demo: cannot listen on port {port}: {err}");
            return ExitCode::FAILURE;
        }
    };
    println!("Hello from {}! Serving a page on port {port}.", hostname());
    let counters =
        Arc::new(Counters { started: Instant::now(), requests: AtomicU64::new(0), connections: AtomicUsize::new(0) });
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let counters = counters.clone();
        if counters.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            counters.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        std::thread::spawn(move || {
            // A visitor who leaves mid-sentence is no news.
            let _ = converse(&stream, &counters);
            counters.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
    ExitCode::SUCCESS
}

/// On IPv6 with IPv4 mapped into it; on IPv4 where the container has no IPv6.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).or_else(|_| TcpListener::bind(("0.0.0.0", port)))
}

fn converse(stream: &TcpStream, counters: &Counters) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let start = Instant::now();
        let (status, kind, body) = answer(&request, counters);
        let connection = if request.keep_alive { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        let mut reply = head.into_bytes();
        if request.method != "HEAD" {
            reply.extend(body.as_bytes());
        }
        (&mut &*stream).write_all(&reply)?;
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{} \"{} {}\" {} {} {} µs",
            peer.ip().to_canonical(),
            printable(&request.method),
            printable(&request.path),
            status.split(' ').next().unwrap_or_default(),
            body.len(),
            start.elapsed().as_micros()
        )?;
        if !request.keep_alive {
            break;
        }
    }
    Ok(())
}

fn answer(request: &Request, counters: &Counters) -> (&'static str, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    const HTML: &str = "text/html; charset=utf-8";
    if !["GET", "HEAD"].contains(&request.method.as_str()) {
        return ("405 Method Not Allowed", TEXT, "this page is only to be looked at\n".into());
    }
    match request.path.split('?').next().unwrap_or_default() {
        "/" => {
            let count = counters.requests.fetch_add(1, Ordering::Relaxed) + 1;
            ("200 OK", HTML, page::render(&hostname(), counters.started.elapsed(), count))
        }
        "/healthz" => ("200 OK", TEXT, "ok\n".into()),
        _ => ("404 Not Found", TEXT, "there is only one page here: /\n".into()),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    keep_alive: bool,
}

impl Request {
    /// The next request of a connection; `None` at its end. Longer than [`MAX_REQUEST_BYTES`], or no HTTP: an error.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut head = reader.take(MAX_REQUEST_BYTES);
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(method), Some(path), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut request =
            Request { method: method.into(), path: path.into(), keep_alive: version.eq_ignore_ascii_case("HTTP/1.1") };
        loop {
            let mut field = String::new();
            if head.read_line(&mut field)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let field = field.trim().to_ascii_lowercase();
            match field.split_once(':') {
                None if field.is_empty() => return Ok(Some(request)),
                Some(("connection", value)) if value.trim() == "close" => request.keep_alive = false,
                // A body would be taken for the next request: answer, then close.
                Some(("content-length" | "transfer-encoding", value)) if value.trim() != "0" => {
                    request.keep_alive = false
                }
                _ => {}
            }
        }
    }
}

/// What a visitor sent, safe to print on a terminal.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() || c == '"' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Option<Request>> {
        Request::read(&mut text.as_bytes())
    }

    #[test]
    fn requests_are_read_one_after_the_other() {
        let mut two = "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n".as_bytes();
        let first = Request::read(&mut two).unwrap().unwrap();
        assert_eq!((first.path.as_str(), first.keep_alive), ("/", true));
        let second = Request::read(&mut two).unwrap().unwrap();
        assert_eq!((second.path.as_str(), second.keep_alive), ("/healthz", false));
        assert!(Request::read(&mut two).unwrap().is_none());
    }

    #[test]
    fn nonsense_and_endless_heads_are_refused() {
        assert!(read("hello\r\n\r\n").is_err());
        assert!(read("GET / HTTP/1.1\r\nHost: x\r\n").is_err(), "cut off");
        assert!(read(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(20_000))).is_err());
    }

    #[test]
    fn the_page_counts_visits_and_health_checks_do_not() {
        let counters =
            Counters { started: Instant::now(), requests: AtomicU64::new(0), connections: AtomicUsize::new(0) };
        let get = |path: &str| Request { method: "GET".into(), path: path.into(), keep_alive: true };
        answer(&get("/healthz"), &counters);
        assert!(answer(&get("/"), &counters).2.contains("visit number 1"));
        assert!(answer(&get("/?x"), &counters).2.contains("visit number 2"));
        assert!(answer(&get("/favicon.ico"), &counters).0.starts_with("404"));
    }

    #[test]
    fn log_lines_cannot_be_forged() {
        assert_eq!(printable("/a\u{1b}[2J\"\n"), "/a?[2J??");
    }
}
