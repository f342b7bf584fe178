//! The tags of a repository. Source: distribution-spec "Listing Tags".

use reqwest::{Method, header::LINK};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    repository::{Repository, bounded},
};

/// Tags read at most: a registry that pages for ever must not keep us.
const MOST: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Repository {
    /// Every tag, in the registry's order.
    ///
    /// # Errors
    /// NotFound where there is no such repository; Protocol for an answer that is no list.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let mut url = self.url("tags/list");
        let mut tags = Vec::new();
        loop {
            let answer = self.send(Method::GET, &url, |request| request).await?;
            let next = answer.headers().get(LINK).and_then(|value| next_page(value.to_str().ok()?).map(str::to_owned));
            let body = bounded(answer, PAGE_BYTES).await?;
            let page: Page =
                serde_json::from_slice(&body).map_err(|error| Error::Protocol(format!("{url}: {error}")))?;
            let found = page.tags.unwrap_or_default();
            let more = !found.is_empty() && tags.len() + found.len() < MOST;
            tags.extend(found);
            match next.filter(|_| more) {
                Some(next) => url = self.resolve(&next)?,
                None => break,
            }
        }
        tags.truncate(MOST);
        Ok(tags)
    }
}

/// The longest page that is read.
const PAGE_BYTES: usize = 4 << 20;

/// The address in `<address>; rel="next"`. Source: RFC 8288.
fn next_page(header: &str) -> Option<&str> {
    let (address, parameters) = header.strip_prefix('<')?.split_once('>')?;
    parameters.contains("next").then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page_are_found() {
        assert_eq!(next_page("</v2/a/tags/list?last=b&n=2>; rel=\"next\""), Some("/v2/a/tags/list?last=b&n=2"));
        assert_eq!(next_page("</v2/a/tags/list>; rel=\"prev\""), None);
        assert_eq!(next_page("nonsense"), None);
    }
}
