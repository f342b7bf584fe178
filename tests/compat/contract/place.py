"""Where a tour happens: an engine and registries of its own on this machine, gone afterwards."""

import contextlib
import crypt
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import wire


@contextlib.contextmanager
def engine(program):
    """A native engine; yields its address."""
    directory = tempfile.mkdtemp(prefix="cubby-contract-")
    host = f"unix://{directory}/docker.sock"
    with open(f"{directory}/engine.log", "w", encoding="utf-8") as log:
        command = [program, "engine", "--listen", host, "--data-root", f"{directory}/data", "--run-dir", f"{directory}/run"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until("the engine answers", lambda: answers(host, process))
            yield host
        except BaseException:
            print("--- log of the engine ---", log_of(host), sep="\n")
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            shutil.rmtree(directory)


def log_of(host):
    """The end of what an engine of ours has logged."""
    with open(host.removeprefix("unix://").replace("docker.sock", "engine.log"), encoding="utf-8") as text:
        return text.read()[-8000:]


def answers(host, process):
    if process.poll() is not None:
        raise RuntimeError(f"the engine ended with {process.returncode}")
    with contextlib.suppress(OSError):
        return wire.ask(host, "GET", "/_ping", {}, None).status == 200
    return False


@contextlib.contextmanager
def registry(password=None):
    """The distribution's registry on loopback; yields its address. With a password the user is `user`."""
    directory = tempfile.mkdtemp(prefix="cubby-contract-registry-")
    port = free_port()
    config = (f"version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {directory}/storage }} }}\n"
              f"http: {{ addr: '127.0.0.1:{port}' }}\n")
    if password:
        hashed = crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)).replace("$2b$", "$2y$")
        with open(f"{directory}/htpasswd", "w", encoding="utf-8") as file:
            file.write(f"user:{hashed}\n")
        config += f"auth: {{ htpasswd: {{ realm: contract, path: {directory}/htpasswd }} }}\n"
    with open(f"{directory}/config.yml", "w", encoding="utf-8") as file:
        file.write(config)
    process = subprocess.Popen(["docker-registry", "serve", f"{directory}/config.yml"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("the registry listens", lambda: listens(port))
        yield f"localhost:{port}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory)


@contextlib.contextmanager
def index():
    """What the Hub answers to searches (`/v1/search`), on loopback: the distribution has no program that does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = b'{"num_results":1,"query":"x","results":[{"name":"contract/x","description":"one","star_count":3,"is_official":false,"is_automated":false}]}'
            known = self.path.startswith("/v1/search")
            self.send_response(200 if known or self.path == "/v1/_ping" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def address(network, host):
    """In one of two networks of this process's own: tours may happen side by side on one kernel."""
    return f"10.213.{os.getpid() % 120 * 2 + network}.{host}"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def until(what, holds):
    """Waits for a condition; there is no hurry on a loaded machine."""
    deadline = time.monotonic() + wire.PATIENCE
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)
    return value


def programs_missing():
    """What is not installed of what a tour needs."""
    return [name for name, path in (("docker-registry", shutil.which("docker-registry")),
                                    ("busybox-static", os.path.exists("/bin/busybox"))) if not path]
