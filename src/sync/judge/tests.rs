//! Every policy, and what a loser leaves behind.

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
        base_revision: Some(Revision::from("e1")),
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

struct Case {
    settling: Settling,
    doubted: bool,
    clock: Option<ServerClock>,
}

impl Case {
    fn of(policy: ConflictPolicy) -> Self {
        let settling = Settling { rules: ConflictRules::of(policy), updated_at: Some(Pointer::parse("/at")) };
        Self { settling, doubted: false, clock: None }
    }

    fn with(mut self, place: &str, rule: FieldRule) -> Self {
        self.settling.rules.fields.push((place.parse().unwrap(), rule));
        self
    }

    fn judge(&self, op: &Op, theirs: Option<&Value>) -> Judgement {
        let revision = Revision::from("e2");
        Meeting {
            kind: SourceKind::Firebase,
            settling: &self.settling,
            at: &At::test(3),
            op,
            mine: merge::intended(op),
            theirs,
            revision: theirs.map(|_| &revision),
            doubted: self.doubted,
            server_clock: self.clock,
        }
        .judge()
    }

    /// An update of the same field on both sides.
    fn overlap(&self) -> Judgement {
        let base = json!({"a": 1, "b": 1});
        let edited = op(OpKind::Update, "r", Some(base), Some(json!({"a": 2, "b": 1})));
        self.judge(&edited, Some(&json!({"a": 3, "b": 7})))
    }
}

fn decided(judgement: Judgement) -> Decided {
    match judgement {
        Judgement::Decided(decided) => *decided,
        other => panic!("{other:?}"),
    }
}

fn sides(decided: &Decided) -> Vec<(Side, Value)> {
    decided.lost.iter().map(|lost| (lost.side, lost.document.clone())).collect()
}

#[test]
fn a_doubted_create_under_an_id_of_our_own_was_applied_whatever_is_there_now() {
    let mut case = Case::of(ConflictPolicy::Manual);
    case.doubted = true;
    let theirs = json!({"a": 1, "b": 2});
    let created = op(OpKind::Create, &rtdb::push_id(&At::test(1)), None, Some(json!({"a": 1})));
    let created = Op { base_revision: None, ..created };
    assert_eq!(case.judge(&created, Some(&theirs)), Judgement::Applied);
    let named = op(OpKind::Create, "mug", None, Some(json!({"a": 1})));
    assert_eq!(case.judge(&named, Some(&theirs)), Judgement::Conflict);
    // A discarded create that was taken back after its record had been made anew.
    let late = Op { base_revision: Some("e1".into()), ..created };
    assert_eq!(case.judge(&late, Some(&theirs)), Judgement::Conflict);
}

#[test]
fn disjoint_edits_are_rebased_on_the_fresh_revision_under_every_policy() {
    for policy in ConflictPolicy::ALL {
        let theirs = json!({"a": 1, "b": 2});
        let edited = op(OpKind::Update, "r", Some(json!({"a": 1, "b": 1})), Some(json!({"a": 2, "b": 1})));
        let judged = Case::of(policy).judge(&edited, Some(&theirs));
        let Judgement::Rebased(moved) = judged else { panic!("{judged:?}") };
        assert_eq!(moved.document, Some(json!({"a": 2, "b": 2})));
        assert_eq!((moved.base, moved.base_revision), (Some(theirs), Some(Revision::from("e2"))));
    }
}

#[test]
fn an_edit_against_a_deletion_asks_and_a_deletion_of_what_is_gone_is_done() {
    for policy in [ConflictPolicy::Manual, ConflictPolicy::Merge, ConflictPolicy::LastWriteWins] {
        let case = Case::of(policy);
        let base = json!({"a": 1});
        let mine = json!({"a": 2});
        let edited = op(OpKind::Update, "r", Some(base.clone()), Some(mine.clone()));
        assert_eq!(case.judge(&edited, None), Judgement::Conflict);
        let deleted = op(OpKind::Delete, "r", Some(base.clone()), None);
        assert_eq!(case.judge(&deleted, None), Judgement::Applied);
        assert_eq!(case.judge(&deleted, Some(&mine)), Judgement::Conflict);
    }
}

