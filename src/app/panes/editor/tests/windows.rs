//! One draft in two windows: what is typed in one is seen in the other, and nothing gives way without a trace.

use super::*;

/// Two windows on one journal, both with the draft of a record open.
fn two_windows() -> (Desk, Desk) {
    let mut one = Desk::open(DraftTarget::Document, bo());
    one.press("x");
    let mut two = Desk::new();
    two.drafts.clone_from(&one.drafts);
    two.reopen(DraftTarget::Document, Some(bo()));
    two.second = 1;
    (one, two)
}

#[test]
fn a_draft_another_window_types_in_is_shown_as_it_is_there_from_where_it_was_seen() {
    let (mut one, mut two) = two_windows();
    two.press("End y z");
    one.drafts.clone_from(&two.drafts);
    assert!(matches!(one.asks(), Some(Need::Shown(_))), "its own text is not read again");
    one.load(Some(bo()));
    assert!(matches!(one.asks(), Some(Need::Shown(_))), "nor is what was just read");
    assert_eq!(one.text(), two.text());
    assert!(one.said().contains("Another window types in this draft"), "{}", one.said());
    let cursor = one.editor.sheet().unwrap().buffer.cursor();
    assert_eq!((cursor.line, cursor.at), (0, 1), "the cursor stays");
    // The next step stands on what the journal has: `keep` checks it.
    one.second = 2;
    one.press("w");
    assert!(matches!(one.last.drafts[..], [DraftWrite::Append { .. }]));
    two.drafts.clone_from(&one.drafts);
    two.load(Some(bo()));
    assert_eq!(two.text(), one.text());
}

#[test]
fn what_was_read_before_the_last_step_or_while_one_is_on_its_way_takes_nothing_back() {
    let (mut one, mut two) = two_windows();
    let before = one.drafts.clone();
    one.press("a b");
    let typed = one.text();
    let now = std::mem::replace(&mut one.drafts, before);
    one.load(Some(bo()));
    assert_eq!(one.text(), typed, "read before the steps");
    one.drafts = now;
    two.press("y");
    one.drafts.clone_from(&two.drafts);
    one.editor.set_unsaved(true);
    one.load(Some(bo()));
    assert_eq!(one.text(), typed, "the journal refuses the step, or has it");
}

#[test]
fn a_draft_left_here_and_typed_in_elsewhere_opens_as_it_is_there() {
    let (mut one, mut two) = two_windows();
    one.press("Esc");
    two.press("y");
    one.drafts.clone_from(&two.drafts);
    one.reopen(DraftTarget::Document, Some(bo()));
    assert_eq!(one.text(), two.text());
}

#[test]
fn a_text_written_anew_stands_on_what_the_journal_has() {
    let (mut one, _) = two_windows();
    let has = one.drafts[0].version;
    one.press("y z");
    let lost = one.last.drafts.clone();
    let from = |writes: &[DraftWrite]| match writes {
        [DraftWrite::Snapshot { versions, .. }] => versions.from,
        other => panic!("{other:?}"),
    };
    let DraftWrite::Append { versions, .. } = &lost[0] else { panic!("{lost:?}") };
    assert_eq!(from(&one.editor.rescue(lost.clone(), &At::test(0))), versions.from);
    assert_eq!(from(&one.editor.mend(lost.clone(), &At::test(0))), versions.from);
    assert!(versions.from > has, "of the last step, which alone was lost");
}

#[test]
fn a_draft_that_was_left_is_written_again_later_than_what_another_window_wrote() {
    let (mut one, mut two) = two_windows();
    one.press("a Esc");
    let refused = one.last.drafts.clone();
    two.press("y");
    let other = two.drafts[0].version;
    let now = At::test(2);
    let mended = one.editor.mend(refused, &now);
    let [DraftWrite::Snapshot { versions, .. }] = &mended[..] else { panic!("{mended:?}") };
    assert!(versions.to > other, "or it is refused for ever");
    one.drafts.clone_from(&two.drafts);
    one.second = 3;
    one.reopen(DraftTarget::Document, Some(bo()));
    assert!(one.text().contains('a') && one.text() != two.text(), "what waits for the journal is not given up");
}

#[test]
fn a_window_that_typed_nothing_leaves_without_a_write() {
    let (mut one, mut two) = two_windows();
    two.press("y z");
    one.drafts.clone_from(&two.drafts);
    one.load(Some(bo()));
    one.press("Esc");
    assert!(one.last.drafts.is_empty(), "{:?}", one.last.drafts);
}

#[test]
fn a_draft_that_another_window_ended_is_closed_here_too() {
    let (mut one, mut two) = two_windows();
    two.press("y");
    one.drafts.clone_from(&two.drafts);
    one.load(Some(bo()));
    assert_eq!(one.text(), two.text());
    one.drafts.clear();
    one.load(Some(bo()));
    assert!(one.last.requests.contains(&Request::Close), "{:?}", one.last.requests);
    assert!(one.last.notices[0].text.contains("Another window queued or discarded the draft of users/u_1"));
    assert!(one.last.drafts.is_empty(), "and not begun anew");
}

#[test]
fn a_draft_that_is_not_in_the_journal_yet_is_not_taken_for_ended() {
    let mut desk = Desk::open(DraftTarget::Document, bo());
    desk.press("x");
    let kept = std::mem::take(&mut desk.drafts);
    // Read before the commit with its first letter.
    desk.load(Some(bo()));
    assert!(!desk.last.requests.contains(&Request::Close));
    // Seen once, then typed in: what is on its way is not gone.
    desk.drafts = kept;
    desk.load(Some(bo()));
    desk.editor.set_unsaved(true);
    desk.drafts.clear();
    desk.load(Some(bo()));
    assert!(!desk.last.requests.contains(&Request::Close));
    assert!(desk.text().contains('x'));
}

#[test]
fn what_the_users_own_editor_has_is_not_followed_under_it() {
    let (mut one, mut two) = two_windows();
    let text = one.text();
    one.press("F4");
    two.press("y");
    one.drafts.clone_from(&two.drafts);
    one.load(Some(bo()));
    assert_eq!(one.text(), text);
}

/// A record whose text is judged when asked for only.
fn large() -> Value {
    let members = (0..20_000).map(|number| (format!("k{number:05}"), json!("some value")));
    Value::Object(members.collect())
}

#[test]
fn a_large_draft_comes_back_with_its_marks_and_its_base_not_laid_out() {
    let mut desk = Desk::open(DraftTarget::Document, large());
    desk.press("Down Down End Enter x");
    let back = desk.killed();
    let (sheet, before) = (back.editor.sheet().unwrap(), desk.editor.sheet().unwrap());
    assert_eq!(sheet.lines, before.lines);
    assert!(sheet.lines.mark(3).is_some() && sheet.base_lines.get().is_none(), "what was typed is known");
    assert_eq!(back.editor.session(), desk.editor.session());
}

#[test]
fn marks_of_another_text_than_the_journals_are_not_believed() {
    let mut desk = Desk::open(DraftTarget::Document, large());
    desk.press("Down x");
    let mut other = Desk::new();
    other.drafts.clone_from(&desk.drafts);
    other.reopen(DraftTarget::Document, Some(large()));
    other.second = 1;
    other.press("Ctrl+Home Down Down Down y");
    desk.drafts.clone_from(&other.drafts);
    let back = desk.killed();
    let sheet = back.editor.sheet().unwrap();
    assert_eq!(sheet.lines, other.editor.sheet().unwrap().lines);
    assert!(sheet.lines.mark(3).is_some() && sheet.base_lines.get().is_some());
}
