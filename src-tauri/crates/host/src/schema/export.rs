//! The TypeScript side of the schema, in one file.

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use ts_rs::{Config, TS, TypeVisitor};

use super::{ClientMessage, HostMessage, ShellCommand, ShellReply};

const HEADER: &str = "// Generated from src-tauri/crates/host/src/schema (`UPDATE_BINDINGS=1 cargo test -p cubby-host --lib bindings`). Do not edit.\n";

/// The file's name below `ui/src/bindings`.
const FILE: &str = "schema.ts";

/// The generated TypeScript, types in alphabetical order.
pub fn bindings() -> String {
    let config = Config::new().with_large_int("number");
    let mut declarations = Declarations { config, seen: HashSet::new(), by_name: BTreeMap::new() };
    declarations.visit::<ClientMessage>();
    declarations.visit::<HostMessage>();
    declarations.visit::<ShellCommand>();
    declarations.visit::<ShellReply>();
    let mut text = HEADER.to_owned();
    for declaration in declarations.by_name.values() {
        text.push('\n');
        text.push_str(declaration);
        text.push('\n');
    }
    text
}

/// Writes [`bindings`] into `directory`.
///
/// # Errors
/// When the directory cannot be made or the file not be written.
pub fn export(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join(FILE), bindings())
}

struct Declarations {
    config: Config,
    seen: HashSet<TypeId>,
    by_name: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        // Only our own types have an output path; `String`, `Vec<…>` and the like are written in place.
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let declaration = format!("{docs}export {}", T::decl(&self.config));
            self.by_name.insert(T::ident(&self.config), declaration);
        }
        T::visit_dependencies(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed file is what the types say now. On failure: `UPDATE_BINDINGS=1 cargo test -p cubby-host bindings`.
    #[test]
    fn committed_bindings_are_current() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../ui/src/bindings");
        if std::env::var_os("UPDATE_BINDINGS").is_some() {
            export(&directory).expect("bindings are writable");
        }
        let committed = std::fs::read_to_string(directory.join(FILE)).unwrap_or_default();
        assert!(committed == bindings(), "ui/src/bindings/{FILE} is stale; run the test with UPDATE_BINDINGS=1");
    }

    #[test]
    fn numbers_are_plain_numbers() {
        let text = bindings();
        assert!(!text.contains("bigint"), "{text}");
        assert!(text.contains("export type Container = "), "{text}");
        assert!(text.contains("\"type\": \"container_stop\""), "{text}");
    }
}
