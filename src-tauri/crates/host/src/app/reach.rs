//! How the engine reaches registries: its own route, `/cubby/registries`. Other engines have none.

use serde_json::{Map, Value, json};

use super::Inner;
use crate::engine::endpoint::Endpoint;
use crate::schema::{AppError, FileSource, Reach, ReachCommand, Reply};

const ROUTE: &str = "/cubby/registries";
/// What the engine gives out in place of a proxy's password. Source: moby daemon/config `MaskCredentials`.
const MASKED: &str = "xxxxx:xxxxx@";
/// Of one PEM file; the engine takes no more.
const MAX_PEM_BYTES: u64 = 256 << 10;
const TITLE: &str = "The way to registries could not be changed";

pub(super) async fn call(inner: &Inner, command: ReachCommand) -> Result<Reply, AppError> {
    // Not while the machine starts: this is shown, not waited for.
    inner.engine()?;
    let endpoint = inner.endpoint();
    match command {
        ReachCommand::Show => {}
        ReachCommand::Set { reach } => set(&endpoint, &reach).await?,
        ReachCommand::Trust { host, from } => {
            let body = json!({ "ca": pem(inner, &from).await? });
            ask(&endpoint, "PUT", &certificate(&host)?, body.to_string()).await?;
        }
        ReachCommand::Distrust { host } => {
            ask(&endpoint, "DELETE", &certificate(&host)?, String::new()).await?;
        }
    }
    let (reach, trusted) = read(&show(&endpoint).await?);
    Ok(Reply::Reach { reach, trusted })
}

async fn show(endpoint: &Endpoint) -> Result<Value, AppError> {
    let text = ask(endpoint, "GET", ROUTE, String::new()).await?;
    serde_json::from_str(&text).map_err(|err| AppError::failed(TITLE, err.to_string()))
}

async fn set(endpoint: &Endpoint, reach: &Reach) -> Result<(), AppError> {
    if [&reach.http_proxy, &reach.https_proxy].iter().any(|proxy| proxy.contains(MASKED)) {
        return Err(AppError::failed(TITLE, "the proxy's password is not kept here: type its whole address again"));
    }
    // What this page does not show stays as it is.
    let mut options = show(endpoint).await?.get("stored").and_then(Value::as_object).cloned().unwrap_or_default();
    write(&mut options, reach);
    ask(endpoint, "PUT", ROUTE, Value::Object(options).to_string()).await.map(drop)
}

fn write(options: &mut Map<String, Value>, reach: &Reach) {
    let text = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
    let list = |items: &[String]| items.iter().filter_map(|item| text(item)).collect::<Vec<_>>();
    options.insert("registry-mirrors".to_owned(), json!(list(&reach.mirrors)));
    options.insert("insecure-registries".to_owned(), json!(list(&reach.insecure)));
    let proxies = json!({
        "http-proxy": text(&reach.http_proxy), "https-proxy": text(&reach.https_proxy), "no-proxy": text(&reach.no_proxy),
    });
    options.insert("proxies".to_owned(), proxies);
}

fn read(shown: &Value) -> (Reach, Vec<String>) {
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let stored = &shown["stored"];
    let proxy = |name: &str| stored["proxies"][name].as_str().unwrap_or_default().to_owned();
    let reach = Reach {
        http_proxy: proxy("http-proxy"),
        https_proxy: proxy("https-proxy"),
        no_proxy: proxy("no-proxy"),
        mirrors: strings(&stored["registry-mirrors"]),
        insecure: strings(&stored["insecure-registries"]),
    };
    (reach, strings(&shown["certificates"]))
}

fn certificate(host: &str) -> Result<String, AppError> {
    let host = host.trim();
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(sane) {
        return Err(AppError::failed(TITLE, format!("{host:?} is no registry: write host, or host:port")));
    }
    Ok(format!("{ROUTE}/certificates/{host}"))
}

async fn pem(inner: &Inner, from: &FileSource) -> Result<String, AppError> {
    let (path, ours) = inner.source(from)?;
    let read = tokio::task::spawn_blocking(move || {
        let length = std::fs::metadata(&path)?.len();
        let text = match length {
            0..=MAX_PEM_BYTES => std::fs::read_to_string(&path),
            _ => Err(std::io::Error::other("it is too large for a certificate")),
        };
        if ours {
            let _ = std::fs::remove_file(&path);
        }
        text
    });
    let text = read.await.map_err(std::io::Error::other).flatten();
    let text = text.map_err(|err| AppError::failed("The certificate could not be read", err.to_string()))?;
    match text.contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(text),
        false => Err(AppError::failed("The certificate could not be read", "there is no certificate (PEM) in it")),
    }
}

async fn ask(endpoint: &Endpoint, method: &str, path: &str, body: String) -> Result<String, AppError> {
    match endpoint.request(method, path, body).await? {
        (200..300, text) => Ok(text),
        (404, _) => Err(AppError::not_found("this engine does not let itself be told from here")),
        (_, text) => {
            let said = serde_json::from_str::<Value>(&text).ok();
            let said = said.and_then(|said| said["message"].as_str().map(str::to_owned)).unwrap_or(text);
            Err(AppError::failed(TITLE, said.chars().take(1000).collect::<String>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_back_and_what_is_not_shown_stays() {
        let reach = Reach {
            http_proxy: "http://proxy:3128".into(),
            no_proxy: " .corp.example ".into(),
            mirrors: vec!["https://mirror.example".into(), " ".into()],
            ..Reach::default()
        };
        let mut options = Map::from_iter([("mirrors-of".to_owned(), json!({ "quay.io": ["https://q.example"] }))]);
        write(&mut options, &reach);
        assert_eq!(options["mirrors-of"]["quay.io"][0], "https://q.example");
        assert_eq!(options["proxies"]["https-proxy"], Value::Null);
        let (read, trusted) = read(&json!({ "stored": options, "certificates": ["box:5000"] }));
        let expected =
            Reach { no_proxy: ".corp.example".into(), mirrors: vec!["https://mirror.example".into()], ..reach };
        assert_eq!((read, trusted), (expected, vec!["box:5000".to_owned()]));
    }

    #[test]
    fn only_a_host_is_a_place_for_a_certificate() {
        assert_eq!(certificate(" box:5000 ").unwrap(), "/cubby/registries/certificates/box:5000");
        for wrong in ["", "a/b", "a b", "../x", "a?b"] {
            assert!(certificate(wrong).is_err(), "{wrong}");
        }
    }
}