/// What a deletion and a creation behind it become.
fn replaced(before: &Value, after: &Value) -> Op {
    let change = edit::Change { pointer: Pointer::root(), from: Some(before.clone()), to: Some(after.clone()) };
    Op { changes: vec![change], ..op(OpKind::Update, "r", Some(before.clone()), Some(after.clone())) }
}

#[test]
fn a_record_made_anew_here_is_not_mixed_with_what_the_server_changed_of_the_old_one() {
    let (before, theirs) = (json!({"a": 1}), json!({"a": 1, "b": 1}));
    let anew = replaced(&before, &json!({"c": 1}));
    for doubted in [false, true] {
        let of = |policy: ConflictPolicy| Case { doubted, ..Case::of(policy) };
        assert_eq!(of(ConflictPolicy::Manual).judge(&anew, Some(&theirs)), Judgement::Conflict);
        assert_eq!(of(ConflictPolicy::Merge).judge(&anew, Some(&theirs)), Judgement::Conflict);
        let mine = decided(of(ConflictPolicy::LocalWins).judge(&anew, Some(&theirs)));
        let again = mine.op.unwrap();
        assert_eq!(again.document, Some(json!({"c": 1})));
        let again = Op { changes: again.changes, document: again.document, base: again.base, ..anew.clone() };
        let later = json!({"a": 1, "b": 1, "d": 1});
        assert_eq!(of(ConflictPolicy::Manual).judge(&again, Some(&later)), Judgement::Conflict, "moved once more");
        // Only the version moved.
        let Judgement::Rebased(again) = of(ConflictPolicy::Manual).judge(&anew, Some(&before)) else { panic!() };
        assert_eq!(again.document, Some(json!({"c": 1})));
        assert_eq!(of(ConflictPolicy::Manual).judge(&anew, Some(&json!({"c": 1}))), Judgement::Applied);
        assert_eq!(of(ConflictPolicy::Manual).judge(&anew, None), Judgement::Conflict, "deleted there");
    }
    let arrived = json!({"b": 2, "c": 1});
    assert_eq!(
        Case { doubted: true, ..Case::of(ConflictPolicy::Manual) }.judge(&anew, Some(&arrived)),
        Judgement::Applied,
        "changed by another since"
    );
}

#[test]
fn an_edit_of_a_record_that_is_a_list_is_merged_with_the_servers() {
    let (base, theirs) = (json!(["a", "b"]), json!(["z", "a", "b"]));
    let edited = op(OpKind::Update, "r", Some(base), Some(json!(["a", "b", "c"])));
    let Judgement::Rebased(both) = Case::of(ConflictPolicy::Manual).judge(&edited, Some(&theirs)) else { panic!() };
    assert_eq!(both.document, Some(json!(["z", "a", "b", "c"])));
}

#[test]
fn manual_and_merge_ask_where_both_changed_one_field() {
    assert_eq!(Case::of(ConflictPolicy::Manual).overlap(), Judgement::Conflict);
    assert_eq!(Case::of(ConflictPolicy::Merge).overlap(), Judgement::Conflict);
}

#[test]
fn a_rule_for_the_field_settles_it_and_keeps_what_lost() {
    let decided_theirs = decided(Case::of(ConflictPolicy::Manual).with("/a", FieldRule::Theirs).overlap());
    assert_eq!(decided_theirs.op, None);
    assert_eq!(sides(&decided_theirs), [(Side::Mine, json!({"a": 2, "b": 1}))]);
    let decided_max = decided(Case::of(ConflictPolicy::Manual).with("/a", FieldRule::Min).overlap());
    assert_eq!(decided_max.op.unwrap().document, Some(json!({"a": 2, "b": 7})));
    let Judgement::Rebased(sum) = Case::of(ConflictPolicy::Manual).with("/a", FieldRule::Add).overlap() else {
        panic!("a sum loses nobody's edit");
    };
    assert_eq!(sum.document, Some(json!({"a": 4, "b": 7})));
}

