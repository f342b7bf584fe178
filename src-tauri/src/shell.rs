//! The one command for what belongs to a desktop. A line each: the work is beside it.

use cubby_host::schema::{ShellCommand, ShellReply};
use tauri::{AppHandle, Manager};

use crate::{desk, login, paint, pick, words};

#[tauri::command]
pub async fn shell(app: AppHandle, command: ShellCommand) -> Result<ShellReply, String> {
    let path = |path| Ok(ShellReply::Path { path });
    match command {
        ShellCommand::Painted { first_paint_unix_ms, interactive_unix_ms } => {
            app.state::<paint::Started>().report(first_paint_unix_ms, interactive_unix_ms);
            Ok(ShellReply::Done)
        }
        ShellCommand::PickFile { extensions } => path(pick::file(&app, extensions).await),
        ShellCommand::PickTarget { name } => path(pick::target(&app, name).await),
        ShellCommand::PickFolder => path(pick::folder(&app).await),
        ShellCommand::SetWords { words } => {
            app.state::<words::Words>().set(&app, words);
            desk::refresh(&app);
            Ok(ShellReply::Done)
        }
        ShellCommand::SetNotifies { on } => {
            app.state::<desk::Notifies>().set(on);
            Ok(ShellReply::Done)
        }
        ShellCommand::AtLogin => Ok(ShellReply::AtLogin { on: login::is_on() }),
        ShellCommand::SetAtLogin { on } => {
            login::set(on).map_err(|err| format!("{err:#}"))?;
            Ok(ShellReply::AtLogin { on: login::is_on() })
        }
    }
}
