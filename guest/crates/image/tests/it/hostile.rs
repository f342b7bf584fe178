//! Archives that mean harm, or are broken: each a clear error, nothing kept, nothing touched outside.

use std::{fs, path::Path};

use cubby_image::{Limits, archive};

use super::{
    build::{Head, Tar, docker_archive, gzip},
    is_pristine, store_with,
};

fn limits() -> Limits {
    Limits {
        layer_bytes: 64 << 20,
        layer_entries: 1000,
        header_bytes: 100_000,
        document_bytes: 100_000,
        archive_entries: 50,
        ..Limits::default()
    }
}

fn layers() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let sound = Tar::default().dir("a/").file("a/b", &[7; 2000]).end();
    let mut bad_sum = sound.clone();
    bad_sum[3] ^= 1;
    let huge = Head { size: u64::MAX >> 1, ..Head::new("huge", b'0') };
    let sparse = |map: &[u8]| {
        Tar::default().pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", b"100")]).file("sparse", b"0123456789").end()
    };
    let many = (0..1001).fold(Tar::default(), |tar, n| tar.file(&format!("f{n}"), b""));
    vec![
        ("parent", Tar::default().file("../x", b"x").end(), "leads out"),
        ("parent inside", Tar::default().dir("a/").file("a/../../x", b"x").end(), "leads out"),
        ("parent directory", Tar::default().dir("..").end(), "leads out"),
        ("absolute symlink as parent", Tar::default().symlink("e", "/etc").file("e/x", b"x").end(), "leads out"),
        ("relative symlink as parent", Tar::default().symlink("e", "../../..").file("e/x", b"x").end(), "leads out"),
        (
            "deep symlink as parent",
            Tar::default().dir("d/").symlink("d/e", "../..").file("d/e/x", b"x").end(),
            "leads out",
        ),
        (
            "proc symlink as parent",
            Tar::default().symlink("e", "/proc/self/root").file("e/tmp/x", b"x").end(),
            "leads out",
        ),
        ("symlinks in a circle", Tar::default().symlink("a", "b").symlink("b", "a").file("a/x", b"x").end(), "circles"),
        ("hard link out", Tar::default().hard_link("h", "../../../etc/passwd").end(), "leads out"),
        ("hard link to nothing", Tar::default().hard_link("h", "/etc/passwd").end(), "etc"),
        (
            "hard link through a symlink",
            Tar::default().symlink("e", "/etc").hard_link("h", "e/passwd").end(),
            "leads out",
        ),
        ("hard link to a directory", Tar::default().dir("d/").hard_link("h", "d").end(), "unpack"),
        ("whiteout of the parent", Tar::default().file("a/.wh...", b"").end(), "whiteout of nothing"),
        ("whiteout of itself", Tar::default().file(".wh..", b"").end(), "whiteout of nothing"),
        ("whiteout of nothing", Tar::default().file(".wh.", b"").end(), "whiteout of nothing"),
        ("whiteout out of the layer", Tar::default().symlink("e", "/").file("e/.wh.etc", b"").end(), "leads out"),
        ("root as a file", Tar::default().file("./", b"").raw(&Head::new(".", b'2'), b"").end(), "root"),
        (
            "owner of all ones",
            Tar::default().raw(&Head { uid: u64::from(u32::MAX), ..Head::new("x", b'0') }, b"").end(),
            "owner id",
        ),
        ("unknown kind", Tar::default().raw(&Head::new("x", b'Z'), b"").end(), "unhandled tar header type"),
        ("NUL in a name", Tar::default().pax(&[("path", b"a\0b")]).file("x", b"").end(), "NUL"),
        ("name too long", Tar::default().pax(&[("path", &[b'a'; 300])]).file("x", b"").end(), "unpack"),
        (
            "header too large",
            Tar::default().pax(&[("comment", &vec![b'a'; 200_000])]).file("x", b"").end(),
            "headers are larger",
        ),
        (
            "malformed PAX",
            Tar::default().raw(&Head { size: 5, ..Head::new("p", b'x') }, b"9 a=b").file("x", b"").end(),
            "malformed PAX",
        ),
        ("sparse beyond its end", sparse(b"0,5,200,5"), "sparse map"),
        ("sparse overlap", sparse(b"0,5,3,5"), "sparse map"),
        ("sparse overflow", sparse(b"18446744073709551615,10"), "sparse map"),
        ("sparse sum", sparse(b"0,5"), "sparse map"),
        ("too many entries", many.end(), "more than 1000 entries"),
        ("huge size", Tar::default().raw(&huge, b"").end(), "no space left"),
        ("negative size", Tar::default().raw(&Head { size: u64::MAX, ..Head::new("x", b'0') }, b"").end(), "size"),
        ("checksum", bad_sum, "not a tar header"),
        ("truncated header", sound[..700].to_vec(), "unexpected EOF"),
        ("truncated payload", sound[..1800].to_vec(), "unexpected EOF"),
        ("data behind the end", [&sound[..sound.len() - 512], &sound].concat(), "behind the end"),
        ("bomb", gzip(&Tar::default().file("zeros", &vec![0; 70 << 20]).end()), "unpacks to more than"),
        (
            "broken gzip",
            {
                let mut z = gzip(&sound);
                let n = z.len() / 2;
                z[n] ^= 0xff;
                z[n + 1] ^= 0xff;
                z
            },
            "corrupt",
        ),
        (
            "truncated gzip",
            {
                let z = gzip(&sound);
                z[..z.len() - 10].to_vec()
            },
            "unexpected EOF",
        ),
        ("bzip2", b"BZh91AY&SY".to_vec(), "bzip2"),
    ]
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

