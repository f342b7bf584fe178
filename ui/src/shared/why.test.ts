import { expect, it } from "vitest";
import { en } from "./i18n/en";
import { why } from "./why";

it("recognises what engines and registries say", () => {
  expect(why("Get \"https://registry-1.docker.io/v2/\": dns error: failed to lookup address information")).toBe(en["why.offline"]);
  expect(why("pull access denied for x, repository does not exist or may require 'docker login'")).toBe(en["why.login"]);
  expect(why("manifest for nginx:nope not found: manifest unknown")).toBe(en["why.no_image"]);
  expect(why("invalid pool request: Pool overlaps with other one on this address space")).toBe(en["why.subnet"]);
  expect(why('failed to create shim task: OCI runtime create failed: unable to start container process: exec: "/x": stat /x: no such file or directory: unknown')).toBe(en["why.no_program"]);
  expect(why('unable to start container process: exec: "curl": executable file not found in $PATH')).toBe(en["why.no_program"]);
  expect(why('unable to start container process: exec: "/app": permission denied: unknown')).toBe(en["why.not_executable"]);
  expect(why("exec /app: exec format error")).toBe(en["why.processor"]);
  expect(why('Conflict. The container name "/web" is already in use by container "4f1c". You have to remove (or rename) it')).toBe(en["why.name_taken"]);
  expect(why("denied: requested access to the resource is denied")).toBe(en["why.login"]);
  expect(why("open /var/lib/bottles: permission denied")).toBeUndefined();
  expect(why("on this computer: /media/stick/all.img: No space left on device (os error 28)")).toBe(en["why.space_here"]);
  expect(why("on this computer: /media/stick/all.img: no storage space")).toBe(en["why.space_here"]);
  expect(why("on this computer: /root/all.img: Permission denied (os error 13)")).toBe(en["why.not_writable"]);
  expect(why("on this computer: /gone/all.img: No such file or directory (os error 2)")).toBe(en["why.no_place"]);
  expect(why("write /var/lib/x: no space left on device")).toBe(en["why.space"]);
  expect(why("boom")).toBeUndefined();
});
