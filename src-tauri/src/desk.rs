//! What the desktop is told while nobody looks at the window: the tray's state, and news as notifications. It follows the same
//! events as the page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cubby_host::App;
use cubby_host::schema::{AppError, Backend, Command, DiskKind, Event, JobKind, News, NewsKind, Reply};
use tauri::{AppHandle, Manager};
use tauri_plugin_notification::NotificationExt;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::words::Words;
use crate::{bridge, tray, window};

/// Of a text that a stranger's engine chose.
const TEXT_CHARACTERS: usize = 200;
/// Between two looks at everything, however much changes meanwhile.
const SETTLE: Duration = Duration::from_millis(300);
/// Before a host that could not be reached is tried once more.
const AGAIN: Duration = Duration::from_secs(5);

/// Whether the desktop is told at all.
pub struct Notifies(AtomicBool);

impl Default for Notifies {
    fn default() -> Self {
        Self(true.into())
    }
}

impl Notifies {
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }
}

/// Finds or starts the daemon while the page is still being painted, and follows it.
pub fn open(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        loop {
            match app.state::<bridge::Bridge>().app().await {
                Ok(host) => return follow(&app, &host).await,
                Err(err) => tracing::error!(err, "the host cannot be reached"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
}

/// The tray once more, now.
pub fn refresh(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Ok(host) = app.state::<bridge::Bridge>().app().await {
            look(&app, &host).await;
        }
    });
}

/// Asks the host for something that was chosen outside the page; what goes wrong is said where it was chosen.
pub fn call(app: &AppHandle, command: Command) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let Ok(host) = app.state::<bridge::Bridge>().app().await else { return };
        if let Err(AppError { title, detail, .. }) = host.call(command).await {
            notify(&app, &title, &detail);
        }
    });
}

async fn follow(app: &AppHandle, host: &Arc<App>) {
    let mut changes = host.events();
    loop {
        look(app, host).await;
        if until_tray_changes(app, &mut changes).await.is_none() {
            return;
        }
        // Whatever else changes with it is seen with it; news do not wait.
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => break,
                more = until_tray_changes(app, &mut changes) => if more.is_none() { return },
            }
        }
    }
}

/// `None`: there will be no more. Tells news as they come.
async fn until_tray_changes(app: &AppHandle, changes: &mut Receiver<cubby_host::schema::Change>) -> Option<()> {
    loop {
        match changes.recv().await {
            Ok(change) => match change.event {
                Event::News { news } => tell(app, &news),
                Event::Machine { .. }
                | Event::Container { .. }
                | Event::ContainerRemoved { .. }
                | Event::Containers { .. }
                | Event::Engines { .. } => return Some(()),
                _ => {}
            },
            Err(RecvError::Lagged(_)) => return Some(()),
            Err(RecvError::Closed) => return None,
        }
    }
}

async fn look(app: &AppHandle, host: &Arc<App>) {
    if let Ok(Reply::Snapshot { snapshot }) = host.call(Command::Snapshot).await {
        tray::update(app, &snapshot);
    }
}

/// Nobody needs to be told what they are looking at.
fn tell(app: &AppHandle, news: &News) {
    if app.state::<Notifies>().0.load(Ordering::Relaxed) && !window::is_looked_at(app) {
        let (title, text) = told(&app.state::<Words>(), &news.what);
        notify(app, &title, &text);
    }
}

fn told(words: &Words, news: &NewsKind) -> (String, String) {
    let work = |job: JobKind, subject: &str| format!("{} {subject}", words.plain(job_key(job)));
    match news {
        NewsKind::ContainerDied { name, .. } => (words.text("news.died", "name", name), String::new()),
        NewsKind::ContainerUnhealthy { name, .. } => (words.text("news.unhealthy", "name", name), String::new()),
        NewsKind::MachineRestarted => (words.plain("news.restarted"), String::new()),
        NewsKind::MachineFailed { title } => (words.plain("news.failed"), title.clone()),
        NewsKind::DiskNearlyFull { disk, free_bytes, .. } => {
            let key = match disk {
                DiskKind::Machine => "news.disk.machine",
                DiskKind::Computer => "news.disk.computer",
            };
            let free = format!("{:.1} GB", *free_bytes as f64 / 1e9);
            (words.plain("news.disk"), words.text(key, "free", &free))
        }
        NewsKind::JobDone { job, subject } => {
            (words.text("news.job_done", "what", &work(*job, subject)), String::new())
        }
        NewsKind::JobFailed { job, subject, detail } => {
            (words.text("news.job_failed", "what", &work(*job, subject)), detail.clone())
        }
    }
}

fn job_key(job: JobKind) -> &'static str {
    match job {
        JobKind::Pull => "jobs.pull",
        JobKind::Push => "jobs.push",
        JobKind::Save => "jobs.save",
        JobKind::Load => "jobs.load",
        JobKind::Export => "jobs.export",
        JobKind::Import => "jobs.import",
    }
}

fn notify(app: &AppHandle, title: &str, text: &str) {
    let text: String = text.chars().take(TEXT_CHARACTERS).collect();
    if let Err(err) = app.notification().builder().title(title).body(text).show() {
        tracing::info!(%err, title, "the desktop takes no notification");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_name_what_they_are_about() {
        let words = Words::default();
        let died = NewsKind::ContainerDied {
            container: "c".into(),
            name: "web".into(),
            reason: cubby_host::schema::StopReason::OutOfMemory,
        };
        assert_eq!(told(&words, &died).0, "web stopped by itself");
        let full = NewsKind::DiskNearlyFull { disk: DiskKind::Machine, free_bytes: 1_200_000_000, total_bytes: 1 };
        assert!(told(&words, &full).1.contains("1.2 GB left"));
        let done = NewsKind::JobDone { job: JobKind::Pull, subject: "web:1".into() };
        assert_eq!(told(&words, &done).0, "Done: Fetching web:1");
    }
}
