//! `cubby context`.

use cubby_host::context::Context as DockerContext;
use cubby_host::dirs::Dirs;

use crate::args::Context;
use crate::failure::Failure;
use crate::say;

pub fn run(dirs: &Dirs, command: Context) -> Result<(), Failure> {
    let context = DockerContext::of_process(dirs)?;
    let name = context.name().to_owned();
    match command {
        Context::Create => {
            context.create()?;
            eprintln!("Context {name} exists. Use it once: docker --context {name} ps   or always: cubby context use");
        }
        Context::Use => {
            context.make_current()?;
            eprintln!("docker uses context {name} now.");
            warn_if_overridden();
        }
        Context::Remove => {
            context.remove()?;
            eprintln!("Context {name} is gone.");
        }
        Context::Status { json } => {
            let status = context.status();
            if json {
                say!("{}", serde_json::to_string_pretty(&status)?);
            } else {
                say!(
                    "context      {name}: {}",
                    if status.exists { "exists" } else { "does not exist (cubby context create)" }
                );
                say!("in use       {}", if status.current { "yes" } else { "no" });
                say!("docker CLI   {}", if status.cli_found { "found" } else { "not on PATH" });
            }
        }
    }
    Ok(())
}

fn warn_if_overridden() {
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
        if std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
            eprintln!("note: {name} is set in this shell and wins over the context; unset it.");
        }
    }
}