#[test]
fn a_field_that_always_asks_asks_whatever_the_policy() {
    let case = Case::of(ConflictPolicy::LocalWins).with("/a", FieldRule::Manual);
    assert_eq!(case.overlap(), Judgement::Conflict);
}

#[test]
fn where_local_wins_only_the_disputed_field_is_taken_and_the_servers_version_is_kept() {
    let won = decided(Case::of(ConflictPolicy::LocalWins).overlap());
    let op = won.op.as_ref().unwrap();
    assert_eq!(op.document, Some(json!({"a": 2, "b": 7})));
    assert_eq!(op.base_revision, Some(Revision::from("e2")));
    assert_eq!(sides(&won), [(Side::Theirs, json!({"a": 3, "b": 7}))]);
    assert_eq!(won.lost[0].revision, Some(Revision::from("e2")));
}

#[test]
fn where_local_wins_an_edit_brings_a_deleted_record_back_and_a_deletion_goes_through() {
    let case = Case::of(ConflictPolicy::LocalWins);
    let edited = op(OpKind::Update, "r", Some(json!({"a": 1})), Some(json!({"a": 2})));
    let back = decided(case.judge(&edited, None)).op.unwrap();
    assert_eq!((back.kind, back.document, back.base), (OpKind::Create, Some(json!({"a": 2})), None));
    let deleted = op(OpKind::Delete, "r", Some(json!({"a": 1})), None);
    let gone = decided(case.judge(&deleted, Some(&json!({"a": 5}))));
    assert_eq!(gone.op.as_ref().unwrap().kind, OpKind::Delete);
    assert_eq!(sides(&gone), [(Side::Theirs, json!({"a": 5}))]);
}

#[test]
fn where_remote_wins_the_edit_gives_way_and_is_kept() {
    let case = Case::of(ConflictPolicy::RemoteWins);
    let lost = decided(case.overlap());
    assert_eq!((lost.op.clone(), lost.theirs.clone()), (None, Some(json!({"a": 3, "b": 7}))));
    assert_eq!(sides(&lost), [(Side::Mine, json!({"a": 2, "b": 1}))]);
    let edited = op(OpKind::Update, "r", Some(json!({"a": 1})), Some(json!({"a": 2})));
    let gone = decided(case.judge(&edited, None));
    assert_eq!((gone.op.clone(), sides(&gone)), (None, vec![(Side::Mine, json!({"a": 2}))]));
    let deleted = op(OpKind::Delete, "r", Some(json!({"a": 1})), None);
    let stays = decided(case.judge(&deleted, Some(&json!({"a": 5}))));
    assert_eq!((stays.op, stays.lost), (None, vec![]));
}

#[test]
fn where_remote_wins_my_edits_of_other_fields_still_go() {
    let edited = op(OpKind::Update, "r", Some(json!({"a": 1, "b": 1})), Some(json!({"a": 2, "b": 2})));
    let won = decided(Case::of(ConflictPolicy::RemoteWins).judge(&edited, Some(&json!({"a": 3, "b": 1}))));
    assert_eq!(won.op.unwrap().document, Some(json!({"a": 3, "b": 2})));
}

#[test]
fn keep_both_leaves_theirs_alone_and_makes_mine_a_record_of_its_own() {
    let both = decided(Case::of(ConflictPolicy::KeepBoth).overlap());
    assert_eq!(both.op, None);
    let copy = both.copy.unwrap();
    assert_eq!((copy.kind, copy.document.clone()), (OpKind::Create, Some(json!({"a": 2, "b": 1}))));
    assert_eq!(copy.record.id.as_str().len(), 20, "an id only this client can have made");
    let edited = op(OpKind::Update, "r", Some(json!({"a": 1})), Some(json!({"a": 2})));
    let beside = decided(Case::of(ConflictPolicy::KeepBoth).judge(&edited, None));
    assert_eq!(beside.copy.unwrap().document, Some(json!({"a": 2})));
    let deleted = op(OpKind::Delete, "r", Some(json!({"a": 1})), None);
    let stays = decided(Case::of(ConflictPolicy::KeepBoth).judge(&deleted, Some(&json!({"a": 5}))));
    assert_eq!((stays.op, stays.copy), (None, None));
}

