//! What Docker's errors mean to a person.

use bollard::errors::Error;

use crate::schema::{AppError, ErrorCode, Remedy};

/// `title` says what did not happen.
pub fn app_error(title: &str, err: Error) -> AppError {
    let with = |code, detail: String, remedy| AppError { code, title: title.to_owned(), detail, remedy };
    match err {
        Error::DockerResponseServerError { status_code: 404, message } => with(ErrorCode::NotFound, message, None),
        // Our own proxy's answer: there is no machine to talk to.
        Error::DockerResponseServerError { status_code: 503, message } if message.contains("Cubby's machine") => {
            AppError { detail: message, ..AppError::machine_off() }
        }
        Error::DockerResponseServerError { message, .. } => {
            with(code(&message), message.trim().to_owned(), remedy(&message))
        }
        Error::HyperLegacyError { .. } | Error::SocketNotFoundError { .. } => AppError::machine_off(),
        err => with(ErrorCode::Failed, crate::hardware::chain(&err), None),
    }
}

/// The engine says more with its words than with its statuses. Source: moby's messages, which the engine keeps to.
fn code(message: &str) -> ErrorCode {
    if is_port_taken(message) {
        ErrorCode::PortTaken
    } else if message.contains("is already in use by container") {
        ErrorCode::NameTaken
    } else if message.contains("image is being used by") || message.contains("image is referenced in") {
        ErrorCode::ImageInUse
    } else {
        ErrorCode::Failed
    }
}

pub fn is_port_taken(message: &str) -> bool {
    message.contains("address already in use") || message.contains("port is already allocated")
}

fn remedy(message: &str) -> Option<Remedy> {
    if is_port_taken(message) {
        Some(Remedy::UseFreePort)
    } else if message.contains("no space left on device") {
        Some(Remedy::FreeSpace)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(status_code: u16, message: &str) -> ErrorCode {
        app_error("t", Error::DockerResponseServerError { status_code, message: message.into() }).code
    }

    #[test]
    fn docker_s_words_become_codes() {
        assert_eq!(code_of(404, "No such container: x"), ErrorCode::NotFound);
        assert_eq!(
            code_of(500, "failed to bind host port 0.0.0.0:80/tcp: address already in use"),
            ErrorCode::PortTaken
        );
        let name = "Conflict. The container name \"/a\" is already in use by container \"b\".";
        assert_eq!(code_of(409, name), ErrorCode::NameTaken);
        let image = "conflict: unable to delete x (must be forced) - image is being used by stopped container y";
        assert_eq!(code_of(409, image), ErrorCode::ImageInUse);
        assert_eq!(code_of(500, "boom"), ErrorCode::Failed);
        let off = crate::access::Unreachable::Off.to_string();
        assert_eq!(code_of(503, &off), ErrorCode::MachineOff);
    }
}
