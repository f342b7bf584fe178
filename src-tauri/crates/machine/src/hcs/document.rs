//! The service's JSON: what we ask for, and what it says at the end.
//!
//! Source: "HCS schema reference" (schema 2.1): ComputeSystem, VirtualMachine, LinuxKernelDirect, HvSocketSystemConfig, Plan9.

use cubby_wire::ports;
use serde_json::{Value, json};

use super::service_id;
use crate::guest_words;
use crate::native::Ending;
use crate::spec::MachineSpec;

/// The first vsock port of the shared folders' servers; Windows serves each folder on a port of its own.
pub const FIRST_SHARE_PORT: u32 = 50_001;

/// Who may use the guest's ports: the system, administrators, Hyper-V administrators. Everybody else on this computer may not:
/// the guest's Docker API is behind one of them. Source: "Security Descriptor String Format", well-known SIDs.
const ACCESS: &str = "D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;S-1-5-32-578)";

/// Source: Plan9ShareFlags: links are followed by the guest alone, Linux metadata is kept.
const LINUX_METADATA: u32 = 4;

/// Names that belong to one power cycle.
#[derive(Clone, Debug)]
pub struct Names {
    /// The network endpoint; `None`: the guest has no network.
    pub endpoint: Option<String>,
    pub console_pipe: String,
}

/// The machine as the service wants it.
pub fn machine(spec: &MachineSpec, names: &Names) -> Value {
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let shares: Vec<Value> = spec.shares.iter().enumerate().map(|(at, folder)| share(at, &path(folder))).collect();
    let mut devices = json!({
        "Scsi": {"0": {"Attachments": {"0": {"Type": "VirtualDisk", "Path": path(&spec.data_disk.path)}}}},
        "HvSocket": {"HvSocketConfig": {
            "DefaultBindSecurityDescriptor": ACCESS,
            "DefaultConnectSecurityDescriptor": ACCESS,
            "ServiceTable": services(),
        }},
        "ComPorts": {"0": {"NamedPipe": names.console_pipe}},
    });
    if !shares.is_empty() {
        devices["Plan9"] = json!({"Shares": shares});
    }
    if let Some(endpoint) = &names.endpoint {
        devices["NetworkAdapters"] = json!({endpoint: {"EndpointId": endpoint}});
    }
    json!({
        "Owner": "Cubby",
        "SchemaVersion": {"Major": 2, "Minor": 1},
        // A machine never outlives the process that started it.
        "ShouldTerminateOnLastHandleClosed": true,
        "VirtualMachine": {
            "StopOnReset": true,
            "Chipset": {"LinuxKernelDirect": {
                "KernelFilePath": path(&spec.image.kernel),
                "InitRdPath": path(&spec.image.initramfs),
                "KernelCmdLine": command_line(spec, names.endpoint.is_some()),
            }},
            "ComputeTopology": {
                // Overcommitted: pages that the guest never touched, or gave back, belong to the host.
                "Memory": {"SizeInMB": memory_mib(spec.memory_mib), "AllowOvercommit": true, "EnableColdDiscardHint": true},
                "Processor": {"Count": spec.cpus.max(1)},
            },
            "Devices": devices,
        },
    })
}

/// The service takes even numbers only.
fn memory_mib(wanted: u32) -> u32 {
    wanted.max(256).next_multiple_of(2)
}

/// Ports that either side listens on. Why each by name: an id that the table does not have can be opened by the guest with
/// the defaults, and by nobody with wildcards.
fn services() -> Value {
    let numbers = [ports::DOCKER_API, ports::CONTROL, ports::FORWARD, ports::FILES, ports::BOOT, ports::PUBLISH];
    let rule = json!({
        "BindSecurityDescriptor": ACCESS,
        "ConnectSecurityDescriptor": ACCESS,
        "AllowWildcardBinds": false,
    });
    numbers.into_iter().map(|port| (service_id::text(service_id::of_port(port)), rule.clone())).collect()
}

