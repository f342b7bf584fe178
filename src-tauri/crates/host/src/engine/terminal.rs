//! A shell in a container.

use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::endpoint::Endpoint;
use super::errors::app_error;
use crate::schema::{AppError, OpenTerminal, StreamItem, Terminal, TerminalInput};

/// A few items, so that whoever does not receive holds the process back.
const QUEUE: usize = 4;
const INPUT_QUEUE: usize = 64;
const MAX_ITEM_BYTES: usize = 32 * 1024;

/// Best first.
const SHELLS: [&str; 4] = ["bash", "sh", "ash", "/busybox/sh"];

/// `way`, which leads to the engine, is held until the shell ends: another engine may be chosen meanwhile.
pub async fn open(docker: &Docker, way: Endpoint, open: OpenTerminal) -> Result<Terminal, AppError> {
    const TITLE: &str = "The terminal could not be opened";
    let failed = |err| app_error(TITLE, err);
    let shell = match open.shell {
        Some(shell) => shell,
        None => vec![best_shell(docker, &open.container).await.map_err(failed)?.ok_or_else(|| {
            AppError::failed(TITLE, "there is no shell in this container's image; many small images have none")
        })?],
    };
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(true),
        env: Some(vec!["TERM=xterm-256color".to_owned()]),
        cmd: Some(shell),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(&open.container, options).await.map_err(failed)?.id;
    let start = StartExecOptions { detach: false, tty: true, output_capacity: Some(MAX_ITEM_BYTES) };
    let StartExecResults::Attached { mut output, input } =
        docker.start_exec(&exec, Some(start)).await.map_err(failed)?
    else {
        return Err(AppError::failed(TITLE, "the engine did not attach"));
    };
    resize(docker, &exec, open.columns, open.rows).await;

    let (items, stream) = mpsc::channel(QUEUE);
    let (keys, typed) = mpsc::channel(INPUT_QUEUE);
    let writing = tokio::spawn(write(docker.clone(), exec.clone(), input, typed));
    let docker = docker.clone();
    tokio::spawn(async move {
        let mut last = None;
        loop {
            let part = tokio::select! {
                part = output.next() => part,
                // Nobody looks any more: dropping both directions hangs the shell up.
                () = items.closed() => break,
            };
            match part {
                Some(Ok(part)) => {
                    for bytes in part.into_bytes().chunks(MAX_ITEM_BYTES) {
                        if items.send(StreamItem::Bytes(bytes.to_vec())).await.is_err() {
                            break;
                        }
                    }
                }
                Some(Err(err)) => {
                    last = Some(StreamItem::Broken { error: app_error("The terminal broke", err) });
                    break;
                }
                None => {
                    let exit_code = docker.inspect_exec(&exec).await.ok().and_then(|exec| exec.exit_code);
                    last = Some(StreamItem::Ended { exit_code: exit_code.and_then(|code| i32::try_from(code).ok()) });
                    break;
                }
            }
        }
        writing.abort();
        if let Some(last) = last {
            let _ = items.send(last).await;
        }
        drop(way);
    });
    Ok(Terminal { output: stream, input: keys })
}

/// The first shell that runs. Why try: only the container's own files and path know, and one shell's script to find another
/// asks more of it than the smallest can do.
async fn best_shell(docker: &Docker, container: &str) -> Result<Option<String>, Error> {
    for shell in SHELLS {
        let options =
            CreateExecOptions { cmd: Some(vec![shell, "-c", ":"]), attach_stdout: Some(true), ..Default::default() };
        let exec = docker.create_exec(container, options).await?.id;
        match docker.start_exec(&exec, None).await {
            Ok(StartExecResults::Attached { mut output, .. }) => while output.next().await.is_some() {},
            Ok(StartExecResults::Detached) => {}
            // A program that does not exist is refused at the start.
            Err(Error::DockerResponseServerError { .. }) => continue,
            Err(err) => return Err(err),
        }
        if docker.inspect_exec(&exec).await?.exit_code == Some(0) {
            return Ok(Some(shell.to_owned()));
        }
    }
    Ok(None)
}

/// Types until nobody does any more, which closes the shell's input.
async fn write(
    docker: Docker,
    exec: String,
    mut input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
    mut typed: mpsc::Receiver<TerminalInput>,
) {
    while let Some(next) = typed.recv().await {
        match next {
            TerminalInput::Text { text } => {
                if input.write_all(text.as_bytes()).await.is_err() || input.flush().await.is_err() {
                    return;
                }
            }
            TerminalInput::Resize { columns, rows } => resize(&docker, &exec, columns, rows).await,
        }
    }
    let _ = input.shutdown().await;
}

/// A size that is not taken is no reason to end a terminal.
async fn resize(docker: &Docker, exec: &str, columns: u16, rows: u16) {
    let size = ResizeExecOptions { height: rows, width: columns };
    if let Err(err) = docker.resize_exec(exec, size).await {
        tracing::debug!(%err, "the terminal's size could not be set");
    }
}
