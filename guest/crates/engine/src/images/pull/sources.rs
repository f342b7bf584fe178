//! The servers that may have an image: the mirrors of its registry, then the registry itself.

use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};

use cubby_image::Reference;
use cubby_registry::{Access, Credentials, Error, Place, Repository, Settings};
use tokio::sync::OnceCell;

use crate::images::patience::ATTEMPTS;

/// How often a broken request is tried again where another source can be asked instead.
const MIRROR_ATTEMPTS: u32 = 2;

/// See the module's documentation. Each is reached when it is first needed.
pub struct Sources {
    pub reference: Reference,
    credentials: Credentials,
    settings: Settings,
    places: Vec<(Place, OnceCell<Repository>)>,
    /// Those before it were given up.
    best: AtomicUsize,
}

impl Sources {
    pub fn of(reference: Reference, credentials: Credentials, settings: Settings) -> Self {
        let places = settings.places(reference.domain()).into_iter().map(|place| (place, OnceCell::new())).collect();
        Self { reference, credentials, settings, places, best: AtomicUsize::new(0) }
    }

    /// Which one to ask first.
    pub fn best(&self) -> usize {
        self.best.load(Ordering::Relaxed)
    }

    /// The one after the `nth`; none after the registry itself.
    pub fn after(&self, nth: usize) -> Option<usize> {
        (nth + 1 < self.places.len()).then_some(nth + 1)
    }

    /// How often it is worth trying the `nth`.
    pub fn patience(&self, nth: usize) -> u32 {
        if self.after(nth).is_some() { MIRROR_ATTEMPTS } else { ATTEMPTS }
    }

    /// The `nth` and those before it are not worth asking again.
    pub fn give_up(&self, nth: usize) {
        if let Some(next) = self.after(nth) {
            self.best.fetch_max(next, Ordering::Relaxed);
        }
    }

    /// What the first of them says that can answer: one mirror after the other, the registry itself last.
    pub async fn ask<T, E: Display, F>(&self, ask: impl Fn(usize) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        loop {
            let nth = self.best();
            match ask(nth).await {
                Err(error) if self.after(nth).is_some() => {
                    tracing::info!(err = %error, image = %self.reference, "the mirror does not serve it");
                    self.give_up(nth);
                }
                answer => return answer,
            }
        }
    }

    pub async fn at(&self, nth: usize) -> Result<&Repository, Error> {
        let absent = || Error::Configuration(format!("registry {} has no place {nth}", self.reference.domain()));
        let (place, opened) = self.places.get(nth).ok_or_else(absent)?;
        let Self { reference, credentials, settings, .. } = self;
        let (domain, path) = (reference.domain(), reference.path());
        let open = || Repository::open_at(*place, domain, path, Access::Pull, credentials.clone(), settings);
        opened.get_or_try_init(open).await
    }
}
