//! Documents from the command line: read with care, and checked against the backend's limits before anything is queued.

use std::io::Read;

use serde_json::Value;

use super::{report::Failure, world::Target};
use crate::model::{
    json::{self, Limits},
    rtdb,
};

/// Reads the argument of `put`, `patch` and `resolve --merged`: JSON itself, `-` for stdin, or `@FILE`.
pub(super) fn read_argument(argument: &str) -> Result<Value, Failure> {
    let (text, place) = match argument.strip_prefix('@') {
        _ if argument == "-" => (read_stdin()?, "standard input".to_owned()),
        Some(path) => {
            let read = std::fs::read(path).map_err(|error| Failure::io(format!("could not read `{path}`"), &error))?;
            (utf8(read, &format!("`{path}`"))?, format!("`{path}`"))
        }
        None => (argument.to_owned(), "the argument".to_owned()),
    };
    json::parse(&text, Limits::default()).map_err(|invalid| {
        let hint = match invalid.reason.contains("limit") {
            true => "split it into several records; `ebbtide import` reads files of many records",
            false => "strings stand in double quotes, names too; `-` reads standard input, `@FILE` a file",
        };
        Failure::usage(format!("{place} is no acceptable JSON")).because(invalid.to_string()).hint(hint)
    })
}

fn read_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let limit = Limits::default().bytes as u64 + 1;
    std::io::stdin()
        .lock()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io("could not read standard input", &error))?;
    utf8(bytes, "standard input")
}

fn utf8(bytes: Vec<u8>, place: &str) -> Result<String, Failure> {
    let text = String::from_utf8(bytes).map_err(|error| {
        Failure::usage(format!("{place} is not UTF-8"))
            .because(format!("byte {} begins no character", error.utf8_error().valid_up_to() + 1))
            .hint("save it as UTF-8 text")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Checks an id by the rules of the backend's keys.
pub(super) fn id(id: &str) -> Result<(), Failure> {
    rtdb::check_key(id).map_err(|reason| {
        Failure::usage(format!("`{id}` cannot be the id of a record")).because(reason).hint(
            "use letters, digits, `-` and `_`; at most 768 bytes, none of `. $ # [ ] /` and no control characters",
        )
    })
}

/// What the backend will hold of a document: normalised and within its limits. Refused here, not hours later there.
pub(super) fn document(target: &Target<'_>, id: &str, document: &Value) -> Result<Value, Failure> {
    let refuse =
        |cause: String| Failure::usage(format!("`{}/{id}` cannot be saved", target.collection.name)).because(cause);
    rtdb::check_document_below(target.collection.levels(), document).map_err(|error| {
        refuse(error.to_string()).hint("change that place; the server would refuse it, so nothing was queued")
    })?;
    rtdb::normalise(document).ok_or_else(|| {
        refuse("nothing would be left of it: null, `{}` and `[]` are not kept by the server".to_owned()).hint(format!(
            "to remove the record: {}",
            shell_words::join(["ebbtide", "delete", target.collection.name.as_str(), id])
        ))
    })
}
