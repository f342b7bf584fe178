//! Programs of the bench in a container's network: threads of this process that enter its namespace, so that what is measured is
//! the way to the container and not the program in it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    thread,
};

use cubby_harness::{Docker, IMAGE};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub const TRANSFER_BYTES: usize = 256 << 10;
/// A server that only swallows, and one that answers each byte.
pub const SINK: u16 = 81;
pub const ECHO: u16 = 82;

/// A container that sleeps; its address and its network namespace.
pub struct Place {
    pub name: String,
    pub address: String,
    netns: String,
}

impl Place {
    pub fn run(docker: &Docker, name: &str, options: &[&str]) -> Self {
        let start = [&["run", "-d", "--name", name][..], options, &[IMAGE, "sleep", "100000"]].concat();
        docker.run(start).ok();
        let format = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let shown = docker.run(["inspect", "-f", format, name]).ok();
        let (pid, address) = shown.split_once(' ').expect("a pid and an address");
        Self { name: name.to_owned(), address: address.to_owned(), netns: format!("/proc/{pid}/ns/net") }
    }

    /// Runs `work` on a thread in the container's network.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                let netns: OwnedFd = std::fs::File::open(&self.netns).expect("the container runs").into();
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&netns), Some(LinkNameSpaceType::Network))
                    .expect("root may enter namespaces");
                work()
            });
            there.join().expect("no panic")
        })
    }

    /// Both servers in the container, until this process ends.
    pub fn serve(&self) {
        for (port, handle) in [(SINK, swallow as fn(TcpStream)), (ECHO, echo)] {
            let listener = self.within(|| TcpListener::bind(("0.0.0.0", port)).expect("the port is free"));
            serve(listener, handle);
        }
    }
}

/// Serves a listener on threads of its own, until this process ends. A socket stays in the namespace it was made in.
pub fn serve(listener: TcpListener, handle: fn(TcpStream)) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || handle(stream));
        }
    });
}

/// Reads to the end and then says so with one byte.
pub fn swallow(mut stream: TcpStream) {
    let mut buffer = vec![0; TRANSFER_BYTES];
    while stream.read(&mut buffer).is_ok_and(|len| len > 0) {}
    let _ = stream.write_all(&[1]);
}

pub fn echo(mut stream: TcpStream) {
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|len| len > 0) && stream.write_all(&byte).is_ok() {}
}

/// Seconds until so many bytes have arrived at a server that swallows.
pub fn push(at: SocketAddr, bytes: usize) -> io::Result<f64> {
    let block = vec![7; TRANSFER_BYTES];
    let begin = std::time::Instant::now();
    let mut stream = TcpStream::connect(at)?;
    for _ in 0..bytes / block.len() {
        stream.write_all(&block)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_exact(&mut [0])?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Microseconds of a connection that asks one byte and gets it back.
pub fn exchange(at: SocketAddr) -> io::Result<f64> {
    let begin = std::time::Instant::now();
    let mut stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[1])?;
    stream.read_exact(&mut [0])?;
    Ok(begin.elapsed().as_secs_f64() * 1e6)
}
