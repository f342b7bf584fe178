//! Progress as Docker's clients read it: one JSON object after another. Source: moby pkg/jsonmessage.

use serde::Serialize;

/// One object of the stream. Which members it has depends on what it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// For programs, not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProgressDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorDetail {
    /// What a command of a build ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    pub message: String,
}

impl Message {
    /// Text that is printed as it is.
    pub fn stream(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }

    pub fn status(text: impl Into<String>) -> Self {
        Self { status: Some(text.into()), ..Self::default() }
    }

    /// What happens to the thing called `id`.
    pub fn of(id: impl Into<String>, status: impl Into<String>) -> Self {
        Self { id: Some(id.into()), progress_detail: Some(ProgressDetail::default()), ..Self::status(status) }
    }

    /// How far the thing called `id` is.
    pub fn progress(id: impl Into<String>, status: impl Into<String>, current: u64, total: u64) -> Self {
        let detail = ProgressDetail { current: Some(current), total: Some(total) };
        Self {
            progress_detail: Some(detail),
            progress: Some(bar(current, total)),
            id: Some(id.into()),
            ..Self::status(status)
        }
    }

    /// Something for programs.
    pub fn aux(value: serde_json::Value) -> Self {
        Self { aux: Some(value), ..Self::default() }
    }

    /// The end of a stream that failed after it began.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            error_detail: Some(ErrorDetail { code: None, message: message.clone() }),
            error: Some(message),
            ..Self::default()
        }
    }
}

/// The picture that older clients print. Source: moby `jsonmessage.JSONProgress.String`.
fn bar(current: u64, total: u64) -> String {
    if total == 0 || current > total {
        return format!("{:>8}", human(current));
    }
    let filled = usize::try_from(current.saturating_mul(50) / total).unwrap_or(50).min(50);
    let rest = 50 - filled;
    format!("[{}>{}] {:>8}/{}", "=".repeat(filled), " ".repeat(rest), human(current), human(total))
}

/// Four significant digits with a decimal unit. Source: docker go-units `HumanSize`.
fn human(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if size < 1000.0 {
            let digits = match size {
                s if s >= 100.0 => 1,
                s if s >= 10.0 => 2,
                _ => 3,
            };
            let text = format!("{size:.digits$}");
            let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            return format!("{text}{unit}");
        }
        size /= 1000.0;
    }
    format!("{size:.1}PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_reads_as_dockerds() {
        let json = |message: &Message| serde_json::to_string(message).unwrap();
        assert_eq!(json(&Message::stream("Loaded image: x\n")), r#"{"stream":"Loaded image: x\n"}"#);
        assert_eq!(json(&Message::error("no")), r#"{"errorDetail":{"message":"no"},"error":"no"}"#);
        assert_eq!(
            json(&Message::progress("0123", "Loading layer", 32768, 4_500_000)),
            format!(
                r#"{{"status":"Loading layer","progressDetail":{{"current":32768,"total":4500000}},"progress":"[>{}]  32.77kB/4.5MB","id":"0123"}}"#,
                " ".repeat(50)
            )
        );
        assert_eq!(human(999), "999B");
        assert_eq!(human(1_000_000), "1MB");
    }
}
