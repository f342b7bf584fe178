//! The engine's store, checked by the engine itself (`GET /cubby/store/verify`).

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Finding, fail, ok, warn};

/// It reads every layer's records; a big store takes a while.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_ANSWER_BYTES: u64 = 1 << 20;

pub(super) async fn examine(docker_socket: &Path) -> Finding {
    const WHAT: &str = "store";
    match tokio::time::timeout(PATIENCE, ask(docker_socket)).await {
        Err(_) => warn(WHAT, "its examination takes longer than a minute", "try again when the machine has less to do"),
        Ok(Err(err)) => fail(WHAT, err.to_string(), "see cubby logs console"),
        Ok(Ok((404, _))) => ok(WHAT, "not examined: this engine does not offer it"),
        Ok(Ok((200, body))) => judge(&body),
        Ok(Ok((status, body))) => fail(WHAT, format!("the engine answered {status}: {body}"), "see cubby logs console"),
    }
}

/// HTTP/1.0: the answer ends with the connection and has no chunks.
async fn ask(docker_socket: &Path) -> std::io::Result<(u16, Value)> {
    let mut stream = UnixStream::connect(docker_socket).await?;
    stream.write_all(b"GET /cubby/store/verify HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    parse(&answer).ok_or_else(|| std::io::Error::other("the engine's answer is no HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_slice(&answer[end + 4..]).unwrap_or(Value::Null)))
}

/// Any list in the answer that is called after something amiss and is not empty is a finding; its entries are quoted.
fn judge(body: &Value) -> Finding {
    const AMISS: [&str; 5] = ["problems", "damaged", "missing", "errors", "corrupt"];
    let lists = body.as_object().into_iter().flatten().filter(|(name, _)| AMISS.contains(&name.to_lowercase().as_str()));
    let found: Vec<String> = lists.flat_map(|(_, list)| list.as_array().into_iter().flatten()).map(words).collect();
    match found.len() {
        0 => ok("store", "sound"),
        n => {
            let first = found.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
            fail("store", format!("{n} problems: {first}"), "remove and pull the images that are named")
        }
    }
}

fn words(entry: &Value) -> String {
    entry.as_str().map_or_else(|| entry.to_string(), str::to_owned).chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn an_answer_is_read_and_judged() {
        let (status, body) = parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"layers\": 3, \"damaged\": []}").unwrap();
        assert_eq!((status, judge(&body).verdict), (200, Verdict::Ok));
        let bad = serde_json::json!({"layers": 3, "Damaged": [{"digest": "sha256:1"}, "x"]});
        let finding = judge(&bad);
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.found.contains("2 problems") && finding.found.contains("sha256:1"), "{finding:?}");
        assert!(parse(b"what").is_none());
    }

    #[tokio::test]
    async fn an_engine_that_does_not_offer_it_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"page not found\"}").await;
        });
        assert_eq!(examine(&path).await.verdict, Verdict::Ok);
        assert_eq!(examine(&dir.path().join("none")).await.verdict, Verdict::Fail);
    }
}
