//! Volumes on a real filesystem, as root.

use std::{os::unix::fs::MetadataExt, sync::Mutex as StdMutex};

use bollard_stubs::models::VolumeCreateOptions;

use super::*;
use crate::filters::Filters;

#[derive(Default)]
struct Users(StdMutex<Vec<(String, String)>>);

impl VolumeUsers for Users {
    fn volume_users(&self, volume: &str) -> Vec<String> {
        let users = self.0.lock().unwrap();
        users.iter().filter(|(name, _)| name == volume).map(|(_, id)| id.clone()).collect()
    }
}

struct Bench {
    dir: tempfile::TempDir,
    users: Arc<Users>,
    volumes: Arc<Volumes>,
}

fn open(dir: &Path, users: &Arc<Users>) -> Arc<Volumes> {
    let config = Config { data_root: dir.to_owned(), run_dir: dir.to_owned(), exe: PathBuf::new(), in_guest: false };
    let state = Arc::new(State::open(&dir.join("state.db")).unwrap());
    let volumes = Volumes::open(&config, state, Arc::default()).unwrap();
    let weak: Weak<Users> = Arc::downgrade(users);
    volumes.set_users(weak);
    volumes
}

impl Bench {
    fn new() -> Self {
        let (dir, users) = (tempfile::tempdir().unwrap(), Arc::default());
        let volumes = open(dir.path(), &users);
        Self { dir, users, volumes }
    }

    async fn create(&self, name: &str, options: &[(&str, &str)], labels: &[(&str, &str)]) -> PathBuf {
        let map =
            |pairs: &[(&str, &str)]| Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let name = (!name.is_empty()).then(|| name.to_owned());
        let request =
            VolumeCreateOptions { name, driver_opts: map(options), labels: map(labels), ..Default::default() };
        self.volumes.create(request).await.unwrap().mountpoint.into()
    }
}

#[tokio::test]
async fn a_volume_lives_until_nobody_uses_it() {
    let bench = Bench::new();
    let data = bench.create("data", &[], &[("a", "b")]).await;
    assert_eq!(bench.create("data", &[], &[]).await, data, "creating again finds it");
    fs::write(data.join("file"), b"12345").unwrap();
    bench.users.0.lock().unwrap().push(("data".into(), "c1".into()));
    let error = bench.volumes.remove("data", true).await.unwrap_err();
    assert_eq!(error.message(), "remove data: volume is in use - [c1]");
    let usage = bench.volumes.usage().await.unwrap().remove(0).usage_data.unwrap();
    assert_eq!((usage.size, usage.ref_count), (5, 1));

    let again = open(bench.dir.path(), &bench.users);
    assert_eq!(again.inspect("data").unwrap().labels["a"], "b");
    assert_eq!(fs::read(data.join("file")).unwrap(), b"12345");
    bench.users.0.lock().unwrap().clear();
    again.mount("data", "c2").await.unwrap();
    assert_eq!(again.remove("data", false).await.unwrap_err().message(), "remove data: volume is in use - [c2]");
    again.unmount("data", "c2").await;
    again.remove("data", false).await.unwrap();
    assert!(!data.exists());
    assert_eq!(again.inspect("data").unwrap_err().message(), "get data: no such volume");
    assert_eq!(again.remove("data", false).await.unwrap_err().message(), "get data: no such volume");
    again.remove("data", true).await.unwrap();
}

#[tokio::test]
async fn lists_and_prunes_follow_filters() {
    let bench = Bench::new();
    bench.create("named", &[], &[("keep", "")]).await;
    bench.create("other", &[], &[]).await;
    let anonymous = bench.create("", &[], &[]).await;
    fs::write(anonymous.join("file"), [0; 100]).unwrap();
    bench.users.0.lock().unwrap().push(("other".into(), "c1".into()));
    let names = |filters: &str| -> usize { bench.volumes.list(&Filters::parse(filters).unwrap()).unwrap().len() };
    assert_eq!([names(""), names(r#"{"dangling":["true"]}"#), names(r#"{"name":["ther"]}"#)], [3, 2, 1]);
    assert_eq!([names(r#"{"label":["keep"]}"#), names(r#"{"driver":["nfs"]}"#)], [1, 0]);
    assert!(bench.volumes.list(&Filters::parse(r#"{"bogus":["1"]}"#).unwrap()).is_err());

    let pruned = bench.volumes.prune(&Filters::default()).await.unwrap();
    assert_eq!((pruned.volumes_deleted.unwrap().len(), pruned.space_reclaimed), (1, Some(100)));
    let all = Filters::parse(r#"{"all":["true"],"label!":["keep"]}"#).unwrap();
    assert!(bench.volumes.prune(&all).await.unwrap().volumes_deleted.unwrap().is_empty());
    let all = Filters::parse(r#"{"all":["1"]}"#).unwrap();
    assert_eq!(bench.volumes.prune(&all).await.unwrap().volumes_deleted.unwrap(), ["named"]);
    assert_eq!(names(""), 1);
}

#[tokio::test]
async fn a_crash_between_directory_and_record_leaves_nothing() {
    let bench = Bench::new();
    let data = bench.create("kept", &[], &[]).await;
    let stray = bench.dir.path().join("volumes/stray/_data");
    fs::create_dir_all(&stray).unwrap();
    open(bench.dir.path(), &bench.users);
    assert!(data.exists() && !stray.exists());
}

#[tokio::test]
async fn filesystems_are_mounted_while_used_and_never_emptied_by_removal() {
    let bench = Bench::new();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("precious"), b"x").unwrap();
    let device = source.path().to_str().unwrap();
    let bound = bench.create("bound", &[("type", "none"), ("device", device), ("o", "bind,ro")], &[]).await;
    let memory =
        bench.create("memory", &[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,mode=0700")], &[]).await;
    for container in ["c1", "c2"] {
        assert_eq!(bench.volumes.mount("bound", container).await.unwrap(), bound);
        bench.volumes.mount("memory", container).await.unwrap();
    }
    assert!(bound.join("precious").exists());
    assert!(fs::write(bound.join("new"), b"").is_err(), "read-only");
    fs::write(memory.join("new"), b"").unwrap();
    assert_eq!(fs::metadata(&memory).unwrap().mode() & 0o777, 0o700);
    bench.volumes.unmount("bound", "c1").await;
    bench.volumes.unmount("memory", "c1").await;
    assert!(bound.join("precious").exists(), "the second container still has it");

    // As after a crash: mounted still, the engine's counts gone, and the volume is removed.
    let again = open(bench.dir.path(), &bench.users);
    again.remove("bound", false).await.unwrap();
    assert!(source.path().join("precious").exists() && !bound.exists());
    again.remount("memory", "c2");
    again.unmount("memory", "c2").await;
    assert!(fs::read_dir(&memory).unwrap().next().is_none(), "unmounted");
    again.remove("memory", false).await.unwrap();

    bench.create("broken", &[("type", "nosuchfs"), ("device", "none")], &[]).await;
    let error = bench.volumes.mount("broken", "c1").await.unwrap_err();
    assert!(error.message().starts_with("failed to mount local volume: mount none:"), "{error}");
    bench.volumes.remove("broken", false).await.unwrap();
}
