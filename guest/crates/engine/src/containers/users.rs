//! Who a process runs as: `--user`, `--group-add` and the image's accounts.
//!
//! The files are the container's own and hostile: opened below its root without following links out of it, bounded, and
//! lines that make no sense skipped. Source: moby/sys/user `GetExecUser`.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// A larger account file is not read.
const MAX_BYTES: u64 = 4 << 20;
const MAX_ID: u32 = i32::MAX as u32;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// `gid` first.
    pub groups: Vec<u32>,
    pub home: String,
}

/// The text of `etc/passwd` and `etc/group`; absent files are empty.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Accounts {
    /// Reads the accounts below `root`. Blocking.
    pub fn read(root: impl AsFd) -> io::Result<Self> {
        Ok(Self { passwd: read(root.as_fd(), "etc/passwd")?, group: read(root.as_fd(), "etc/group")? })
    }

    /// # Errors
    /// The text dockerd gives for names that are not there.
    pub fn resolve(&self, user: &str, group_add: &[String]) -> Result<User, String> {
        let (user_part, group_part) = user.split_once(':').map_or((user, ""), |(user, group)| (user, group));
        let entry = self.users().find(|entry| match user_part {
            "" => entry.uid == 0,
            name => entry.name == name || name.parse() == Ok(entry.uid),
        });
        let mut found = match &entry {
            Some(entry) => User { uid: entry.uid, gid: entry.gid, home: entry.home.to_owned(), ..User::default() },
            None if user_part.is_empty() => User::default(),
            None => User { uid: self.number("user", user_part, "passwd")?, ..User::default() },
        };
        let mut more = Vec::new();
        if group_part.is_empty() {
            if let Some(entry) = entry.as_ref().filter(|_| !user_part.is_empty()) {
                let member = |group: &Group<'_>| group.members.split(',').any(|member| member == entry.name);
                more.extend(self.groups().filter(member).map(|group| group.gid));
            }
        } else {
            found.gid = self.gid(group_part)?;
        }
        for group in group_add {
            more.push(self.gid(group)?);
        }
        found.groups.push(found.gid);
        for gid in more {
            if !found.groups.contains(&gid) {
                found.groups.push(gid);
            }
        }
        if found.home.is_empty() {
            found.home = "/".to_owned();
        }
        Ok(found)
    }

    fn gid(&self, text: &str) -> Result<u32, String> {
        match self.groups().find(|group| group.name == text || text.parse() == Ok(group.gid)) {
            Some(group) => Ok(group.gid),
            None => self.number("group", text, "group"),
        }
    }

    fn number(&self, what: &str, text: &str, file: &str) -> Result<u32, String> {
        match text.parse::<i64>() {
            Ok(number) if (0..=i64::from(MAX_ID)).contains(&number) => Ok(number as u32),
            Ok(_) => Err("uids and gids must be in range 0-2147483647".to_owned()),
            Err(_) => Err(format!("unable to find {what} {text}: no matching entries in {file} file")),
        }
    }

    fn users(&self) -> impl Iterator<Item = Passwd<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(Passwd { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse().ok()?;
            Some(Group { name, gid, members: fields.next().unwrap_or_default() })
        })
    }
}

fn read(root: std::os::fd::BorrowedFd<'_>, path: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: OwnedFd =
        match openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                return Ok(String::new());
            }
            Err(error) => return Err(error.into()),
        };
    let file = File::from(file);
    if !file.metadata()?.is_file() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\nguest:x:1000:1001::/home/guest:/bin/sh\n".into(),
            group: "root:x:0:\nguest:x:1001:\nextra:x:2000:other,guest\n".into(),
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let guest = accounts().resolve("guest", &["2000".into(), "extra".into(), "7".into()]).unwrap();
        assert_eq!((guest.uid, guest.gid, guest.groups.as_slice()), (1000, 1001, [1001, 2000, 7].as_slice()));
        assert_eq!(guest.home, "/home/guest");
        assert_eq!(accounts().resolve("1000", &[]).unwrap().gid, 1001);
        assert_eq!(accounts().resolve("", &[]).unwrap().home, "/root");
        assert_eq!(accounts().resolve("guest:extra", &[]).unwrap().groups, [2000]);
        let stranger = accounts().resolve("1234:5678", &[]).unwrap();
        assert_eq!((stranger.uid, stranger.gid, stranger.home.as_str()), (1234, 5678, "/"));
    }

    #[test]
    fn unknown_names_are_refused_in_dockerds_words() {
        assert_eq!(
            accounts().resolve("nobody", &[]).unwrap_err(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert_eq!(
            accounts().resolve("root:nogroup", &[]).unwrap_err(),
            "unable to find group nogroup: no matching entries in group file"
        );
        assert!(accounts().resolve("-1", &[]).is_err());
        assert!(accounts().resolve("4294967296", &[]).is_err());
    }

    #[test]
    fn a_link_out_of_the_root_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("etc/group")).unwrap();
        std::os::unix::fs::symlink("group", dir.path().join("etc/passwd")).unwrap();
        let root = File::open(dir.path()).unwrap();
        assert_eq!(Accounts::read(&root).unwrap().passwd, "");
    }
}
