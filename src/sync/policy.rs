//! What an answer means: the one table of page 3, and when a pull asks before it deletes.

use std::{borrow::Cow, time::Duration};

use serde_json::Value;

use crate::{
    merge,
    model::{
        ids::Revision,
        op::{OpError, OpKind},
        rtdb,
        source::SourceKind,
        time::Timestamp,
        wire::{Answer, Link, ReadError, Trouble},
    },
    sync::connectivity::Break,
};

/// A `Retry-After` beyond this is cut: the user sees it, and may ask again at any time.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// What an answer to a claimed write means for its op.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    Applied {
        stored: Option<Value>,
        revision: Option<Revision>,
    },
    /// The precondition failed; this is what is there.
    Moved {
        current: Option<Value>,
        revision: Option<Revision>,
    },
    /// Nothing is there to update or delete.
    Gone,
    Refused {
        error: OpError,
    },
    /// Certainly not applied by this request: may be sent again. `counts` false gives the attempt back.
    NotApplied {
        broken: Break,
        after: Option<Duration>,
        counts: bool,
        error: OpError,
    },
    /// May be applied: only the repeat of the identical write tells.
    Unknown {
        broken: Break,
        error: OpError,
    },
    NeedsCredentials {
        message: String,
        is_denied: bool,
        error: OpError,
    },
}

/// The table. What an answer says about an op that was in doubt before is decided by the sender: "not applied" is said
/// of this request, never of the one before it.
pub(super) fn meaning(answer: Answer, kind: OpKind, at: Timestamp) -> Meaning {
    let error = |status: Option<u16>, message: String| OpError { at, status, message };
    let of_trouble = |trouble: &Trouble| error(None, format!("{}: {}", trouble.link.word(), trouble.message));
    match answer {
        Answer::Accepted { revision, stored } => Meaning::Applied { stored, revision },
        Answer::PreconditionFailed { current, revision } => Meaning::Moved { current, revision },
        // A create cannot find nothing; if a backend says so, the record is not there and may be looked at again.
        Answer::Gone if kind == OpKind::Create => Meaning::Moved { current: None, revision: None },
        Answer::Gone => Meaning::Gone,
        Answer::Rejected { status, message } => Meaning::Refused { error: error(Some(status), message) },
        Answer::NotSent(trouble) => {
            let error = of_trouble(&trouble);
            Meaning::NotApplied { broken: Break::Link(trouble), after: None, counts: false, error }
        }
        Answer::InDoubt(trouble) => {
            let error = of_trouble(&trouble);
            Meaning::Unknown { broken: Break::Link(trouble), error }
        }
        Answer::Later { status, after, message } => Meaning::NotApplied {
            broken: Break::Later { status, message: message.clone() },
            after,
            counts: true,
            error: error(Some(status), message),
        },
        Answer::Unauthorized { status, is_denied, message } => {
            Meaning::NeedsCredentials { error: error(status, message.clone()), is_denied, message }
        }
        // Whoever answered may have passed the write on.
        Answer::Portal(trouble) => {
            let error = of_trouble(&trouble);
            Meaning::Unknown { broken: Break::Portal(trouble), error }
        }
    }
}

/// How a failed read speaks of the way to the source; `None` where the backend itself refused this one read.
pub(super) fn broken_by(error: &ReadError) -> Option<Break> {
    match error {
        ReadError::Unreachable(trouble) => Some(Break::Link(trouble.clone())),
        ReadError::Unauthorized { message } => Some(Break::Unauthorized { message: message.clone() }),
        ReadError::Portal(trouble) => Some(Break::Portal(trouble.clone())),
        ReadError::Later { status, message, .. } => Some(Break::Later { status: *status, message: message.clone() }),
        ReadError::Refused { .. } => None,
    }
}

