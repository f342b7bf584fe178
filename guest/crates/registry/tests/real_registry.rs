//! The client against a real registry (the distribution's `docker-registry`): plain, with passwords, and with TLS.
#![allow(clippy::unwrap_used)] // A failed step of a test may panic where it stands.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cubby_registry::{Access, Credentials, Error, Repository, Settings};
use tempfile::TempDir;

/// SHA-256 of `hello`, by coreutils.
const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

struct Server {
    process: Child,
    address: String,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server(options: impl FnOnce(&Path) -> (String, String)) -> Server {
    server_on("127.0.0.1", options)
}

fn server_on(ip: &str, options: impl FnOnce(&Path) -> (String, String)) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().to_string();
    let (http, auth) = options(dir.path());
    let storage = dir.path().join("storage");
    let config = format!(
        "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp:\n  addr: {address}\n{http}{auth}",
        storage.display()
    );
    let path = dir.path().join("config.yml");
    fs::write(&path, config).unwrap();
    let process = Command::new("docker-registry")
        .arg("serve")
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("package docker-registry is needed: scripts/test installs it");
    let server = Server { process, address, dir };
    let start = Instant::now();
    while std::net::TcpStream::connect(&server.address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "the registry does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

fn plain() -> Server {
    server(|_| (String::new(), String::new()))
}

fn with_password() -> Server {
    server(|dir| {
        fs::write(dir.join("htpasswd"), format!("user:{}\n", bcrypt("secret"))).unwrap();
        let auth = format!("auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n", dir.join("htpasswd").display());
        (String::new(), auth)
    })
}

/// The hash by an independent implementation.
fn bcrypt(password: &str) -> String {
    let script = "import crypt,sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))";
    let output = Command::new("python3").args(["-W", "ignore", "-c", script, password]).output().unwrap();
    let hash = String::from_utf8(output.stdout).unwrap().trim().replace("$2b$", "$2y$");
    assert!(hash.starts_with("$2y$"), "python3 made no bcrypt hash: {}", String::from_utf8_lossy(&output.stderr));
    hash
}

async fn open(server: &Server, access: Access, credentials: Credentials) -> Repository {
    Repository::open(&server.address, "team/app", access, credentials, &Settings::default()).await.unwrap()
}

async fn push_hello(repository: &Repository) -> Result<(), Error> {
    if repository.has_blob(HELLO).await? {
        return Ok(());
    }
    let Some(upload) = repository.mount_or_upload(HELLO, None).await? else { return Ok(()) };
    let chunks = ["hel", "lo"].map(|text| Ok(Bytes::from(text)));
    repository.upload(&upload, HELLO, 5, futures_util::stream::iter(chunks)).await
}

fn user(password: &str) -> Credentials {
    Credentials::Basic { username: "user".to_owned(), password: password.to_owned() }
}

#[tokio::test]
async fn what_is_pushed_comes_back_whole_and_in_parts() {
    let server = plain();
    let repository = open(&server, Access::Push, Credentials::Anonymous).await;
    push_hello(&repository).await.unwrap();
    assert!(repository.has_blob(HELLO).await.unwrap());
    for (offset, expected) in [(0, "hello"), (3, "lo")] {
        let mut blob = repository.blob(HELLO, offset).await.unwrap();
        assert_eq!(blob.offset, offset);
        let mut text = Vec::new();
        while let Some(chunk) = blob.chunk().await.unwrap() {
            text.extend_from_slice(&chunk);
        }
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{HELLO}","size":5}},"layers":[]}}"#
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let digest = repository.put_manifest("one", kind, Bytes::from(manifest.clone())).await.unwrap();
    let back = repository.manifest("one").await.unwrap();
    assert_eq!((back.media_type.as_str(), back.bytes.as_ref()), (kind, manifest.as_bytes()));
    assert_eq!(repository.manifest_digest("one").await.unwrap().map(|(digest, _)| digest), digest);
    let found = cubby_registry::search(&server.address, "app", 25, Credentials::Anonymous, &Settings::default()).await;
    assert_eq!(found.unwrap()[0].name, format!("{}/team/app", server.address));
    assert_eq!(repository.tags().await.unwrap(), ["one"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_a_wrong_digest_is_refused() {
    let server = plain();
    let repository = open(&server, Access::Push, Credentials::Anonymous).await;
    let missing = repository.manifest("nothing").await.unwrap_err();
    assert!(matches!(&missing, Error::NotFound(text) if text.starts_with("manifest unknown")), "{missing}");
    let upload = repository.mount_or_upload(HELLO, None).await.unwrap().unwrap();
    let wrong = futures_util::stream::iter([Ok(Bytes::from("other"))]);
    assert!(repository.upload(&upload, HELLO, 5, wrong).await.is_err());
    assert!(!repository.has_blob(HELLO).await.unwrap());
}

#[tokio::test]
async fn an_upload_goes_on_where_the_registry_says_it_is_unless_it_is_gone() {
    let server = plain();
    let repository = open(&server, Access::Push, Credentials::Anonymous).await;
    let upload = repository.mount_or_upload(HELLO, None).await.unwrap().unwrap();
    let upload = repository.resume(&upload).await.unwrap().unwrap();
    assert_eq!(upload.offset, 0);
    let broken = futures_util::stream::iter([Ok(Bytes::from("hel")), Err(std::io::ErrorKind::BrokenPipe.into())]);
    assert!(repository.upload(&upload, HELLO, 5, broken).await.is_err());
    // Why no more is said: this registry takes an upload whose request broke off for void once it has noticed.
    let _ = repository.resume(&upload).await;
    push_hello(&repository).await.unwrap();
}

#[tokio::test]
async fn passwords_are_wanted_and_checked() {
    let server = with_password();
    let refused = open(&server, Access::Pull, user("wrong")).await.manifest("one").await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorized(_)), "{refused}");
    let nobody = open(&server, Access::Pull, Credentials::Anonymous).await.manifest("one").await.unwrap_err();
    assert!(nobody.to_string().ends_with("no basic auth credentials"), "{nobody}");
    let repository = open(&server, Access::Push, user("secret")).await;
    repository.check().await.unwrap();
    push_hello(&repository).await.unwrap();
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository() {
    let server = plain();
    push_hello(&open(&server, Access::Push, Credentials::Anonymous).await).await.unwrap();
    let settings = Settings::default();
    let other = Repository::open(&server.address, "other", Access::Push, Credentials::Anonymous, &settings);
    let other = other.await.unwrap().with_sources(vec!["team/app".to_owned()]);
    assert!(other.mount_or_upload(HELLO, Some("team/app")).await.unwrap().is_none(), "mounted, no upload");
    assert!(other.has_blob(HELLO).await.unwrap());
}

/// Runs `work` in a network namespace of its own where 192.0.2.1 is local: an address that is not loopback, so that
/// certificates are verified, and that nobody outside can reach.
fn in_own_network(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root is needed for a network namespace");
        for arguments in ["link set lo up", "addr add 192.0.2.1/32 dev lo"] {
            assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
        }
        work();
    });
    thread.join().unwrap();
}

fn certificate(dir: &Path) -> (String, String) {
    made_certificate(dir, "basicConstraints=critical,CA:FALSE")
}

/// What Docker's handbook tells people to make: authority and server in one.
fn authority_as_server(dir: &Path) -> (String, String) {
    made_certificate(dir, "basicConstraints=critical,CA:TRUE")
}

fn made_certificate(dir: &Path, constraints: &str) -> (String, String) {
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=registry.test", "-addext", "subjectAltName=IP:192.0.2.1"])
        .args(["-addext", constraints])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()
        .expect("openssl is needed: scripts/test installs it");
    assert!(made.success());
    let tls = format!("  tls: {{ certificate: {}, key: {} }}\n", certificate.display(), key.display());
    (tls, String::new())
}

#[test]
fn a_certificate_counts_only_with_its_authority_and_plain_http_never() {
    in_own_network(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for kind in [certificate, authority_as_server] {
                let server = server_on("192.0.2.1", kind);
                let open = async |settings: Settings| {
                    Repository::open(&server.address, "app", Access::Pull, Credentials::Anonymous, &settings).await
                };
                let unknown = open(Settings::default()).await.unwrap_err();
                assert!(unknown.to_string().ends_with("x509: certificate signed by unknown authority"), "{unknown}");

                let everybodys = server.dir.path().join("extra.pem");
                let bad = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
                let good = fs::read_to_string(server.dir.path().join("cert.pem")).unwrap();
                fs::write(&everybodys, format!("{bad}{good}")).unwrap();
                let absent = server.dir.path().join("absent.pem");
                let trusting = Settings { authorities: vec![absent, everybodys], ..Settings::default() };
                open(trusting).await.unwrap().check().await.unwrap();

                let authorities = server.dir.path().join("certs.d");
                fs::create_dir_all(authorities.join(&server.address)).unwrap();
                fs::copy(server.dir.path().join("cert.pem"), authorities.join(&server.address).join("ca.crt")).unwrap();
                let trusting = Settings { certificates: vec![authorities], ..Settings::default() };
                open(trusting).await.unwrap().check().await.unwrap();
            }

            let plain = server_on("192.0.2.1", |_| (String::new(), String::new()));
            let settings = Settings::default();
            let refused = Repository::open(&plain.address, "app", Access::Pull, Credentials::Anonymous, &settings);
            let refused = refused.await.unwrap_err();
            assert!(refused.to_string().ends_with("http: server gave HTTP response to HTTPS client"), "{refused}");
        });
    });
}
