// Engines elsewhere, all of them on the loopback: behind certificates, behind a real sshd, and behind a path that can be cut.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import path from "node:path";
import { createServer as createSecureServer } from "node:tls";
import { freePort } from "./place.mjs";

const openssl = (...parameters) => execFileSync("openssl", parameters, { stdio: "ignore" });

/** A certificate authority, a server's and a client's certificate, as docker names them. */
export function certificates(directory) {
  mkdirSync(directory);
  const at = (name) => path.join(directory, name);
  openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority", "-keyout", at("ca-key.pem"), "-out", at("ca.pem"));
  writeFileSync(at("names"), "subjectAltName = IP:127.0.0.1\n");
  for (const [name, subject] of [["server", "/CN=127.0.0.1"], ["client", "/CN=client"]]) {
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", at(`${name}-key.pem`), "-out", at(`${name}.csr`));
    openssl("x509", "-req", "-in", at(`${name}.csr`), "-CA", at("ca.pem"), "-CAkey", at("ca-key.pem"), "-CAcreateserial", "-days", "2", "-extfile", at("names"), "-out", at(`${name}-cert.pem`));
  }
  execFileSync("cp", [at("client-cert.pem"), at("cert.pem")]);
  execFileSync("cp", [at("client-key.pem"), at("key.pem")]);
  return at;
}

/** TLS in front of the engine, which asks for the client's certificate. */
export function terminate(at, socket) {
  const keys = { key: readFileSync(at("server-key.pem")), cert: readFileSync(at("server-cert.pem")), ca: readFileSync(at("ca.pem")) };
  const server = createSecureServer({ ...keys, requestCert: true, rejectUnauthorized: true }, (near) => {
    const far = connect(socket.replace("unix://", ""));
    near.pipe(far).pipe(near);
    for (const end of [near, far]) end.on("error", () => [near, far].forEach((one) => one.destroy()));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** sshd as this user, on the loopback; `ssh` of the suite knows its host and has a key for it. */
export async function sshd(place, socket) {
  const directory = path.join(place.home, "ssh");
  mkdirSync(directory, { mode: 0o700 });
  const at = (name) => path.join(directory, name);
  for (const name of ["host", "user"]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(name)]);
  execFileSync("cp", [at("user.pub"), at("authorized")]);
  const port = await freePort();
  // At any port: a cable may be in between.
  writeFileSync(at("known"), `[127.0.0.1]:* ${readFileSync(at("host.pub"), "utf8")}`);
  // The privilege separation directory, where no package's start script has made it.
  mkdirSync("/run/sshd", { recursive: true });
  writeFileSync(at("sshd.conf"), [`Port ${port}`, "ListenAddress 127.0.0.1", `HostKey ${at("host")}`, `AuthorizedKeysFile ${at("authorized")}`, "StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password", "PidFile none", "LogLevel INFO", `SetEnv DOCKER_HOST=${socket}`, ""].join("\n"));
  await place.start("/bin/sh", ["-c", `exec /usr/sbin/sshd -D -e -f '${at("sshd.conf")}' 2>&1`], /listening on/);
  // The system's own ssh, told where the suite's keys are: it does not ask $HOME.
  const bin = path.join(place.home, "bin");
  mkdirSync(bin);
  writeFileSync(path.join(bin, "ssh"), `#!/bin/sh\nexec /usr/bin/ssh -F none -i '${at("user")}' -o IdentitiesOnly=yes -o UserKnownHostsFile='${at("known")}' "$@"\n`);
  chmodSync(path.join(bin, "ssh"), 0o755);
  place.env.PATH = `${bin}:${place.env.PATH}`;
  return port;
}

/** In front of a port, here or over there: a cable. */
export class Way {
  #held = false;
  #cut = false;
  #ends = new Set();

  static async to(port) {
    const way = new Way();
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const [one, other] of [[near, far], [far, near]]) {
        way.#ends.add(one);
        one.on("data", (bytes) => way.#cut || other.write(bytes));
        one.on("error", () => {});
        one.on("close", () => {
          way.#ends.delete(one);
          if (!way.#cut) other.destroy();
        });
        if (way.#held) one.pause();
      }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    way.port = server.address().port;
    way.end = () => {
      server.close();
      for (const end of way.#ends) end.destroy();
    };
    return way;
  }

  /** What is sent waits: a path that is gone for a moment, or an engine that is slow. */
  hold() {
    this.#held = true;
    for (const end of this.#ends) end.pause();
  }

  /** Nothing was lost meanwhile. */
  release() {
    this.#held = false;
    for (const end of this.#ends) end.resume();
  }

  /** What is sent is lost, and nothing ends: a cable that was pulled. */
  cut() {
    this.#cut = true;
  }

  /** What went through before has lost bytes: it ends, as it would with the next packet. */
  mend() {
    this.#cut = false;
    for (const end of this.#ends) end.destroy();
  }
}