/// A failed read in words.
pub(super) fn words(error: &ReadError) -> String {
    match error {
        ReadError::Unreachable(trouble) | ReadError::Portal(trouble) => {
            format!("{}: {}", trouble.link.word(), trouble.message)
        }
        ReadError::Unauthorized { message } => format!("{}: {message}", Link::Auth.word()),
        ReadError::Later { status, message, .. } | ReadError::Refused { status, message } => {
            format!("{status} {message}").trim_end().to_owned()
        }
    }
}

/// A document as the backend will hold it; `None` where nothing of it is left.
pub(super) fn normal(kind: SourceKind, document: Option<&Value>) -> Option<Value> {
    normal_form(kind, document).map(Cow::into_owned)
}

/// The same of a document that is not needed any more.
pub(super) fn into_normal(kind: SourceKind, document: Option<Value>) -> Option<Value> {
    match kind {
        SourceKind::Firebase => document.and_then(rtdb::into_normal),
    }
}

fn normal_form(kind: SourceKind, document: Option<&Value>) -> Option<Cow<'_, Value>> {
    match kind {
        SourceKind::Firebase => document.and_then(rtdb::normal_form),
    }
}

/// Whether two documents are the same record on this backend.
pub(super) fn same(kind: SourceKind, a: Option<&Value>, b: Option<&Value>) -> bool {
    merge::same_document(normal_form(kind, a).as_deref(), normal_form(kind, b).as_deref())
}

/// More than 25, and more than a tenth of the collection.
pub(super) fn is_many(count: u64, rows: u64) -> bool {
    count > (rows / 10).max(25)
}

/// The text of a collection stopped by the guard.
pub(super) fn guard_text(record: &str, missing: u64, rows: u64) -> String {
    match missing >= rows {
        true => format!("the server's `{record}` is empty, here are {rows} records"),
        false => format!("the server's `{record}` lacks {missing} of the {rows} records here"),
    }
}

/// The text of a collection stopped because its records are older there.
pub(super) fn older_text(collection: &str, count: u64, rows: u64) -> String {
    format!(
        "{count} of the {rows} records of `{collection}` are older on the server than here: was it restored from a \
         backup?"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(link: Link) -> Trouble {
        Trouble { link, message: "broken".to_owned() }
    }

    #[test]
    fn every_row_of_the_answer_table_has_its_meaning() {
        let at = Timestamp(5);
        let read = |answer, kind| meaning(answer, kind, at);
        let update = OpKind::Update;
        assert!(matches!(read(Answer::Accepted { revision: None, stored: None }, update), Meaning::Applied { .. }));
        assert!(matches!(
            read(Answer::NotSent(trouble(Link::Dns)), update),
            Meaning::NotApplied { counts: false, after: None, .. }
        ));
        assert!(matches!(read(Answer::InDoubt(trouble(Link::Http)), update), Meaning::Unknown { .. }));
        let later = Answer::Later { status: 503, after: Some(Duration::from_secs(9)), message: "busy".to_owned() };
        assert!(matches!(
            read(later, update),
            Meaning::NotApplied { counts: true, after: Some(after), .. } if after == Duration::from_secs(9)
        ));
        assert!(matches!(
            read(Answer::Unauthorized { status: Some(401), is_denied: false, message: "expired".to_owned() }, update),
            Meaning::NeedsCredentials { .. }
        ));
        assert!(matches!(
            read(Answer::Rejected { status: 403, message: "Permission denied".to_owned() }, update),
            Meaning::Refused { error } if error.status == Some(403) && error.message == "Permission denied"
        ));
        assert!(matches!(
            read(Answer::PreconditionFailed { current: None, revision: None }, update),
            Meaning::Moved { current: None, .. }
        ));
        assert!(matches!(read(Answer::Gone, OpKind::Delete), Meaning::Gone));
        assert!(matches!(read(Answer::Gone, update), Meaning::Gone));
        assert!(matches!(
            read(Answer::Portal(trouble(Link::Shape)), update),
            Meaning::Unknown { broken: Break::Portal(_), .. }
        ));
    }
}
