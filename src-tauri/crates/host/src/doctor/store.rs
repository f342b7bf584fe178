//! The engine's store, checked by the engine itself (`GET /cubby/store/verify`: one JSON object a line, `done` at the end).

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Finding, fail, ok, warn};

/// It looks for every file of every layer; a big store takes a while.
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_ANSWER_BYTES: u64 = 16 << 20;

pub(super) async fn examine(docker_socket: &Path) -> Finding {
    const WHAT: &str = "store";
    match tokio::time::timeout(PATIENCE, ask(docker_socket)).await {
        Err(_) => warn(WHAT, "its examination takes longer than a minute", "try again when the machine has less to do"),
        Ok(Err(err)) => fail(WHAT, err.to_string(), "see cubby logs console"),
        Ok(Ok((404, _))) => ok(WHAT, "not examined: this engine does not offer it"),
        Ok(Ok((200, lines))) => judge(&lines),
        Ok(Ok((status, lines))) => {
            let said = lines.first().map(words).unwrap_or_default();
            fail(WHAT, format!("the engine answered {status}: {said}"), "see cubby logs console")
        }
    }
}

/// HTTP/1.0: the answer ends with the connection and has no chunks.
async fn ask(docker_socket: &Path) -> std::io::Result<(u16, Vec<Value>)> {
    let mut stream = crate::local::connect(docker_socket).await?;
    stream.write_all(b"GET /cubby/store/verify HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    parse(&answer).ok_or_else(|| std::io::Error::other("the engine's answer is no HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<Value>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lines = answer[end + 4..].split(|byte| *byte == b'\n');
    Some((status, lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()))
}

/// Without the last line nothing is proved.
fn judge(lines: &[Value]) -> Finding {
    let found: Vec<String> = lines.iter().filter(|line| line["type"] == "problem").map(words).collect();
    let done = lines.last().filter(|line| line["type"] == "done");
    match (found.as_slice(), done) {
        ([], Some(done)) => ok("store", format!("sound: {} images, {} layers", done["images"], done["layers"])),
        ([], None) => warn("store", "its examination broke off", "see cubby logs console"),
        (found, _) => {
            let first = found.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
            let count = found.len();
            fail("store", format!("{count} problems: {first}"), "remove and pull the images that are named")
        }
    }
}

fn words(entry: &Value) -> String {
    let text = match (entry["subject"].as_str(), entry["reason"].as_str()) {
        (Some(subject), Some(reason)) => format!("{subject}: {reason}"),
        _ => entry.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::fake::name;
    use crate::local::Listener;

    #[test]
    fn an_answer_is_read_and_judged() {
        let sound =
            b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"type\":\"layer\"}\n{\"type\":\"done\",\"images\":1,\"layers\":1}\n";
        let (status, lines) = parse(sound).unwrap();
        assert_eq!((status, lines.len(), judge(&lines).verdict), (200, 2, Verdict::Ok));
        assert_eq!(judge(&lines[..1]).verdict, Verdict::Warn, "an answer that broke off proves nothing");
        let bad = [serde_json::json!({"type": "problem", "subject": "layer sha256:1", "reason": "it is missing"})];
        let finding = judge(&[&bad[..], &lines].concat());
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(finding.found.contains("1 problems: layer sha256:1: it is missing"), "{finding:?}");
        assert!(parse(b"what").is_none());
    }

    #[tokio::test]
    async fn an_engine_that_does_not_offer_it_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = name(dir.path(), "s");
        let listener = Listener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"page not found\"}").await;
        });
        assert_eq!(examine(&path).await.verdict, Verdict::Ok);
        assert_eq!(examine(&name(dir.path(), "none")).await.verdict, Verdict::Fail);
    }
}
