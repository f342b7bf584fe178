//! A create request that says something about everything.

use cubby_harness::IMAGE;
use serde_json::{Value, json};

pub fn create() -> Value {
    json!({
        "Image": IMAGE, "Cmd": ["true"], "Entrypoint": ["/bin/sh", "-c"], "Env": ["A=b"], "WorkingDir": "/tmp", "User": "0:0",
        "Hostname": "host", "Domainname": "example.org", "Tty": false, "OpenStdin": false, "StdinOnce": false,
        "AttachStdout": true, "StopSignal": "SIGTERM", "StopTimeout": 1, "Shell": ["/bin/sh"], "Labels": { "a": "b" },
        "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/anonymous": {} }, "MacAddress": "02:42:ac:11:00:09",
        "Healthcheck": { "Test": ["CMD", "true"], "Interval": 1_000_000_000, "Timeout": 1_000_000_000, "Retries": 2 },
        "HostConfig": limits(),
        "NetworkingConfig": { "EndpointsConfig": { "bridge": { "DriverOpts": { "a": "b" } } } },
    })
}

fn limits() -> Value {
    let mut host = json!({
        "Memory": 67_108_864, "MemorySwap": 67_108_864, "MemoryReservation": 33_554_432, "MemorySwappiness": 10,
        "CpuShares": 512, "CpuPeriod": 100_000, "CpuQuota": 50_000, "CpusetCpus": "0", "NanoCpus": 0, "PidsLimit": 100,
        "BlkioWeight": 0, "BlkioDeviceReadBps": [], "OomScoreAdj": 100, "OomKillDisable": false, "ShmSize": 1_048_576,
        "Ulimits": [{ "Name": "nofile", "Soft": 100, "Hard": 200 }], "Init": false, "AutoRemove": false,
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 }, "LogConfig": { "Type": "json-file", "Config": { "max-size": "1m" } },
    });
    let rest = json!({
        "Binds": ["hostile:/data:ro"], "Tmpfs": { "/run": "size=1m" }, "VolumesFrom": [],
        "Mounts": [{ "Type": "tmpfs", "Target": "/mnt", "TmpfsOptions": { "SizeBytes": 1_048_576, "Mode": 511 } }],
        "PortBindings": { "80/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "" }] }, "PublishAllPorts": false,
        "NetworkMode": "bridge", "PidMode": "", "IpcMode": "private", "UTSMode": "", "CgroupnsMode": "private", "UsernsMode": "",
        "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD"], "Privileged": false, "ReadonlyRootfs": false,
        "SecurityOpt": ["no-new-privileges"], "Sysctls": { "net.ipv4.ip_forward": "1" }, "GroupAdd": ["10"],
        "Devices": [{ "PathOnHost": "/dev/null", "PathInContainer": "/dev/other", "CgroupPermissions": "rwm" }],
        "DeviceCgroupRules": ["c 1:3 rwm"], "ExtraHosts": ["other:10.0.0.1"], "Dns": ["10.0.0.2"], "DnsSearch": ["example.org"],
        "DnsOptions": ["ndots:2"], "Annotations": { "a": "b" }, "StorageOpt": {}, "MaskedPaths": ["/proc/kcore"],
        "ReadonlyPaths": ["/proc/sys"], "ConsoleSize": [24, 80], "Isolation": "", "Runtime": "", "CgroupParent": "",
        "ContainerIDFile": "", "VolumeDriver": "", "Links": [],
    });
    if let (Value::Object(host), Value::Object(rest)) = (&mut host, rest) {
        host.extend(rest);
    }
    host
}