#[test]
fn the_last_write_wins_by_the_servers_clock_and_too_close_asks() {
    let mut case = Case::of(ConflictPolicy::LastWriteWins);
    let edited = op(OpKind::Update, "r", Some(json!({"a": 1, "at": 1})), Some(json!({"a": 2, "at": 1})));
    let judge = |case: &Case, stamp: Value| case.judge(&edited, Some(&json!({"a": 3, "at": stamp})));
    let mine = edited.created_at.0;
    assert_eq!(judge(&case, json!(mine - 60_000)), Judgement::Conflict, "the offset is not known");
    case.clock = Some(ServerClock { offset_ms: 5_000, uncertainty_ms: 600 });
    let server = mine + 5_000;
    let won = decided(judge(&case, json!(server - 601)));
    assert_eq!(won.op.unwrap().document, Some(json!({"a": 2, "at": server - 601})));
    assert_eq!(decided(judge(&case, json!(server + 601))).op, None);
    for close in [server - 600, server, server + 600] {
        assert_eq!(judge(&case, json!(close)), Judgement::Conflict, "{close}");
    }
    assert_eq!(decided(judge(&case, json!("2030-01-01T00:00:00Z"))).op, None);
    for no_stamp in [json!(null), json!("yesterday"), json!(7)] {
        assert_eq!(judge(&case, no_stamp.clone()), Judgement::Conflict, "{no_stamp}");
    }
}

#[test]
fn a_sum_is_made_once_even_where_both_took_the_same() {
    let case = Case::of(ConflictPolicy::Manual).with("/stock", FieldRule::Add);
    let edited = op(OpKind::Update, "r", Some(json!({"stock": 10})), Some(json!({"stock": 9})));
    let Judgement::Rebased(moved) = case.judge(&edited, Some(&json!({"stock": 9}))) else { panic!() };
    assert_eq!(moved.document, Some(json!({"stock": 8})));
    let doubted = Case { doubted: true, ..case };
    assert_eq!(doubted.judge(&edited, Some(&json!({"stock": 9}))), Judgement::Applied);
    assert_eq!(doubted.judge(&edited, Some(&json!({"stock": 8}))), Judgement::Conflict);
}

#[test]
fn ops_of_several_records_judged_in_one_event_have_ids_of_their_own() {
    let case = Case::of(ConflictPolicy::Manual);
    let moved = |seq: i64| {
        let mut edited = op(OpKind::Update, "r", Some(json!({"a": 1, "b": 1})), Some(json!({"a": 2, "b": 1})));
        edited.seq = Seq(seq);
        match case.judge(&edited, Some(&json!({"a": 1, "b": 2}))) {
            Judgement::Rebased(op) => op.op_id,
            other => panic!("{other:?}"),
        }
    };
    assert_ne!(moved(1), moved(2));
    assert_eq!(moved(1), moved(1));
}

#[test]
fn what_the_server_owns_is_not_sent() {
    let case = Case::of(ConflictPolicy::Manual).with("/seen", FieldRule::ServerOwned);
    let base = json!({"a": 1, "seen": 5});
    let sent = |document: Value| without_server_owned(&case.settling.rules, Some(&base), Some(document));
    assert_eq!(sent(json!({"a": 2, "seen": 6})), Some(json!({"a": 2, "seen": 5})));
    assert_eq!(sent(json!({"a": 2})), Some(json!({"a": 2, "seen": 5})));
    let edited = op(OpKind::Update, "r", Some(base.clone()), Some(json!({"a": 2, "seen": 5})));
    let Judgement::Rebased(moved) = case.judge(&edited, Some(&json!({"a": 1, "seen": 9}))) else { panic!() };
    assert_eq!(moved.document, Some(json!({"a": 2, "seen": 9})));
}
