//! Compressed answers, where dockerd gives them: archives of a container's files, and only to clients that ask.
//! Source: moby api/server/router/container/copy.go.

use std::io::{self, Write};

use axum::http::{HeaderMap, HeaderValue, header};
use cubby_engine::Error;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

impl Encoding {
    /// What `Accept-Encoding` likes best, gzip before deflate. Source: gddo httputil `NegotiateContentEncoding`.
    pub fn asked(headers: &HeaderMap) -> Self {
        let mut best = (Self::Identity, -1.0);
        let accepted: Vec<(&str, f32)> = headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(quality)
            .collect();
        for (offer, name) in [(Self::Gzip, "gzip"), (Self::Deflate, "deflate")] {
            for (value, quality) in &accepted {
                if *quality > best.1 && (*value == "*" || *value == name) {
                    best = (offer, *quality);
                }
            }
        }
        if best.1 == 0.0 { Self::Identity } else { best.0 }
    }

    /// What `Content-Encoding` says.
    pub fn name(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Deflate => Some(HeaderValue::from_static("deflate")),
        }
    }

    /// What `work` writes goes to `out` in this encoding.
    pub fn write(
        self,
        mut out: &mut dyn Write,
        work: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |source: io::Error| Error::system("answer", source);
        match self {
            Self::Identity => work(&mut out),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::default());
                work(&mut encoder)?;
                encoder.finish().map(drop).map_err(failed)
            }
            Self::Deflate => {
                let mut encoder = DeflateEncoder::new(out, Compression::default());
                work(&mut encoder)?;
                encoder.finish().map(drop).map_err(failed)
            }
        }
    }
}

/// `gzip;q=0.5`; without a quality it is 1.
fn quality(part: &str) -> (&str, f32) {
    let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
    let quality = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), |text| text.trim().parse());
    (name.trim(), quality.unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_best_of_what_is_accepted_is_chosen() {
        for (accepted, expected) in [
            ("", Encoding::Identity),
            ("identity", Encoding::Identity),
            ("gzip", Encoding::Gzip),
            ("gzip, deflate", Encoding::Gzip),
            ("deflate, gzip;q=0.5", Encoding::Deflate),
            ("*", Encoding::Gzip),
            ("gzip;q=0", Encoding::Identity),
            ("br", Encoding::Identity),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(Encoding::asked(&headers), expected, "{accepted}");
        }
        assert_eq!(Encoding::asked(&HeaderMap::new()), Encoding::Identity);
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let text = b"as it was ".repeat(1000);
        let encoded = |encoding: Encoding| {
            let mut out = Vec::new();
            encoding
                .write(&mut out, |out| out.write_all(&text).map_err(|error| Error::system("write", error)))
                .unwrap();
            out
        };
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&encoded(Encoding::Gzip)[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
        read.clear();
        flate2::read::DeflateDecoder::new(&encoded(Encoding::Deflate)[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(encoded(Encoding::Identity), text);
    }
}
