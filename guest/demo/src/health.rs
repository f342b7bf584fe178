//! `demo --health`: asks the server in the same container.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

pub fn main(port: u16) -> ExitCode {
    match ask(port) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("the page answers with an error");
            ExitCode::FAILURE
        }
        Err(err) => {
            println!("the page does not answer: {err}");
            ExitCode::FAILURE
        }
    }
}

fn ask(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}
