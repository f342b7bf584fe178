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
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let program = escape(&command.program.display().to_string());
    let profile = escape(&command.profile);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n  <key>Label</key><string>cubby.{profile}</string>\n  <key>ProgramArguments</key>\n  \
         <array><string>{program}</string><string>--profile</string><string>{profile}</string><string>up</string></array>\n  \
         <key>RunAtLoad</key><true/>\n  <key>ProcessType</key><string>Background</string>\n</dict>\n</plist>\n"
    )
}

/// Name and data of the registry value. Source: CommandLineToArgvW: a path cannot contain quotes on Windows.
pub fn registry_value(command: &Command) -> (String, String) {
    let data = format!("\"{}\" --profile {} up", command.program.display(), command.profile);
    (format!("Cubby {}", command.profile), data)
}

/// Where the user's session looks.
#[derive(Clone, Debug)]
pub struct Autostart {
    config: PathBuf,
    systemd: bool,
}

impl Autostart {
    /// Of this user. `None`: no home directory.
    pub fn of_process() -> Option<Self> {
        let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")))?;
        // Source: sd_booted(3).
        Some(Self { config, systemd: Path::new("/run/systemd/system").is_dir() })
    }

    pub fn enable(&self, command: &Command) -> io::Result<PathBuf> {
        let (path, text) = match self.systemd {
            true => (self.unit(&command.profile), systemd_unit(command)),
            false => (self.entry(&command.profile), desktop_entry(command)),
        };
        write(&path, &text)?;
        if self.systemd {
            let link = self.wanted(&command.profile);
            fs::create_dir_all(link.parent().unwrap_or(&self.config))?;
            let _ = fs::remove_file(&link);
            #[cfg(unix)]
            std::os::unix::fs::symlink(&path, &link)?;
        }
        Ok(path)
    }

    /// Whatever [`Autostart::enable`] may have written, on this or another kind of system.
    pub fn disable(&self, profile: &str) -> io::Result<()> {
        for path in [self.wanted(profile), self.unit(profile), self.entry(profile)] {
            match fs::remove_file(&path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
        Ok(())
    }

    pub fn is_enabled(&self, profile: &str) -> bool {
        self.wanted(profile).exists() || self.entry(profile).exists()
    }

    /// The app as well as the machine, or without it.
    pub fn enable_app(&self, command: &Command, argument: &str) -> io::Result<PathBuf> {
        let path = self.app(&command.profile);
        write(&path, &app_entry(command, argument))?;
        Ok(path)
    }

    pub fn disable_app(&self, profile: &str) -> io::Result<()> {
        match fs::remove_file(self.app(profile)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    pub fn is_app_enabled(&self, profile: &str) -> bool {
        self.app(profile).exists()
    }

    fn app(&self, profile: &str) -> PathBuf {
        self.config.join("autostart").join(format!("cubby-app-{profile}.desktop"))
    }

    fn unit(&self, profile: &str) -> PathBuf {
        self.config.join("systemd/user").join(format!("cubby-{profile}.service"))
    }

    fn wanted(&self, profile: &str) -> PathBuf {
        self.config.join("systemd/user/default.target.wants").join(format!("cubby-{profile}.service"))
    }

    fn entry(&self, profile: &str) -> PathBuf {
        self.config.join("autostart").join(format!("cubby-{profile}.desktop"))
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
        for systemd in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let autostart = Autostart { config: dir.path().to_owned(), systemd };
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
        let dir = tempfile::tempdir().unwrap();
        let autostart = Autostart { config: dir.path().to_owned(), systemd: true };
        autostart.enable_app(&command("/usr/bin/cubby-app"), "--hidden").unwrap();
        assert!(autostart.is_app_enabled("work") && !autostart.is_enabled("work"));
        autostart.disable_app("work").unwrap();
        autostart.disable_app("work").unwrap();
        assert!(!autostart.is_app_enabled("work"));
    }
}
