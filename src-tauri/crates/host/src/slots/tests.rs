use super::*;

struct Case {
    dir: tempfile::TempDir,
    slots: Slots,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(dir.path(), &dir.path().join("data.raw"));
        fs::write(dir.path().join("data.raw"), "data").unwrap();
        Self { dir, slots }
    }

    fn image(&self, version: &str, data_format: u32) -> GuestImage {
        let dir = self.dir.path().join(format!("installed-{version}"));
        fs::create_dir_all(&dir).unwrap();
        let part = |file: &str| {
            fs::write(dir.join(file), file).unwrap();
            serde_json::json!({"file": file, "bytes": file.len(), "sha256": ""})
        };
        let manifest = serde_json::json!({
            "format": 1, "arch": "x86_64", "version": version, "kernel_release": "6.12", "cmdline": "",
            "data_format": data_format,
            "kernel": part("vmlinuz"), "initramfs": part("initramfs"), "data_template": part("data"),
        });
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
        GuestImage::open(&dir).unwrap()
    }

    fn choose(&self, image: &GuestImage) -> Choice {
        self.slots.choose(Ok(image.clone())).unwrap()
    }

    /// What the machine does before it powers on.
    fn begin(&self, image: &GuestImage) -> Choice {
        let choice = self.choose(image);
        if choice.trial {
            self.slots.begin(image).unwrap();
        }
        choice
    }

    fn data(&self) -> String {
        fs::read_to_string(self.dir.path().join("data.raw")).unwrap()
    }

    fn write_data(&self, text: &str) {
        fs::write(self.dir.path().join("data.raw"), text).unwrap();
    }
}

fn missing() -> Result<GuestImage, ImageError> {
    GuestImage::open(Path::new("/nowhere"))
}

#[test]
fn the_first_image_is_kept_once_it_worked_and_boots_without_ado_from_then_on() {
    let case = Case::new();
    let one = case.image("1", 1);
    let first = case.choose(&one);
    assert!(first.trial && first.notice.is_none());
    assert!(!case.slots.failed(&one, "no QEMU").unwrap(), "there is nothing to fall back to");
    case.slots.proved(&one).unwrap();
    let again = case.choose(&one);
    assert!(!again.trial && again.image == one);
    let kept = case.slots.choose(missing()).unwrap();
    assert_eq!(kept.image.version, "1", "an installation that is broken does not keep the machine from starting");
    assert!(kept.notice.unwrap().contains("cannot be used"));
}

#[test]
fn an_image_that_works_takes_over_and_the_old_one_goes() {
    let case = Case::new();
    let (one, two) = (case.image("1", 1), case.image("2", 1));
    case.slots.proved(&one).unwrap();
    assert!(case.choose(&two).trial);
    case.slots.proved(&two).unwrap();
    assert!(!case.choose(&two).trial);
    let kept: Vec<_> = fs::read_dir(case.dir.path().join("images")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(kept, [two.id.as_str()]);
}

#[test]
fn an_image_that_fails_is_taken_back_with_its_data_and_not_tried_again() {
    let case = Case::new();
    let (one, two) = (case.image("1", 1), case.image("2", 2));
    case.slots.proved(&one).unwrap();
    assert!(case.begin(&two).trial);
    case.write_data("made new, and broken");
    assert!(case.slots.failed(&two, "The kernel panicked.").unwrap());
    assert_eq!(case.data(), "data", "the copy from before the trial is back");
    for _ in 0..2 {
        let after = case.choose(&two);
        assert_eq!((after.image.version.as_str(), after.trial), ("1", false));
        let notice = after.notice.unwrap();
        assert!(notice.contains("upgrade to 2") && notice.contains("The kernel panicked."), "{notice}");
    }
    assert!(case.choose(&case.image("3", 1)).trial, "yet another image has its own chance");
}

#[test]
fn a_trial_that_nobody_saw_end_is_tried_once_more_and_then_taken_back() {
    let case = Case::new();
    let (one, two) = (case.image("1", 1), case.image("2", 2));
    case.slots.proved(&one).unwrap();
    assert!(case.begin(&two).trial);
    case.write_data("half way");
    assert!(case.begin(&two).trial);
    let third = case.begin(&two);
    assert_eq!((third.image.version.as_str(), third.trial), ("1", false));
    assert_eq!(case.data(), "data");
}

#[test]
fn data_of_a_newer_format_is_refused_by_an_older_image() {
    let case = Case::new();
    let (one, two) = (case.image("1", 1), case.image("2", 2));
    case.slots.proved(&two).unwrap();
    let refused = case.slots.choose(Ok(one)).unwrap_err();
    assert!(matches!(refused, SlotError::Downgrade { data: 2, image: 1 }), "{refused}");
    assert!(refused.to_string().contains("install the newer version"), "{refused}");
    assert_eq!(case.data(), "data");
    assert!(!case.choose(&two).trial, "and the newer one works as before");
}

#[test]
fn a_host_that_cannot_run_machines_is_no_fault_of_the_image() {
    let case = Case::new();
    let (one, two) = (case.image("1", 1), case.image("2", 1));
    case.slots.proved(&one).unwrap();
    for _ in 0..5 {
        assert!(case.choose(&two).trial, "chosen, but never powered on");
    }
}
