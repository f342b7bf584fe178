//! The machine at login: one file in the place where the system looks for such, written and removed on request only.
//!
//! | system | file | who reads it |
//! |---|---|---|
//! | Linux with systemd | `~/.config/systemd/user/cubby-<profile>.service` and its link in `default.target.wants` | the user's systemd |
//! | other Linux | `~/.config/autostart/cubby-<profile>.desktop` | the desktop (XDG autostart) |
//! | macOS | `~/Library/LaunchAgents/cubby.<profile>.plist` | launchd |
//! | Windows | value `Cubby <profile>` below `HKCU\…\Run` | Explorer |
//!
//! Texts are made by pure functions, so that every system's are tested on any.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What shall be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub program: PathBuf,
    pub profile: String,
}

/// Source: systemd.service(5), systemd.syntax(7): `%` is doubled, quotes and backslashes are escaped within double quotes.
pub fn systemd_unit(command: &Command) -> String {
    let quoted = command.program.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let profile = &command.profile;
    format!(
        "[Unit]\nDescription=Cubby's machine ({profile})\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=\"{quoted}\" --profile {profile} up\nExecStop=\"{quoted}\" --profile {profile} down\nTimeoutSec=180\n\n\
         [Install]\nWantedBy=default.target\n"
    )
}

/// Source: Desktop Entry Specification, "The Exec key": within double quotes, `"`, `` ` ``, `$` and `\` are escaped, `%` is doubled,
/// and backslashes once more because the value is a string.
pub fn desktop_entry(command: &Command) -> String {
    let (program, profile) = (quoted(command), &command.profile);
    format!(
        "[Desktop Entry]\nType=Application\nName=Cubby's machine ({profile})\nExec=\"{program}\" --profile {profile} up\n\
         NoDisplay=true\nTerminal=false\n"
    )
}

/// The app, whose profile comes from its environment; always the desktop's business, with systemd as without. Source: as above.
pub fn app_entry(command: &Command, argument: &str) -> String {
    let (program, profile) = (quoted(command), &command.profile);
    format!(
        "[Desktop Entry]\nType=Application\nName=Cubby ({profile})\nExec=env CUBBY_PROFILE={profile} \"{program}\" {argument}\n\
         NoDisplay=true\nTerminal=false\nX-GNOME-Autostart-enabled=true\n"
    )
}

/// The program as the inside of a quoted argument of the Exec key.
fn quoted(command: &Command) -> String {
    let mut program = String::new();
    for c in command.program.display().to_string().chars() {
        match c {
            '"' | '`' | '$' => program.extend(["\\\\".to_owned(), c.to_string()]),
            '\\' => program.push_str("\\\\\\\\"),
            '%' => program.push_str("%%"),
            _ => program.push(c),
        }
    }
    program
}

/// Source: launchd.plist(5).
pub fn launchd_plist(command: &Command) -> String {
    let program = command.program.display().to_string();
    plist(&format!("cubby.{}", command.profile), &[&program, "--profile", &command.profile, "up"], "")
}

/// The app, whose profile comes from its environment.
pub fn app_plist(command: &Command, argument: &str) -> String {
    let (program, profile) = (command.program.display().to_string(), &command.profile);
    let environment = format!(
        "  <key>EnvironmentVariables</key><dict><key>CUBBY_PROFILE</key><string>{}</string></dict>\n",
        escape(profile)
    );
    plist(&format!("cubby.app.{profile}"), &[&program, argument], &environment)
}

