//! A draft whose record changed meanwhile: what is merged by itself, what is chosen, what is gone.

use super::*;

/// A draft that makes Bo an owner, and a record that changed meanwhile.
fn moved(now: Value) -> Desk {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("Down Down End Ctrl+Left Ctrl+w o w n e r");
    assert_eq!(desk.problems(), Vec::<String>::new(), "{}", desk.text());
    desk.load(Some(now));
    desk
}

#[test]
fn what_others_changed_is_merged_into_the_text_by_a_key_and_taken_back_by_undo() {
    let now = json!({"name": "Bo L", "role": "editor", "since": 2019});
    let mut desk = moved(now.clone());
    let typed = desk.text();
    assert!(desk.said().contains("users/u_1: 2 fields changed since you began"), "{}", desk.said());
    desk.press("F6");
    assert!(desk.text().contains("\"Bo L\"") && desk.text().contains("owner"), "{}", desk.text());
    assert!(desk.editor.sheet().unwrap().three().is_none(), "nothing is left to merge");
    assert_eq!(desk.drafts[0].base(), Some(&now));
    desk.press("Ctrl+z");
    assert_eq!((desk.text(), desk.drafts[0].base().cloned()), (typed.clone(), Some(bo())), "the base goes back too");
    assert!(desk.editor.sheet().unwrap().three().is_some());
    let mut back = desk.killed();
    back.load(Some(now.clone()));
    back.press("Ctrl+y");
    assert_eq!(back.drafts[0].base(), Some(&now), "also forward, and over a kill");
    back.press("Ctrl+z Ctrl+z Ctrl+y Ctrl+y F2");
    let op = back.op().unwrap();
    assert_eq!((op.base.clone(), op.base_revision.clone()), (Some(now), Some("r19".into())));
    assert_eq!(op.document, Some(json!({"name": "Bo L", "role": "owner", "since": 2019})));
    assert_eq!(op.changes.len(), 1, "only what was typed: {:?}", op.changes);
}

#[test]
fn what_both_sides_changed_is_chosen_before_anything_is_queued() {
    let now = json!({"name": "Bo L", "role": "viewer"});
    let mut desk = moved(now.clone());
    desk.press("F2");
    assert!(desk.op().is_none() && desk.editor.is_merging());
    assert!(desk.said().contains("role was changed on both sides"), "{}", desk.said());
    desk.press("t");
    assert_eq!(desk.editor.sheet().unwrap().undecided().count(), 0);
    let mut back = desk.killed();
    back.load(Some(now.clone()));
    assert!(back.editor.is_merging(), "the choosing is where it was");
    assert_eq!(back.editor.session(), desk.editor.session());
    assert_eq!(back.editor.sheet().unwrap().undecided().count(), 0, "with the choice that was made");
    back.press("u");
    assert_eq!(back.editor.sheet().unwrap().undecided().count(), 1);
    back.press("m Enter");
    assert!(!back.editor.is_merging());
    assert!(back.text().contains("owner") && back.text().contains("Bo L"), "{}", back.text());
    back.press("F2");
    let op = back.op().unwrap();
    assert_eq!((op.base.clone(), op.document.clone()), (Some(now), Some(json!({"name": "Bo L", "role": "owner"}))));
}

#[test]
fn a_choice_is_dropped_aloud_when_the_other_side_changed_again() {
    let mut desk = moved(json!({"name": "Bo", "role": "viewer"}));
    desk.press("F6 m");
    desk.load(Some(json!({"name": "Bo", "role": "admin"})));
    assert!(desk.said().contains("changed again on the other side: role"), "{}", desk.said());
    assert_eq!(desk.editor.sheet().unwrap().undecided().count(), 1);
    desk.press("Esc");
    assert!(desk.editor.is_open() && !desk.editor.is_merging(), "esc decides later");
    assert!(desk.text().contains("owner"));
}

#[test]
fn only_json_is_merged_and_the_text_is_never_touched_by_itself() {
    let mut desk = moved(json!({"name": "Bo L", "role": "editor"}));
    desk.press("Down End {");
    let typed = desk.text();
    desk.press("F6");
    assert!(desk.said().contains("Only valid JSON"), "{}", desk.said());
    desk.load(Some(json!({"name": "Bo M", "role": "viewer"})));
    assert_eq!(desk.text(), typed);
    let mut steady = Desk::open(DraftTarget::Document, bo());
    steady.press("x F6");
    assert!(steady.said().contains("nothing to merge"), "{}", steady.said());
}

#[test]
fn a_field_that_moved_is_chosen_where_it_is_typed() {
    let mut desk = Desk::open(DraftTarget::Field(Pointer::parse("/role")), bo());
    desk.press("s");
    desk.load(Some(json!({"name": "New", "role": "viewer"})));
    desk.press("Enter");
    assert!(desk.op().is_none() && desk.editor.is_merging(), "{}", desk.said());
    desk.press("t Enter");
    assert_eq!(desk.text(), "viewer");
    desk.press("Ctrl+z");
    assert_eq!((desk.text().as_str(), desk.drafts[0].base().cloned()), ("editors", Some(bo())));
}

#[test]
fn a_draft_whose_record_is_gone_says_so_and_makes_it_anew() {
    let mut desk = moved(bo());
    desk.load(None);
    assert!(desk.said().contains("users/u_1 is gone: this is the recovered draft"), "{}", desk.said());
    let mut back = desk.killed();
    back.load(None);
    assert!(back.text().contains("owner"));
    back.press("F6");
    assert!(back.said().contains("The record is gone"), "{}", back.said());
    back.press("F2");
    let op = back.op().unwrap();
    assert_eq!((op.kind, op.base.clone()), (OpKind::Create, None));
    assert_eq!(op.document, Some(json!({"name": "Bo", "role": "owner"})));
}

#[test]
fn what_is_only_looked_at_stays_in_sight_when_its_record_goes() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    let shown = desk.text();
    desk.load(None);
    assert_eq!(desk.text(), shown);
    assert!(desk.drafts.is_empty());
}

/// A large one is not looked at before it is needed.
#[test]
fn a_base_that_was_damaged_on_disk_is_none_when_the_edit_is_made() {
    let mut first = Sheet::waiting(users().record("u_1"), DraftTarget::Document);
    first.begin_with(Some(bo().into()), None);
    let DraftWrite::Snapshot { key, snapshot, versions, .. } = first.write_snapshot() else { panic!("a snapshot") };
    let text = format!("{{\"name\": \"Bo\", \"filler\": \"{}\"", "x".repeat(300_000));
    let draft = Draft {
        key,
        snapshot,
        edits: Vec::new(),
        base: Document::trust(text),
        base_revision: Some("r18".into()),
        version: versions.to,
        commit_requested: None,
        updated_at: Timestamp(0),
    };
    let mut sheet = Sheet::from(&draft);
    assert!(sheet.has_base() && sheet.base().is_none());
    sheet.judge_by(&Terms::default(), true);
    let op = sheet.op(&At::test(1)).unwrap();
    assert_eq!((op.kind, op.base, op.document), (OpKind::Create, None, Some(bo())));
    let DraftWrite::Snapshot { base, .. } = sheet.write_snapshot() else { panic!("a snapshot") };
    assert_eq!(base, None);
}
