//! The list keeps its place by what a draft is, not by where it was.

use super::*;
use crate::{
    app::{Setup, panes::editor::merging::Standing, settings::UiSettings, world::World},
    model::{
        draft::DraftTarget,
        ids::CollectionKey,
        time::{At, Timestamp},
    },
};

fn row(number: i64) -> DraftRow {
    let record = CollectionKey::new("acme", "users").record(format!("u_{number}"));
    DraftRow {
        number,
        key: DraftKey { record, target: DraftTarget::Document },
        updated_at: Timestamp(0),
        bytes: 12,
        first: String::new(),
        standing: Standing::Steady,
        op_is_gone: false,
        problem: None,
        is_valid: true,
        commit_requested: None,
    }
}

fn setup() -> Setup {
    Setup {
        sources: Vec::new(),
        session: "default".into(),
        settings: UiSettings::default(),
        read_only: false,
        demo: false,
        zone_offset: 0,
        places: Vec::new(),
        size: (120, 36),
        no_color: false,
        command: "ebbtide".to_owned(),
    }
}

#[test]
fn the_cursor_stays_on_its_draft_and_goes_to_the_next_one_aloud() {
    let (at, setup, world) = (At::test(0), setup(), World::default());
    let cx = Cx { at: &at, setup: &setup, world: &world, room: (60, 10), full: true };
    let mut pane = Drafts::default();
    let load = |pane: &mut Drafts, numbers: &[i64]| {
        let rows: Vec<DraftRow> = numbers.iter().copied().map(row).collect();
        let total = rows.len() as u64;
        pane.load(&Need::Drafts { limit: PAGE }, &Found::Drafts(rows, total), &cx)
    };
    let selected = |pane: &Drafts| pane.selected().map(|row| row.number);
    load(&mut pane, &[4, 3, 2, 1]);
    pane.handle(&Action::MoveDown, &cx);
    assert_eq!(selected(&pane), Some(3));
    load(&mut pane, &[6, 5, 4, 3, 2, 1]);
    assert_eq!(selected(&pane), Some(3), "newer ones move it down");
    let outcome = load(&mut pane, &[6, 5, 4, 2, 1]);
    assert_eq!(selected(&pane), Some(2), "the next one");
    assert!(outcome.notices[0].text.contains("users/u_3 is not here any more"), "{outcome:?}");
    load(&mut pane, &[6, 5]);
    assert_eq!(selected(&pane), Some(5), "the last one there is");

    let asked = pane.handle(&Action::DropDraft, &cx);
    assert!(matches!(&asked.requests[..], [Request::Confirm(_)]));
    let outcome = load(&mut pane, &[6]);
    assert!(outcome.notices.is_empty(), "what was discarded here is no news: {outcome:?}");
}