#[test]
fn hostile_layers_are_refused_and_leave_nothing() {
    for (name, layer, expected) in layers() {
        let Some((dir, store)) = store_with(limits()) else { return };
        let Err(error) = store.unpack(layer.as_slice()) else { panic!("{name} was unpacked") };
        let text = chain(&error);
        assert!(text.contains(expected), "{name}: {text}");
        assert!(is_pristine(dir.path()), "{name} left something");
    }
}

#[test]
fn nothing_outside_is_written_whatever_links_say() {
    let Some((dir, store)) = store_with(limits()) else { return };
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("target"), "untouched").unwrap();
    let target = outside.join("target");
    let target = target.to_str().unwrap();
    let tar = Tar::default()
        .symlink("link", target)
        .file("link", b"through a link")
        .symlink("other", target)
        .hard_link("hard", "other")
        .file("hard", b"through a hard link")
        .symlink("dir", outside.to_str().unwrap())
        .dir("dir/")
        .file("dir/new", b"x")
        .raw(&Head { mode: 0o777, uid: 1, ..Head::new("third", b'2') }, b"")
        .end();
    // The last symlink has no target: an error, after everything else was tried.
    assert!(store.unpack(tar.as_slice()).is_err());
    assert_eq!(fs::read_to_string(outside.join("target")).unwrap(), "untouched");
    assert_eq!(super::names(&outside), ["target"]);
}

fn load(data_root: &Path, archive: &[u8], expected: &str, name: &str) {
    let store = cubby_image::Store::open(data_root, limits()).unwrap();
    let error = match archive::load(archive, &store, &(), None, &|_| {}) {
        Ok(_) => panic!("{name} was loaded"),
        Err(error) => error,
    };
    let text = chain(&error);
    assert!(text.contains(expected), "{name}: {text}");
    assert!(is_pristine(data_root), "{name} left something");
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let Some((dir, _store)) = store_with(limits()) else { return };
    let layer = Tar::default().file("f", b"x").end();
    let other = Tar::default().file("f", b"y").end();
    let sound = docker_archive(&["a:1"], std::slice::from_ref(&layer));
    let config = super::build::config(std::slice::from_ref(&layer), "amd64");
    let manifest = |text: &str| {
        Tar::default().file("l.tar", &layer).file("c.json", &config).file("manifest.json", text.as_bytes()).end()
    };
    let lying = |digest: &str| Tar::default().file(&format!("blobs/sha256/{digest}"), &layer);
    let zeros = "0".repeat(64);
    let many = (0..60).fold(Tar::default(), |tar, n| tar.dir(&format!("d{n}/")));
    for (name, archive, expected) in [
        ("empty", Vec::new(), "no image archive"),
        ("no image archive", Tar::default().file("readme", b"hello").end(), "no image archive"),
        ("text", b"this is not an archive, whatever its name says. ".repeat(40), "not a tar header"),
        ("truncated", sound[..sound.len() / 2].to_vec(), "unexpected EOF"),
        ("truncated early", sound[..100].to_vec(), "unexpected EOF"),
        ("manifest no JSON", manifest("[{"), "not valid JSON"),
        ("manifest of another shape", manifest("{\"a\":1}"), "not valid JSON"),
        ("layer missing", manifest(r#"[{"Config":"c.json","RepoTags":["a"],"Layers":["m.tar"]}]"#), "m.tar is missing"),
        ("config missing", manifest(r#"[{"Config":"d.json","RepoTags":["a"],"Layers":["l.tar"]}]"#), "d.json is missing"),
        ("layer count", manifest(r#"[{"Config":"c.json","RepoTags":["a"],"Layers":[]}]"#), "layers length mismatch"),
        ("bad name", manifest(r#"[{"Config":"c.json","RepoTags":["A B"],"Layers":["l.tar"]}]"#), "invalid reference format"),
        ("config elsewhere", manifest(r#"[{"Config":"../../etc/passwd","RepoTags":["a"],"Layers":["l.tar"]}]"#), "leads out"),
        (
            "layer is another",
            Tar::default().file("l.tar", &other).file("c.json", &config).file("manifest.json", br#"[{"Config":"c.json","RepoTags":["a"],"Layers":["l.tar"]}]"#).end(),
            "does not match its digest",
        ),
        (
            "blob lies about its digest",
            lying(&zeros).file("c.json", &config).file("manifest.json", format!(r#"[{{"Config":"c.json","RepoTags":["a"],"Layers":["blobs/sha256/{zeros}"]}}]"#).as_bytes()).end(),
            "does not match its digest",
        ),
        (
            "manifest blob lies",
            Tar::default().file(&format!("blobs/sha256/{zeros}"), b"{}").file("index.json", format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{zeros}","size":2}}]}}"#).as_bytes()).end(),
            "does not match its digest",
        ),
        ("device in the archive", Tar::default().raw(&Head::new("d", b'3'), b"").end(), "no devices"),
        ("path out", Tar::default().file("../../x", b"{}").end(), "leads out"),
        ("document too large", Tar::default().file("manifest.json", &vec![b' '; 200_000]).end(), "has 200000 bytes"),
        ("too many entries", many.end(), "more than 50 entries"),
        ("before Docker 1.10", Tar::default().file("repositories", b"{}").end(), "before 1.10"),
        ("hostile layer", docker_archive(&["a"], &[Tar::default().file("../x", b"").end()]), "leads out"),
        ("second of two layers hostile", docker_archive(&["a"], &[layer.clone(), Tar::default().symlink("e", "/").file("e/x", b"").end()]), "leads out"),
        ("broken compression", gzip(&sound)[..300].to_vec(), "unexpected EOF"),
    ] {
        load(dir.path(), &archive, expected, name);
    }
}