fn plist(label: &str, arguments: &[&str], more: &str) -> String {
    let strings: String = arguments.iter().map(|argument| format!("<string>{}</string>", escape(argument))).collect();
    let label = escape(label);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n  <key>Label</key><string>{label}</string>\n  <key>ProgramArguments</key>\n  \
         <array>{strings}</array>\n{more}  \
         <key>RunAtLoad</key><true/>\n  <key>ProcessType</key><string>Background</string>\n</dict>\n</plist>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Name and data of the registry value. Source: CommandLineToArgvW: a path cannot contain quotes on Windows.
pub fn registry_value(command: &Command) -> (String, String) {
    let data = format!("\"{}\" --profile {} up", command.program.display(), command.profile);
    (value_name(&command.profile), data)
}

/// The app's. A value has no environment: another profile than the default one takes the way through a shell.
fn app_value(command: &Command, argument: &str) -> (String, String) {
    let (program, profile) = (command.program.display(), &command.profile);
    let plain = format!("\"{program}\" {argument}");
    let data = match profile.as_str() {
        "default" => plain,
        _ => format!("cmd.exe /c \"set CUBBY_PROFILE={profile}&& start \"\" {plain}\""),
    };
    (app_value_name(profile), data)
}

fn app_value_name(profile: &str) -> String {
    format!("Cubby app {profile}")
}

fn value_name(profile: &str) -> String {
    format!("Cubby {profile}")
}

/// Where the user's session looks.
#[derive(Clone, Debug)]
pub struct Autostart {
    system: System,
}

/// Whoever starts programs at login.
#[derive(Clone, Debug, PartialEq, Eq)]
enum System {
    /// Both read from the user's configuration directory.
    Systemd(PathBuf),
    Desktop(PathBuf),
    /// The directory of launch agents.
    Launchd(PathBuf),
    /// The registry's `Run` key, by `reg.exe`.
    Registry,
}

/// Source: "Run and RunOnce Registry Keys".
const RUN_KEY: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";

impl Autostart {
    /// Of this user. `None`: no home directory.
    pub fn of_process() -> Option<Self> {
        if cfg!(windows) {
            return Some(Self { system: System::Registry });
        }
        let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if cfg!(target_os = "macos") {
            return Some(Self { system: System::Launchd(path("HOME")?.join("Library/LaunchAgents")) });
        }
        let config = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")))?;
        // Source: sd_booted(3).
        let systemd = Path::new("/run/systemd/system").is_dir();
        Some(Self { system: if systemd { System::Systemd(config) } else { System::Desktop(config) } })
    }

    /// Returns what was written, for people to look at.
    pub fn enable(&self, command: &Command) -> io::Result<PathBuf> {
        let profile = &command.profile;
        match &self.system {
            System::Systemd(config) => {
                let path = unit(config, profile);
                write(&path, &systemd_unit(command))?;
                let link = wanted(config, profile);
                fs::create_dir_all(link.parent().unwrap_or(config))?;
                let _ = fs::remove_file(&link);
                #[cfg(unix)]
                std::os::unix::fs::symlink(&path, &link)?;
                Ok(path)
            }
            System::Desktop(config) => {
                let path = entry(config, profile);
                write(&path, &desktop_entry(command)).map(|()| path)
            }
            System::Launchd(agents) => {
                let path = agent(agents, profile);
                write(&path, &launchd_plist(command)).map(|()| path)
            }
            System::Registry => {
                let (name, data) = registry_value(command);
                reg(&["add", RUN_KEY, "/v", &name, "/t", "REG_SZ", "/d", &data, "/f"])?;
                Ok(PathBuf::from(RUN_KEY).join(name))
            }
        }
    }

    /// Whatever [`Autostart::enable`] may have written, on this or another kind of system.
    pub fn disable(&self, profile: &str) -> io::Result<()> {
        match &self.system {
            System::Systemd(config) | System::Desktop(config) => {
                remove(&[wanted(config, profile), unit(config, profile), entry(config, profile)])
            }
            System::Launchd(agents) => remove(&[agent(agents, profile)]),
            System::Registry if !self.is_enabled(profile) => Ok(()),
            System::Registry => reg(&["delete", RUN_KEY, "/v", &value_name(profile), "/f"]),
        }
    }

    pub fn is_enabled(&self, profile: &str) -> bool {
        match &self.system {
            System::Systemd(config) | System::Desktop(config) => {
                wanted(config, profile).exists() || entry(config, profile).exists()
            }
            System::Launchd(agents) => agent(agents, profile).exists(),
            System::Registry => reg(&["query", RUN_KEY, "/v", &value_name(profile)]).is_ok(),
        }
    }

    /// The app as well as the machine, or without it.
    pub fn enable_app(&self, command: &Command, argument: &str) -> io::Result<PathBuf> {
        let Some(path) = self.app(&command.profile) else {
            let (name, data) = app_value(command, argument);
            reg(&["add", RUN_KEY, "/v", &name, "/t", "REG_SZ", "/d", &data, "/f"])?;
            return Ok(PathBuf::from(RUN_KEY).join(name));
        };
        let text = match &self.system {
            System::Launchd(_) => app_plist(command, argument),
            _ => app_entry(command, argument),
        };
        write(&path, &text).map(|()| path)
    }

    pub fn disable_app(&self, profile: &str) -> io::Result<()> {
        match self.app(profile) {
            Some(path) => remove(&[path]),
            None if !self.is_app_enabled(profile) => Ok(()),
            None => reg(&["delete", RUN_KEY, "/v", &app_value_name(profile), "/f"]),
        }
    }

    pub fn is_app_enabled(&self, profile: &str) -> bool {
        match self.app(profile) {
            Some(path) => path.exists(),
            None => reg(&["query", RUN_KEY, "/v", &app_value_name(profile)]).is_ok(),
        }
    }

    /// The app's file; `None` where it is a value.
    fn app(&self, profile: &str) -> Option<PathBuf> {
        match &self.system {
            System::Systemd(config) | System::Desktop(config) => {
                Some(config.join("autostart").join(format!("cubby-app-{profile}.desktop")))
            }
            System::Launchd(agents) => Some(agents.join(format!("cubby.app.{profile}.plist"))),
            System::Registry => None,
        }
    }
}

fn unit(config: &Path, profile: &str) -> PathBuf {
    config.join("systemd/user").join(format!("cubby-{profile}.service"))
}

fn wanted(config: &Path, profile: &str) -> PathBuf {
    config.join("systemd/user/default.target.wants").join(format!("cubby-{profile}.service"))
}

fn entry(config: &Path, profile: &str) -> PathBuf {
    config.join("autostart").join(format!("cubby-{profile}.desktop"))
}

fn agent(agents: &Path, profile: &str) -> PathBuf {
    agents.join(format!("cubby.{profile}.plist"))
}

fn remove(paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        match fs::remove_file(path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    Ok(())
}

/// The system's own tool: it comes with every Windows.
fn reg(arguments: &[&str]) -> io::Result<()> {
    let output = crate::local::windowless(std::process::Command::new("reg.exe").args(arguments)).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str) -> Command {
        Command { program: program.into(), profile: "work".into() }
    }

    #[test]
    fn odd_paths_stay_one_argument_on_every_system() {
        let odd = command("/opt/100% \"new\" $x/cubby");
        assert!(systemd_unit(&odd).contains(r#"ExecStart="/opt/100%% \"new\" $x/cubby" --profile work up"#));
        assert!(desktop_entry(&odd).contains(r#"Exec="/opt/100%% \\"new\\" \\$x/cubby" --profile work up"#));
        assert!(
            app_entry(&odd, "--hidden")
                .contains(r#"Exec=env CUBBY_PROFILE=work "/opt/100%% \\"new\\" \\$x/cubby" --hidden"#)
        );
        let plist = launchd_plist(&command("/Applications/A&B <x>.app/cubby"));
        assert!(plist.contains("<string>/Applications/A&amp;B &lt;x&gt;.app/cubby</string><string>--profile</string>"));
        let (name, data) = registry_value(&command(r"C:\Program Files\Cubby\cubby.exe"));
        assert_eq!(
            (name.as_str(), data.as_str()),
            ("Cubby work", r#""C:\Program Files\Cubby\cubby.exe" --profile work up"#)
        );
    }

    #[test]
    fn what_is_enabled_can_be_disabled_without_a_trace() {
        // The first is enabled by a link, which not everybody may make on Windows.
        for system in [System::Systemd, System::Desktop, System::Launchd].into_iter().skip(cfg!(windows).into()) {
            let dir = tempfile::tempdir().unwrap();
            let autostart = Autostart { system: system(dir.path().to_owned()) };
            assert!(!autostart.is_enabled("work"));
            for _ in 0..2 {
                let path = autostart.enable(&command("/usr/bin/cubby")).unwrap();
                assert!(fs::read_to_string(path).unwrap().contains("/usr/bin/cubby"));
            }
            assert!(autostart.is_enabled("work") && !autostart.is_enabled("default"));
            autostart.disable("work").unwrap();
            assert!(!autostart.is_enabled("work"));
            autostart.disable("work").unwrap();
        }
    }

    #[test]
    fn the_app_at_login_is_not_the_machine_at_login() {
        for system in [System::Systemd, System::Desktop, System::Launchd] {
            let dir = tempfile::tempdir().unwrap();
            let autostart = Autostart { system: system(dir.path().to_owned()) };
            let path = autostart.enable_app(&command("/usr/bin/cubby-app"), "--hidden").unwrap();
            let text = fs::read_to_string(path).unwrap();
            assert!(text.contains("CUBBY_PROFILE") && text.contains("--hidden"), "{text}");
            assert!(autostart.is_app_enabled("work") && !autostart.is_enabled("work"));
            autostart.disable_app("work").unwrap();
            autostart.disable_app("work").unwrap();
            assert!(!autostart.is_app_enabled("work"));
        }
        let (name, data) = app_value(&command(r"C:\Cubby\app.exe"), "--hidden");
        assert_eq!(name, "Cubby app work");
        assert_eq!(data, r#"cmd.exe /c "set CUBBY_PROFILE=work&& start "" "C:\Cubby\app.exe" --hidden""#);
    }
}
