//! What an answer means: the one table of page 3, and the judgement of a record that moved on the server.

use std::time::Duration;

use serde_json::Value;

use crate::{
    merge::{self, Merge, Verdict},
    model::{
        edit,
        ids::{OpId, Revision},
        json::Pointer,
        op::{NewOp, Op, OpError, OpKind},
        record::Base,
        rtdb,
        source::SourceKind,
        time::{At, Timestamp},
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
        Answer::Unauthorized { message } => {
            Meaning::NeedsCredentials { error: error(Some(401), message.clone()), message }
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
    match kind {
        SourceKind::Firebase => document.and_then(rtdb::normalise),
    }
}

/// Whether two documents are the same record on this backend.
pub(super) fn same(kind: SourceKind, a: Option<&Value>, b: Option<&Value>) -> bool {
    merge::same_document(normal(kind, a).as_ref(), normal(kind, b).as_ref())
}

/// True where the mirror's base already says what the server was just seen to hold.
pub(super) fn is_known(kind: SourceKind, base: Option<&Base>, current: Option<&Value>) -> bool {
    same(kind, base.map(|base| &base.document), current)
}

/// What becomes of an op whose record moved on the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Judgement {
    /// Nothing of ours is left to send.
    Applied,
    /// Fits the server's copy: this op takes its place.
    Rebased(Box<NewOp>),
    /// Needs a person.
    Conflict,
}

/// The server holds `theirs` under `revision`, while `op` wants `mine` on its base. `doubted`: an earlier request of
/// the op may have been applied. `may_rebase` false ends an endless race with a server that rewrites what it is sent.
#[expect(clippy::too_many_arguments, reason = "one judgement, all of its evidence")]
pub(super) fn judge(
    kind: SourceKind,
    at: &At,
    op: &Op,
    mine: Option<&Value>,
    theirs: Option<&Value>,
    revision: Option<&Revision>,
    doubted: bool,
    may_rebase: bool,
) -> Judgement {
    let (mine, theirs) = (normal(kind, mine), normal(kind, theirs));
    let base = if op.kind == OpKind::Create { None } else { normal(kind, op.base.as_ref()) };
    let verdict = if doubted {
        let ours = op.kind == OpKind::Create && is_made_here(op);
        let base = if ours { mine.as_ref() } else { base.as_ref() };
        merge::judge_repeat(base, mine.as_ref(), theirs.as_ref(), &set_paths(op, base, mine.as_ref()))
    } else {
        first_meeting(base.as_ref(), mine.as_ref(), theirs.as_ref())
    };
    match verdict {
        Verdict::Applied => Judgement::Applied,
        Verdict::Resend(document) if may_rebase => {
            let moved = rebased(at, op, document, theirs, revision.cloned());
            Judgement::Rebased(Box::new(moved))
        }
        Verdict::Resend(_) | Verdict::Conflict { .. } => Judgement::Conflict,
    }
}

fn first_meeting(base: Option<&Value>, mine: Option<&Value>, theirs: Option<&Value>) -> Verdict {
    if merge::same_document(mine, theirs) {
        return Verdict::Applied;
    }
    match merge::three_way(base, mine, theirs) {
        Merge::Clean(merged) if merge::same_document(merged.as_ref(), theirs) => Verdict::Applied,
        Merge::Clean(merged) => Verdict::Resend(merged),
        Merge::Overlap { paths, partial } => Verdict::Conflict { paths, partial },
    }
}

/// The places an op set: the root for a create or a delete.
fn set_paths(op: &Op, base: Option<&Value>, mine: Option<&Value>) -> Vec<Pointer> {
    match op.kind {
        OpKind::Update => edit::diff(base, mine).into_iter().map(|change| change.pointer).collect(),
        OpKind::Create | OpKind::Delete => vec![Pointer::root()],
    }
}

fn rebased(at: &At, op: &Op, document: Option<Value>, theirs: Option<Value>, revision: Option<Revision>) -> NewOp {
    let kind = match (&theirs, &document) {
        (None, _) => OpKind::Create,
        (Some(_), Some(_)) => OpKind::Update,
        (Some(_), None) => OpKind::Delete,
    };
    NewOp {
        op_id: OpId::new(at),
        record: op.record.clone(),
        kind,
        changes: edit::diff(theirs.as_ref(), document.as_ref()),
        document,
        base: theirs,
        base_revision: revision,
        created_at: op.created_at,
        author: op.author.clone(),
    }
}

/// True where nobody but this client can have made the record's id: a push id stamped at the time of the edit. A name
/// a person typed proves nothing.
fn is_made_here(op: &Op) -> bool {
    const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    let id = op.record.id.as_str().as_bytes();
    if id.len() != 20 {
        return false;
    }
    let digits: Option<Vec<i64>> = id
        .iter()
        .map(|byte| ALPHABET.iter().position(|letter| letter == byte))
        .map(|digit| digit.and_then(|digit| i64::try_from(digit).ok()))
        .collect();
    digits.is_some_and(|digits| {
        let stamp = digits[..8].iter().fold(0_i64, |sum, digit| sum * 64 + digit);
        (stamp - op.created_at.0).abs() < 600_000
    })
}

/// Deletions a pull may carry out without asking: up to 25, or a tenth of the collection, and never all of it.
pub(super) fn is_mass_deletion(missing: u64, rows: u64) -> bool {
    missing > 0 && (missing > (rows / 10).max(25) || missing >= rows)
}

/// The text of a collection stopped by the guard.
pub(super) fn guard_text(record: &str, missing: u64, rows: u64) -> String {
    match missing >= rows {
        true => format!("the server's `{record}` is empty, here are {rows} records"),
        false => format!("the server's `{record}` lacks {missing} of the {rows} records here"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{
        ids::{CollectionKey, Seq},
        op::OpState,
    };

    fn op(kind: OpKind, id: &str, base: Option<Value>, document: Option<Value>) -> Op {
        Op {
            seq: Seq(1),
            op_id: OpId::new(&At::test(1)),
            record: CollectionKey::new("s", "c").record(id),
            kind,
            state: OpState::InFlight,
            changes: edit::diff(base.as_ref(), document.as_ref()),
            document,
            base,
            base_revision: None,
            after: None,
            attempts: 1,
            created_at: At::test(1).wall,
            next_attempt_at: None,
            sent_at: None,
            settled_at: None,
            request_hash: None,
            precondition: None,
            sent_document: None,
            last_error: None,
            author: String::new(),
            was_in_doubt: false,
        }
    }

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
            read(Answer::Unauthorized { message: "expired".to_owned() }, update),
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

    #[test]
    fn a_doubted_create_under_an_id_of_our_own_was_applied_whatever_is_there_now() {
        let at = At::test(1);
        let id = rtdb::push_id(&at);
        let mine = json!({"a": 1});
        let created = op(OpKind::Create, &id, None, Some(mine.clone()));
        let theirs = json!({"a": 1, "b": 2});
        let judged = judge(SourceKind::Firebase, &at, &created, Some(&mine), Some(&theirs), None, true, true);
        assert_eq!(judged, Judgement::Applied);
        let named = op(OpKind::Create, "mug", None, Some(mine.clone()));
        let judged = judge(SourceKind::Firebase, &at, &named, Some(&mine), Some(&theirs), None, true, true);
        assert_eq!(judged, Judgement::Conflict);
    }

    #[test]
    fn disjoint_edits_are_rebased_on_the_fresh_revision() {
        let base = json!({"a": 1, "b": 1});
        let mine = json!({"a": 2, "b": 1});
        let theirs = json!({"a": 1, "b": 2});
        let edited = op(OpKind::Update, "r", Some(base), Some(mine.clone()));
        let revision = Revision::from("e2");
        let judged = judge(
            SourceKind::Firebase,
            &At::test(3),
            &edited,
            Some(&mine),
            Some(&theirs),
            Some(&revision),
            false,
            true,
        );
        let Judgement::Rebased(moved) = judged else { panic!("{judged:?}") };
        assert_eq!(moved.document, Some(json!({"a": 2, "b": 2})));
        assert_eq!((moved.base, moved.base_revision), (Some(theirs), Some(revision)));
    }

    #[test]
    fn an_edit_against_a_deletion_asks_and_a_deletion_of_what_is_gone_is_done() {
        let base = json!({"a": 1});
        let mine = json!({"a": 2});
        let edited = op(OpKind::Update, "r", Some(base.clone()), Some(mine.clone()));
        let judged = judge(SourceKind::Firebase, &At::test(3), &edited, Some(&mine), None, None, false, true);
        assert_eq!(judged, Judgement::Conflict);
        let deleted = op(OpKind::Delete, "r", Some(base.clone()), None);
        let judged = judge(SourceKind::Firebase, &At::test(3), &deleted, None, None, None, false, true);
        assert_eq!(judged, Judgement::Applied);
        let judged = judge(SourceKind::Firebase, &At::test(3), &deleted, None, Some(&mine), None, false, true);
        assert_eq!(judged, Judgement::Conflict);
    }

    #[test]
    fn the_guard_lets_small_deletions_pass_and_stops_an_emptied_collection() {
        assert!(!is_mass_deletion(0, 0));
        assert!(!is_mass_deletion(25, 100));
        assert!(is_mass_deletion(26, 100));
        assert!(!is_mass_deletion(100, 1_000));
        assert!(is_mass_deletion(101, 1_000));
        assert!(is_mass_deletion(3, 3));
    }
}