fn share(at: usize, folder: &str) -> Value {
    let (name, port) = (format!("share{at}"), share_port(at));
    // As people write it: only some of the system's programs take the long form.
    let folder = folder.strip_prefix(r"\\?\").unwrap_or(folder);
    json!({"Name": name, "AccessName": name, "Path": folder, "Port": port, "Flags": LINUX_METADATA})
}

fn share_port(at: usize) -> u32 {
    FIRST_SHARE_PORT + u32::try_from(at).unwrap_or(0)
}

fn command_line(spec: &MachineSpec, network: bool) -> String {
    let mut words = vec![spec.image.cmdline.trim().to_owned(), "cubby.data=/dev/sda".to_owned()];
    // Hyper-V's own switch hands out addresses by DHCP.
    words.push(if network { "ip=dhcp cubby.net=kernel" } else { "cubby.net=off" }.to_owned());
    for (at, folder) in spec.shares.iter().enumerate() {
        if let Some(guest) = cubby_share_device::paths::of_windows(&folder.to_string_lossy()) {
            words.push(guest_words::share_9p(&format!("share{at}"), share_port(at), &guest));
        }
    }
    words.push(spec.extra_cmdline.trim().to_owned());
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// The endpoint's settings on the system's own switch.
pub fn endpoint(network: &str) -> Value {
    json!({"SchemaVersion": {"Major": 2, "Minor": 0}, "HostComputeNetwork": network})
}

/// What the end of a machine means. Source: SystemExitStatus: `ExitType` is GracefulExit, ForcedExit, UnexpectedExit, Reset.
pub fn ending(text: &str) -> Ending {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    // NotificationType in answers of an older service.
    let kind = ["ExitType", "Type"].iter().find_map(|name| document[*name].as_str()).unwrap_or_default();
    match kind {
        "GracefulExit" => Ending::PoweredOff,
        "Reset" => Ending::Reset,
        "ForcedExit" => Ending::Killed,
        _ => Ending::Failed(said(&document).unwrap_or_else(|| text.chars().take(500).collect())),
    }
}

/// The service's words about a failed operation.
pub fn failure(text: &str) -> Option<String> {
    said(&serde_json::from_str(text).ok()?)
}

fn said(document: &Value) -> Option<String> {
    let events = document["ErrorEvents"].as_array().into_iter().flatten();
    let words: Vec<&str> = [&document["ErrorMessage"]]
        .into_iter()
        .chain(events.map(|event| &event["Message"]))
        .filter_map(Value::as_str)
        .map(str::trim)
        .filter(|words| !words.is_empty())
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::spec;

    fn names(endpoint: Option<&str>) -> Names {
        Names { endpoint: endpoint.map(str::to_owned), console_pipe: r"\\.\pipe\x".into() }
    }

    #[test]
    fn a_machine_has_exactly_these_devices() {
        let document = machine(&spec(), &names(Some("e1")));
        assert_eq!(document["ShouldTerminateOnLastHandleClosed"], true);
        let machine = &document["VirtualMachine"];
        assert_eq!(machine["Chipset"]["LinuxKernelDirect"]["KernelFilePath"], "/img/ker,nel");
        assert_eq!(
            machine["Chipset"]["LinuxKernelDirect"]["KernelCmdLine"],
            "console=hvc0 quiet cubby.data=/dev/sda ip=dhcp cubby.net=kernel loglevel=7"
        );
        assert_eq!(machine["ComputeTopology"]["Memory"]["SizeInMB"], 1024);
        let devices: Vec<&String> = machine["Devices"].as_object().unwrap().keys().collect();
        assert_eq!(devices, ["ComPorts", "HvSocket", "NetworkAdapters", "Scsi"]);
        assert_eq!(machine["Devices"]["NetworkAdapters"]["e1"]["EndpointId"], "e1");
        let alone = super::machine(&spec(), &names(None));
        assert_eq!(alone["VirtualMachine"]["Devices"]["NetworkAdapters"], Value::Null);
    }

    #[test]
    fn every_port_of_ours_is_in_the_table_and_wildcards_are_not() {
        let document = machine(&spec(), &names(None));
        let table = &document["VirtualMachine"]["Devices"]["HvSocket"]["HvSocketConfig"]["ServiceTable"];
        let docker = &table["00000947-facb-11e6-bd58-64006a7986d3"];
        assert_eq!(docker["AllowWildcardBinds"], false);
        assert!(!docker["ConnectSecurityDescriptor"].as_str().unwrap().contains("WD"), "not everyone");
        assert_eq!(table.as_object().unwrap().len(), 6);
    }

    #[test]
    fn an_endpoint_names_its_network() {
        assert_eq!(endpoint("n1")["HostComputeNetwork"], "n1");
    }

    #[test]
    fn memory_is_even() {
        assert_eq!((memory_mib(1023), memory_mib(1024), memory_mib(1)), (1024, 1024, 256));
    }

    #[test]
    fn shares_have_a_server_each() {
        let share = share(2, r"\\?\C:\Users\jo");
        assert_eq!((&share["Port"], &share["AccessName"]), (&json!(50_003), &json!("share2")));
        assert_eq!(share["Path"], r"C:\Users\jo");
    }

    #[test]
    fn ends_are_told_apart() {
        assert_eq!(ending(r#"{"Status":0,"ExitType":"GracefulExit"}"#), Ending::PoweredOff);
        assert_eq!(ending(r#"{"Type":"Reset"}"#), Ending::Reset);
        assert_eq!(ending(r#"{"ExitType":"ForcedExit"}"#), Ending::Killed);
        let failed =
            r#"{"ExitType":"UnexpectedExit","ErrorMessage":"triple fault","ErrorEvents":[{"Message":" bug "},{}]}"#;
        assert_eq!(ending(failed), Ending::Failed("triple fault; bug".into()));
        assert_eq!(ending("gibberish"), Ending::Failed("gibberish".into()));
        assert_eq!(failure(r#"{"ErrorMessage":""}"#), None);
    }
}
