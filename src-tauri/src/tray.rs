//! The icon beside the clock: state, the containers that run with what is done to them most, start and stop of the machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use cubby_host::schema::{Command, ContainerState, MachinePhase, Snapshot};
use tauri::image::Image;
use tauri::menu::{IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Manager, Wry};

use crate::words::Words;
use crate::{bridge, desk, window};

const ID: &str = "cubby";
/// Containers in the menu; the window has the others.
const NAMED: usize = 8;

/// Where the icon is, and what it says.
#[derive(Default)]
pub struct Place {
    shown: AtomicBool,
    says: Mutex<Option<Says>>,
}

impl Place {
    /// Somebody who closes the window finds the app there.
    pub fn is_there(&self) -> bool {
        self.shown.load(Ordering::Relaxed) && has_place()
    }
}

/// Whether this desktop shows such icons now. Not all do, and a program that nobody sees must not go on.
/// Source: StatusNotifierItem, "Watcher": whoever shows them owns this name.
#[cfg(target_os = "linux")]
fn has_place() -> bool {
    use gtk::gio::{BusType, Cancellable, DBusCallFlags, bus_get_sync};
    use gtk::glib::ToVariant;

    const PATIENCE_MS: i32 = 500;
    let asked = bus_get_sync(BusType::Session, Cancellable::NONE).and_then(|bus| {
        let name = ("org.kde.StatusNotifierWatcher",).to_variant();
        let (service, path) = (Some("org.freedesktop.DBus"), "/org/freedesktop/DBus");
        bus.call_sync(
            service,
            path,
            "org.freedesktop.DBus",
            "NameHasOwner",
            Some(&name),
            None,
            DBusCallFlags::NONE,
            PATIENCE_MS,
            Cancellable::NONE,
        )
    });
    asked.ok().and_then(|answer| answer.get::<(bool,)>()).is_some_and(|(owned,)| owned)
}

#[cfg(not(target_os = "linux"))]
fn has_place() -> bool {
    true
}

/// All that the menu shows; an event that changes none of it costs nothing more.
#[derive(Clone, PartialEq)]
struct Says {
    phase: MachinePhase,
    /// The machine is this computer's own; another engine is only looked at.
    own: bool,
    running: usize,
    containers: Vec<Row>,
    /// The language changes the texts, not the state.
    words: String,
}

#[derive(Clone, PartialEq)]
struct Row {
    id: String,
    name: String,
    doors: Vec<(u16, String)>,
}

impl Says {
    fn of(world: &Snapshot, words: &Words) -> Self {
        let runs = |state| state == ContainerState::Running;
        let running = world.containers.iter().filter(|row| runs(row.state));
        let rows = running.clone().take(NAMED).map(|row| {
            let mut doors: Vec<_> =
                row.ports.iter().filter_map(|port| Some((port.host_port?, port.url.clone()?))).collect();
            doors.sort();
            doors.dedup_by_key(|(port, _)| *port);
            Row { id: row.id.clone(), name: row.name.clone(), doors }
        });
        Self {
            phase: world.machine.phase,
            own: world.engines.chosen.is_none(),
            running: running.clone().count(),
            containers: rows.collect(),
            words: words.plain("tray.open"),
        }
    }

    fn state(&self, words: &Words) -> String {
        match self.phase {
            MachinePhase::Off => words.plain("tray.off"),
            MachinePhase::Starting => words.plain("tray.starting"),
            MachinePhase::Running => words.text("tray.running", "n", &self.running.to_string()),
            MachinePhase::Stopping => words.plain("tray.stopping"),
            MachinePhase::Failed => words.plain("tray.failed"),
        }
    }
}

/// Shows the icon, where the library for it is installed.
pub fn show(app: &AppHandle) {
    // Why catch: the library behind it is found while the program runs, and its absence is a panic there.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| build(app))) {
        Ok(Ok(_)) => app.state::<Place>().shown.store(true, Ordering::Relaxed),
        Ok(Err(err)) => tracing::warn!(%err, "no tray icon"),
        Err(_) => tracing::warn!("no tray icon: its library is not installed (libayatana-appindicator3)"),
    }
}

fn build(app: &AppHandle) -> tauri::Result<TrayIcon> {
    let mut builder = TrayIconBuilder::with_id(ID)
        .tooltip("Cubby")
        .menu(&menu(app, None)?)
        .show_menu_on_left_click(false)
        .on_menu_event(|app, event| chosen(app, event.id().as_ref()))
        .on_tray_icon_event(|tray, event| {
            if matches!(event, TrayIconEvent::DoubleClick { .. }) {
                window::show(tray.app_handle());
            }
        });
    if let Some(icon) = app.default_window_icon() {
        builder = builder.icon(dimmed(icon));
    }
    builder.build(app)
}

