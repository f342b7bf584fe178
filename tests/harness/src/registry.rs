//! A real registry (the distribution's `docker-registry`) on this machine, reachable for the engine under test wherever
//! that runs.

use std::{
    fs,
    net::{IpAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

use crate::wait_for;

/// How the registry is to be spoken to.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistryOptions {
    /// TLS with a certificate for this address, signed by an authority of the registry's own.
    pub tls: Option<IpAddr>,
    /// Basic authentication: `user`, `secret`.
    pub password: bool,
    /// With TLS: only clients with a certificate of the registry's authority are let in.
    pub client_certificates: bool,
}

/// A running registry with an empty store; gone when dropped.
pub struct Registry {
    process: Mutex<Child>,
    dir: TempDir,
    pub port: u16,
}

impl Registry {
    /// Starts it on every address of this machine and waits until it listens.
    ///
    /// # Panics
    /// When the packages that `scripts/packages-test` lists are not installed.
    pub fn start(options: RegistryOptions) -> Self {
        let dir = tempfile::Builder::new().prefix("cubby-registry-").tempdir().expect("a temporary directory");
        let port = free_port();
        let mut config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }}, delete: {{ enabled: true }} }}\n\
             http:\n  addr: 0.0.0.0:{port}\n",
            dir.path().join("storage").display()
        );
        if let Some(address) = options.tls {
            certificates(dir.path(), address);
            let [cert, key, ca] = ["server.crt", "server.key", "ca.crt"].map(|name| dir.path().join(name));
            let clients =
                if options.client_certificates { format!(", clientcas: [{}]", ca.display()) } else { String::new() };
            config += &format!("  tls: {{ certificate: {}, key: {}{clients} }}\n", cert.display(), key.display());
        }
        if options.password {
            let file = dir.path().join("htpasswd");
            fs::write(&file, format!("user:{}\n", bcrypt("secret"))).expect("a file can be written");
            config += &format!("auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n", file.display());
        }
        fs::write(dir.path().join("config.yml"), config).expect("a file can be written");
        let process = Mutex::new(serve(dir.path()));
        let registry = Self { process, dir, port };
        registry.wait();
        registry
    }

    /// `kill -9`.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.kill().expect("the registry can be killed");
        process.wait().expect("the registry is ours to reap");
    }

    /// Starts it again after [`Registry::kill`], on the same port and store.
    pub fn restart(&self) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = serve(self.dir.path());
        self.wait();
    }

    /// The certificate of its authority, PEM.
    pub fn authority(&self) -> String {
        fs::read_to_string(self.dir.path().join("ca.crt")).expect("the registry has an authority")
    }

    /// Files of its certificate and key, PEM, with [`RegistryOptions::tls`]: good for whatever else listens at that address.
    pub fn server_certificate(&self) -> [PathBuf; 2] {
        ["server.crt", "server.key"].map(|name| self.dir.path().join(name))
    }

    /// A client's certificate of its authority, and the key, both PEM.
    pub fn client(&self) -> (String, String) {
        signed(self.dir.path(), "client", "extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n");
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).expect("it was just made");
        (read("client.crt"), read("client.key"))
    }

    /// The file that holds a blob, by its digest in hexadecimal.
    pub fn blob(&self, hex: &str) -> PathBuf {
        let blobs = self.dir.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    fn wait(&self) {
        wait_for("the registry to listen", Duration::from_secs(60), || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // Why without care: it may have been killed already.
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn serve(dir: &Path) -> Child {
    Command::new("docker-registry")
        .arg("serve")
        .arg(dir.join("config.yml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("package docker-registry is needed: scripts/test installs it")
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// How keys are made.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority, and a server's certificate that it signed.
fn certificates(dir: &Path, address: IpAddr) {
    let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"];
    openssl(dir, &[&authority, &KEY]);
    signed(dir, "server", &format!("subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n"));
}

/// `<name>.key`, and `<name>.crt` that the authority signed.
fn signed(dir: &Path, name: &str, extensions: &str) {
    let [key, request, certificate, with] = ["key", "csr", "crt", "ext"].map(|kind| format!("{name}.{kind}"));
    fs::write(dir.join(&with), extensions).expect("a file can be written");
    let subject = format!("/CN={name}");
    openssl(dir, &[&["req", "-new", "-subj", &subject, "-keyout", &key, "-out", &request], &KEY]);
    let sign = ["x509", "-req", "-days", "2", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(dir, &[&sign[..], &["-in", &request, "-extfile", &with, "-out", &certificate]]);
}

fn openssl(dir: &Path, arguments: &[&[&str]]) {
    let output = Command::new("openssl")
        .current_dir(dir)
        .args(arguments.concat())
        .output()
        .expect("package openssl is needed: scripts/test installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The hash of a password, by an implementation that is not the registry's.
fn bcrypt(password: &str) -> String {
    let script = "import crypt,sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))";
    let output = Command::new("python3")
        .args(["-W", "ignore", "-c", script, password])
        .output()
        .expect("package python3 is needed: scripts/test installs it");
    let hash = String::from_utf8_lossy(&output.stdout).trim().replace("$2b$", "$2y$");
    assert!(hash.starts_with("$2y$"), "python3 made no bcrypt hash: {}", String::from_utf8_lossy(&output.stderr));
    hash
}
