//! Frames: a little-endian `u32` length, then that many bytes of JSON.
//!
//! A frame longer than [`MAX_BYTES`] is refused before anything is allocated for it, so a hostile peer costs at most
//! one bounded buffer per connection.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest accepted payload, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("frame of {0} bytes is over the limit of {MAX_BYTES}")]
    TooLong(usize),
    #[error("frame is not the expected message")]
    Malformed(#[source] serde_json::Error),
    #[error("stream ended inside a frame")]
    Truncated,
    #[error("stream failed")]
    Io(#[source] io::Error),
}

/// Encodes `message` as one frame, length included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut out = vec![0; 4];
    serde_json::to_writer(&mut out, message).map_err(FrameError::Malformed)?;
    let payload = out.len() - 4;
    if payload > MAX_BYTES {
        return Err(FrameError::TooLong(payload));
    }
    out[..4].copy_from_slice(&(payload as u32).to_le_bytes());
    Ok(out)
}

fn payload_len(header: [u8; 4]) -> Result<usize, FrameError> {
    match u32::from_le_bytes(header) as usize {
        n if n > MAX_BYTES => Err(FrameError::TooLong(n)),
        n => Ok(n),
    }
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(FrameError::Malformed)
}

fn body_error(err: io::Error) -> FrameError {
    if err.kind() == io::ErrorKind::UnexpectedEof { FrameError::Truncated } else { FrameError::Io(err) }
}

/// Reads one frame; `None` when the stream ended cleanly between frames.
pub async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, FrameError> {
    let mut header = [0; 4];
    if stream.read(&mut header[..1]).await.map_err(FrameError::Io)? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut header[1..]).await.map_err(body_error)?;
    let mut payload = vec![0; payload_len(header)?];
    stream.read_exact(&mut payload).await.map_err(body_error)?;
    decode(&payload).map(Some)
}

/// Writes one frame and flushes it.
pub async fn write<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), FrameError> {
    stream.write_all(&encode(message)?).await.map_err(FrameError::Io)?;
    stream.flush().await.map_err(FrameError::Io)
}

/// [`read`] for pid 1 and other places without a runtime.
pub fn read_blocking<T: DeserializeOwned>(stream: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut header = [0; 4];
    if stream.read(&mut header[..1]).map_err(FrameError::Io)? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut header[1..]).map_err(body_error)?;
    let mut payload = vec![0; payload_len(header)?];
    stream.read_exact(&mut payload).map_err(body_error)?;
    decode(&payload).map(Some)
}

/// [`write`] for pid 1 and other places without a runtime.
pub fn write_blocking<T: Serialize>(stream: &mut impl Write, message: &T) -> Result<(), FrameError> {
    stream.write_all(&encode(message)?).map_err(FrameError::Io)?;
    stream.flush().map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_round_trip() {
        let bytes = encode(&"hello").unwrap();
        assert_eq!(read_blocking::<String>(&mut &bytes[..]).unwrap().as_deref(), Some("hello"));
    }

    #[test]
    fn an_empty_stream_is_a_clean_end_and_half_a_frame_is_not() {
        assert!(read_blocking::<String>(&mut &b""[..]).unwrap().is_none());
        let bytes = encode(&"hello").unwrap();
        for cut in 1..bytes.len() {
            assert!(matches!(read_blocking::<String>(&mut &bytes[..cut]), Err(FrameError::Truncated)), "cut at {cut}");
        }
    }

    #[test]
    fn an_oversized_length_is_refused_before_its_payload_is_read() {
        let header = u32::MAX.to_le_bytes();
        assert!(matches!(read_blocking::<String>(&mut &header[..]), Err(FrameError::TooLong(_))));
    }
}