/// The icon of a machine that is not running: the same, half there.
fn dimmed(icon: &Image<'_>) -> Image<'static> {
    let mut pixels = icon.rgba().to_vec();
    for pixel in pixels.chunks_exact_mut(4) {
        let grey = ((u32::from(pixel[0]) * 30 + u32::from(pixel[1]) * 59 + u32::from(pixel[2]) * 11) / 100) as u8;
        pixel[..3].fill(grey);
        pixel[3] /= 2;
    }
    Image::new_owned(pixels, icon.width(), icon.height())
}

fn menu(app: &AppHandle, says: Option<&Says>) -> tauri::Result<Menu<Wry>> {
    let words = app.state::<Words>();
    let menu = Menu::new(app)?;
    let item = |id: &str, text: String, enabled| MenuItem::with_id(app, id, text, enabled, None::<&str>);
    if let Some(says) = says {
        menu.append(&item("state", format!("Cubby: {}", says.state(&words)), false)?)?;
        for row in &says.containers {
            menu.append(&container(app, row, &words)?)?;
        }
        let more = says.running - says.containers.len();
        if more > 0 {
            menu.append(&item("apps", words.text("tray.more", "n", &more.to_string()), true)?)?;
        }
        menu.append(&PredefinedMenuItem::separator(app)?)?;
        match says.phase {
            _ if !says.own => {}
            MachinePhase::Off | MachinePhase::Failed => {
                menu.append(&item("start", words.plain("tray.start"), true)?)?;
            }
            MachinePhase::Running => menu.append(&item("stop", words.plain("tray.stop"), true)?)?,
            MachinePhase::Starting | MachinePhase::Stopping => {}
        }
    }
    menu.append(&item("open", words.plain("tray.open"), true)?)?;
    menu.append(&item("quit", words.plain("tray.quit"), true)?)?;
    Ok(menu)
}

fn container(app: &AppHandle, row: &Row, words: &Words) -> tauri::Result<Submenu<Wry>> {
    let item = |id: String, text: String| MenuItem::with_id(app, id, text, true, None::<&str>);
    let mut items = Vec::new();
    for (port, url) in &row.doors {
        items.push(item(format!("url:{url}"), words.text("tray.door", "port", &port.to_string()))?);
    }
    items.push(item(format!("show:{}", row.id), words.plain("tray.details"))?);
    items.push(item(format!("restart:{}", row.id), words.plain("tray.restart"))?);
    items.push(item(format!("halt:{}", row.id), words.plain("tray.halt"))?);
    let items: Vec<&dyn IsMenuItem<Wry>> = items.iter().map(|item| item as &dyn IsMenuItem<Wry>).collect();
    Submenu::with_items(app, &row.name, true, &items)
}

fn chosen(app: &AppHandle, id: &str) {
    let go = |place: String| {
        app.state::<bridge::Bridge>().go(place);
        window::show(app);
    };
    match id.split_once(':') {
        None => match id {
            "open" => window::show(app),
            "quit" => app.exit(0),
            "start" => desk::call(app, Command::MachineStart),
            "stop" => desk::call(app, Command::MachineStop),
            "apps" => go("#/apps".to_owned()),
            _ => {}
        },
        Some(("show", id)) => go(format!("#/apps/{id}/overview")),
        Some(("url", url)) => desk::call(app, Command::UrlOpen { url: url.to_owned() }),
        Some(("restart", id)) => desk::call(app, Command::ContainerRestart { id: id.to_owned() }),
        Some(("halt", id)) => desk::call(app, Command::ContainerStop { id: id.to_owned() }),
        Some(_) => {}
    }
}

/// Makes menu and picture say what is now.
pub fn update(app: &AppHandle, world: &Snapshot) {
    let place = app.state::<Place>();
    if !place.shown.load(Ordering::Relaxed) {
        return;
    }
    let says = Says::of(world, &app.state::<Words>());
    let before = place.says.lock().unwrap_or_else(PoisonError::into_inner).replace(says.clone());
    if before.as_ref() == Some(&says) {
        return;
    }
    let app = app.clone();
    // Menus belong to the main thread.
    let done = app.clone().run_on_main_thread(move || {
        if let Err(err) = draw(&app, &says, before.map(|before| before.phase)) {
            tracing::warn!(%err, "the tray's menu is out of date");
        }
    });
    if let Err(err) = done {
        tracing::debug!(%err, "the main thread is gone");
    }
}

fn draw(app: &AppHandle, says: &Says, before: Option<MachinePhase>) -> tauri::Result<()> {
    let Some(tray) = app.tray_by_id(ID) else { return Ok(()) };
    tray.set_menu(Some(menu(app, Some(says))?))?;
    tray.set_tooltip(Some(format!("Cubby: {}", says.state(&app.state::<Words>()))))?;
    if before != Some(says.phase)
        && let Some(icon) = app.default_window_icon()
    {
        let bright = says.phase == MachinePhase::Running;
        tray.set_icon(Some(if bright { icon.clone().to_owned() } else { dimmed(icon) }))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_of_a_machine_that_is_off_is_grey_and_fainter() {
        let icon = Image::new_owned(vec![200, 100, 0, 255, 0, 0, 0, 0], 2, 1);
        assert_eq!(dimmed(&icon).rgba(), [119, 119, 119, 127, 0, 0, 0, 0]);
    }
}
