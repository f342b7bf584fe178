"""Images and archives made on the spot."""

import hashlib
import io
import json
import os
import tarfile

IMAGE = "contract/busybox:latest"
APPLETS = "sh cat echo sleep true false touch ps top ls id mkdir rm stty"


def archive(files):
    """A tar of {name: bytes, or a link's target as text}."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            elif content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def busybox():
    """A root filesystem of one static program."""
    with open("/bin/busybox", "rb") as file:
        files = {"bin": None, "tmp": None, "etc": None, "bin/busybox": file.read()}
    files.update({f"bin/{applet}": "busybox" for applet in APPLETS.split()})
    return archive(files)


def saved(name=IMAGE):
    """What `docker save` would write of an image of [`busybox`]."""
    layer = busybox()
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        # As older builders wrote it: with what is a container's own, and with the one that the last step ran in.
        "container": "0" * 64,
        "container_config": {"Hostname": "builder", "Cmd": ["/bin/sh", "-c", "#(nop) "], "Tty": False},
        "docker_version": "20.10.24",
        "config": {"Hostname": "builder", "AttachStdin": False, "Image": "", "Volumes": None, "OnBuild": None, "Cmd": ["sh"], "Env": ["PATH=/bin"], "ExposedPorts": {"80/tcp": {}}, "Labels": {"of": "contract"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "busybox", "comment": "one"}],
    }).encode()
    file = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]}]
    return archive({"layer.tar": layer, file: config, "manifest.json": json.dumps(manifest).encode()})
