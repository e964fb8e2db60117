//! The story of the resolver: what merges, what is chosen, what survives.

use serde_json::json;

use super::*;
use crate::{
    app::{
        Setup,
        effect::{Answer, Effect},
        pane::Question,
        settings::UiSettings,
        world::World,
    },
    model::{
        conflict::Take,
        ids::SessionName,
        time::{At, Timestamp},
    },
};

fn setup() -> Setup {
    Setup {
        sources: Vec::new(),
        session: SessionName::from("default"),
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

fn conflict(id: i64, base: Option<Value>, mine: Option<Value>, theirs: Option<Value>) -> Conflict {
    Conflict {
        id,
        record: CollectionKey::new("acme", "products").record(format!("p_{id}")),
        seq: Seq(100 + id),
        detected_at: Timestamp(0),
        base,
        mine,
        theirs,
        theirs_revision: None,
        was_in_doubt: false,
        resolved_at: None,
        resolution: None,
    }
}

fn mugs() -> Conflict {
    conflict(
        1,
        Some(json!({"price": 12, "title": "Mug", "stock": 40, "tags": ["a"], "dims": {"h": 9, "w": 8}})),
        Some(json!({"price": 12.5, "title": "Mug, blue", "stock": 40, "tags": ["b"], "dims": {"h": 10, "w": 8}})),
        Some(json!({"price": 13, "title": "Mug", "stock": 38, "tags": ["c"], "dims": {"h": 10, "w": 8}})),
    )
}

/// The pane with its conflicts, and what it is acted on with.
struct Desk {
    pane: Conflicts,
    setup: Setup,
    world: World,
    at: At,
    said: Vec<String>,
}

impl Desk {
    fn new(conflicts: Vec<Conflict>) -> Self {
        let mut desk = Self {
            pane: Conflicts::default(),
            setup: setup(),
            world: World::default(),
            at: At::test(1),
            said: Vec::new(),
        };
        desk.load(conflicts);
        desk
    }

    fn load(&mut self, conflicts: Vec<Conflict>) {
        let cx = Cx { at: &self.at, setup: &self.setup, world: &self.world, room: (118, 14), full: true };
        let outcome = self.pane.load(&Need::Conflicts, &Found::Conflicts(conflicts), &cx);
        self.said.extend(outcome.notices.into_iter().map(|notice| notice.text));
    }

    fn act(&mut self, action: Action) -> Outcome {
        let cx = Cx { at: &self.at, setup: &self.setup, world: &self.world, room: (118, 14), full: true };
        let outcome = self.pane.handle(&action, &cx);
        self.said.extend(outcome.notices.iter().map(|notice| notice.text.clone()));
        outcome
    }

    fn type_text(&mut self, text: &str) {
        let cx = Cx { at: &self.at, setup: &self.setup, world: &self.world, room: (118, 14), full: true };
        self.pane.paste(text, &cx);
    }

    /// What `w` sends: the side and the document; `None` where it is refused.
    fn queued(&mut self) -> Option<(Take, Option<Value>)> {
        self.act(Action::QueueResult).effects.into_iter().find_map(|effect| match effect {
            Effect::Resolve { take, document, .. } => Some((take, document)),
            _ => None,
        })
    }
}

fn names(fields: &[Field]) -> Vec<String> {
    fields.iter().map(name).collect()
}

#[test]
fn what_needs_a_person_comes_first_and_the_rest_merged_by_itself() {
    let mut desk = Desk::new(vec![mugs()]);
    assert_eq!(names(desk.pane.fields()), ["price", "tags", "title", "stock", "dims.h"]);
    assert_eq!(desk.pane.undecided().len(), 2);
    assert_eq!(desk.pane.unchanged(), 1, "dims.w");
    desk.act(Action::ToggleUnchanged);
    assert_eq!(names(desk.pane.fields()).last().unwrap(), "dims.w");
    assert_eq!(desk.queued(), None);
    assert!(desk.said.last().unwrap().contains("2 fields still need a decision: price, tags"), "{:?}", desk.said);
}

#[test]
fn the_result_is_what_was_chosen_on_top_of_what_merged() {
    let mut desk = Desk::new(vec![mugs()]);
    desk.act(Action::TakeMine);
    desk.act(Action::NextUndecided);
    assert_eq!(name(desk.pane.field().unwrap()), "tags");
    desk.act(Action::TakeTheirs);
    let expected = json!({"price": 12.5, "title": "Mug, blue", "stock": 38, "tags": ["c"], "dims": {"h": 10, "w": 8}});
    assert_eq!(desk.queued(), Some((Take::Merged, Some(expected))));
    desk.act(Action::RedoMerge);
    assert_eq!(desk.queued(), None);
    desk.act(Action::Undo);
    assert!(desk.queued().is_some());
    desk.act(Action::Undo);
    assert_eq!(desk.pane.undecided().len(), 1, "step by step");
    desk.act(Action::Undo);
    assert!(desk.act(Action::Undo).used, "and never the change that is asked about");
}

#[test]
fn all_of_one_side_is_first_where_it_is_needed_then_everywhere() {
    let mut desk = Desk::new(vec![mugs()]);
    desk.act(Action::TakeAllMine);
    let (take, document) = desk.queued().unwrap();
    assert_eq!((take, &document.unwrap()["stock"]), (Take::Merged, &json!(38)), "their stock stays");
    desk.act(Action::TakeAllMine);
    assert_eq!(desk.queued(), Some((Take::Mine, mugs().mine)));
    desk.act(Action::TakeAllTheirs);
    desk.act(Action::TakeAllTheirs);
    assert_eq!(desk.queued(), Some((Take::Theirs, mugs().theirs)));
}

#[test]
fn a_typed_value_is_checked_kept_half_typed_and_taken() {
    let mut desk = Desk::new(vec![mugs()]);
    desk.act(Action::TypeValue);
    assert!(desk.pane.takes_text());
    desk.type_text("\"fourteen");
    desk.act(Action::Open);
    assert!(desk.said.last().unwrap().contains("Not a JSON value yet"), "{:?}", desk.said);
    desk.act(Action::Back);
    assert!(!desk.pane.takes_text() && desk.pane.is_half_typed(desk.pane.field().unwrap()));
    let session = serde_json::to_string(&desk.pane.session()).unwrap();
    let seen = Seen { at: &desk.at.clone(), setup: &desk.setup.clone(), drafts: &[] };
    desk.pane = Conflicts::restore(serde_json::from_str(&session).unwrap(), &seen);
    desk.load(vec![mugs()]);
    desk.act(Action::TypeValue);
    assert_eq!(desk.pane.typed().unwrap().text(), "\"fourteen");
    desk.type_text("\"");
    desk.act(Action::Open);
    assert_eq!(desk.pane.result(desk.pane.field().unwrap()), Some(Some(json!("fourteen"))));
    desk.act(Action::TypeValue);
    desk.type_text("null");
    desk.act(Action::Open);
    assert_eq!(desk.pane.result(desk.pane.field().unwrap()), Some(None), "null leaves it out");
}

#[test]
fn quotes_may_be_left_out_in_a_field_of_texts_and_nowhere_else() {
    let texts = conflict(1, Some(json!({"a": "x"})), Some(json!({"a": "mine"})), Some(json!({"a": "theirs"})));
    let cases =
        [("Ana Maria", json!("Ana Maria")), ("12", json!("12")), ("\"q\\n\"", json!("q\n")), (" x", json!(" x"))];
    for (typed, wanted) in cases {
        let mut desk = Desk::new(vec![texts.clone()]);
        desk.act(Action::TypeValue);
        desk.type_text(typed);
        desk.act(Action::Open);
        assert_eq!(desk.pane.result(desk.pane.field().unwrap()), Some(Some(wanted)), "{typed}");
    }
    for (conflict, typed) in [(texts.clone(), "\"half"), (texts, "  "), (mugs(), "Ana Maria")] {
        let mut desk = Desk::new(vec![conflict]);
        desk.act(Action::TypeValue);
        desk.type_text(typed);
        desk.act(Action::Open);
        assert!(desk.said.last().unwrap().contains("Not a JSON value yet"), "{typed}: {:?}", desk.said);
    }
}

#[test]
fn a_half_typed_value_is_not_queued_away() {
    let mut desk = Desk::new(vec![mugs()]);
    desk.act(Action::TakeAllMine);
    desk.act(Action::TypeValue);
    desk.act(Action::Back);
    assert!(!desk.pane.is_half_typed(desk.pane.field().unwrap()), "nothing was typed");
    desk.act(Action::TypeValue);
    desk.type_text("\"fourteen");
    desk.act(Action::Back);
    let field = desk.pane.field().unwrap().clone();
    desk.act(Action::MoveDown);
    assert_eq!(desk.queued(), None);
    assert!(desk.said.last().unwrap().contains("is not taken yet"), "{:?}", desk.said);
    assert_eq!(desk.pane.field().unwrap().pointer, field.pointer, "it is gone to");
    desk.act(Action::TakeMine);
    assert!(desk.queued().is_some(), "put aside by a choice");
    let mut desk = Desk::new(vec![mugs()]);
    desk.act(Action::TakeAllMine);
    let id = desk.pane.selected().unwrap().id;
    desk.pane.keep_text(id, "{\"half".to_owned());
    assert_eq!(desk.queued(), None);
    assert!(desk.said.last().unwrap().contains("editor"), "{:?}", desk.said);
    desk.act(Action::RedoMerge);
    desk.act(Action::TakeAllMine);
    assert!(desk.queued().is_some());
}

#[test]
fn a_deletion_against_an_edit_is_one_question_about_the_record() {
    let mut desk = Desk::new(vec![conflict(1, Some(json!({"a": 1})), Some(json!({"a": 2})), None)]);
    assert_eq!(desk.pane.whole(), Some(Whole::DeletedThere));
    desk.act(Action::TakeTheirs);
    assert_eq!(desk.queued(), Some((Take::Theirs, None)));
    desk.act(Action::TakeMine);
    assert_eq!(desk.queued(), Some((Take::Mine, Some(json!({"a": 2})))));
    let mut desk = Desk::new(vec![conflict(1, Some(json!({"a": 1})), None, Some(json!({"a": 3})))]);
    assert_eq!(desk.pane.whole(), Some(Whole::DeletedHere));
    desk.act(Action::TakeMine);
    assert_eq!(desk.queued(), Some((Take::Mine, None)));
}

#[test]
fn a_choice_is_dropped_only_where_the_other_side_changed_under_it_and_aloud() {
    let mut desk = Desk::new(vec![mugs()]);
    desk.act(Action::TakeAllMine);
    desk.load(vec![mugs()]);
    assert!(desk.queued().is_some(), "the same again changes nothing");
    let mut newer = mugs();
    newer.theirs.as_mut().unwrap()["price"] = json!(14);
    newer.theirs.as_mut().unwrap()["stock"] = json!(37);
    desk.load(vec![newer.clone()]);
    assert_eq!(desk.said.last().unwrap(), "products/p_1 changed again on the server: price");
    assert_eq!(names(&desk.pane.undecided().into_iter().cloned().collect::<Vec<_>>()), ["price"], "tags stay chosen");
    desk.load(Vec::new());
    assert_eq!(desk.pane.session().work.len(), 0, "what is resolved needs no choices");
}

#[test]
fn a_text_from_the_editor_becomes_choices_or_the_whole_document() {
    let mut desk = Desk::new(vec![mugs()]);
    let effects = desk.act(Action::EditExternally).effects;
    let [Effect::OpenEditor { text, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    desk.pane.returned(Ok(text.clone()));
    assert_eq!(desk.pane.undecided().len(), 2, "an undecided text is not taken");
    let again = desk.act(Action::EditExternally).effects;
    assert_eq!(&again, &effects, "and not lost");
    let document = json!({"price": 12.5, "title": "Mug, blue", "stock": 38, "tags": ["x"], "dims": {"h": 10, "w": 8}});
    desk.pane.returned(Ok(document.to_string()));
    assert_eq!(desk.pane.pick(&desk.pane.fields()[0]), Some(&Pick::Mine));
    assert_eq!(desk.pane.pick(&desk.pane.fields()[1]), Some(&Pick::Value(json!(["x"]))));
    assert_eq!(desk.pane.pick(&desk.pane.fields()[2]), None, "what merged so needs no choice");
    assert_eq!(desk.queued(), Some((Take::Merged, Some(document.clone()))));
    let mut other = document;
    other["dims"]["w"] = json!(99);
    desk.pane.returned(Ok(other.to_string()));
    assert!(desk.pane.has_whole_document());
    assert_eq!(desk.queued(), Some((Take::Merged, Some(other))), "also what no side had touched");
    desk.act(Action::Undo);
    assert!(!desk.pane.has_whole_document());
}

#[test]
fn next_goes_to_the_next_conflict_once_all_is_decided_here() {
    let mut second = mugs();
    (second.id, second.seq) = (2, Seq(102));
    let mut desk = Desk::new(vec![mugs(), second]);
    desk.act(Action::NextUndecided);
    assert_eq!((desk.pane.place(), name(desk.pane.field().unwrap())), ((1, 2), "tags".to_owned()));
    desk.act(Action::NextUndecided);
    assert_eq!(name(desk.pane.field().unwrap()), "price", "around");
    desk.act(Action::TakeAllMine);
    desk.act(Action::NextUndecided);
    assert_eq!(desk.pane.place(), (2, 2));
    assert_eq!(desk.pane.undecided().len(), 2, "each conflict has choices of its own");
    desk.act(Action::PreviousTab);
    assert!(desk.pane.undecided().is_empty());
}

#[test]
fn dropping_my_change_asks_first() {
    let mut desk = Desk::new(vec![mugs()]);
    let outcome = desk.act(Action::DropMine);
    let [Request::Confirm(question)] = outcome.requests.as_slice() else { panic!("{outcome:?}") };
    assert!(question.lines.iter().any(|line| line.contains("kept in the vault")));
    assert!(matches!(question.then.effects[0], Effect::Resolve { take: Take::Theirs, .. }));
}

#[test]
fn a_session_of_an_older_version_loads() {
    let old = r#"{"conflict": 3, "field": "/price", "chosen": {"3": "mine"}}"#;
    let session: ConflictsSession = serde_json::from_str(old).unwrap();
    assert_eq!((session.conflict, session.field), (Some(3), Pointer::parse("/price")));
}

#[test]
fn a_choice_says_what_it_would_do_as_a_rule_in_the_other_open_conflicts() {
    let mut second = mugs();
    (second.id, second.seq) = (2, Seq(102));
    let mut third = mugs();
    (third.id, third.seq) = (3, Seq(103));
    third.mine.as_mut().unwrap()["price"] = json!(12);
    let mut desk = Desk::new(vec![mugs(), second, third]);
    assert_eq!(desk.pane.lesson(), None);
    desk.act(Action::TakeTheirs);
    let taught = desk.pane.lesson().unwrap();
    assert_eq!((taught.lesson.pattern.to_string(), taught.lesson.rule.word()), ("/price".to_owned(), "theirs"));
    assert_eq!((taught.decides, taught.of), (2, 3), "in the third only the server changed it");
    desk.act(Action::MoveDown);
    assert_eq!(desk.pane.lesson(), None, "nothing is chosen there");
    desk.act(Action::MoveUp);
    desk.act(Action::TypeValue);
    desk.type_text("13");
    desk.act(Action::Open);
    assert_eq!(desk.pane.lesson().unwrap().lesson.rule.word(), "max", "the greater of the two");
}

/// The question that an answer came with.
fn asked(outcome: &Outcome) -> Option<&Question> {
    outcome.requests.iter().find_map(|request| match request {
        Request::Confirm(question) => Some(&**question),
        _ => None,
    })
}

/// Conflicts 1 to `count`; only the price needs a person.
fn prices(count: i64) -> Vec<Conflict> {
    let priced = |id: i64| {
        let side = |price: i64| Some(json!({"price": price}));
        conflict(id, side(10), side(20 + id), side(30 + id))
    };
    (1..=count).map(priced).collect()
}

#[test]
fn a_queued_answer_offers_its_rule_once_with_what_it_would_settle() {
    let mut all = prices(3);
    all.push(mugs());
    all[3].id = 4;
    let mut desk = Desk::new(all);
    desk.act(Action::TakeTheirs);
    let outcome = desk.act(Action::QueueResult);
    assert!(matches!(outcome.effects[0], Effect::Resolve { conflict: 1, .. }), "the answer does not wait for it");
    let question = asked(&outcome).unwrap();
    assert_eq!(question.title, "Always take theirs for /price in products?");
    let expected = [
        "It would settle 2 of 3 open conflicts, and a part of 1:",
        "p_2: price becomes 32",
        "p_3: price becomes 33",
        "p_1: price becomes 13; the rest still needs you",
    ];
    assert_eq!(question.lines[..4], expected);
    let Effect::KeepRule(rule) = &question.then.effects[0] else { panic!("{question:?}") };
    let answers = desk.pane.learn(&rule.collection, &rule.lesson);
    let told: Vec<_> = answers.iter().map(|answer| (answer.conflict, answer.take, answer.document.clone())).collect();
    assert_eq!(told, [2, 3].map(|id| (id, Take::Theirs, Some(json!({"price": 30 + id})))));
    assert_eq!(desk.pane.fields()[0].how, How::Rule(crate::model::rules::FieldRule::Theirs), "the screen follows it");
    desk.load(prices(3).split_off(1));
    desk.act(Action::TakeTheirs);
    assert_eq!(asked(&desk.act(Action::QueueResult)), None, "it is a rule by now");
}

#[test]
fn a_declined_rule_is_not_offered_again_but_can_be_asked_for() {
    let mut desk = Desk::new(prices(3));
    desk.act(Action::TakeTheirs);
    assert!(asked(&desk.act(Action::QueueResult)).is_some());
    let session = serde_json::to_string(&desk.pane.session()).unwrap();
    let seen = Seen { at: &desk.at.clone(), setup: &desk.setup.clone(), drafts: &[] };
    desk.pane = Conflicts::restore(serde_json::from_str(&session).unwrap(), &seen);
    desk.load(prices(3).split_off(1));
    desk.act(Action::TakeTheirs);
    assert_eq!(asked(&desk.act(Action::MakeRule)).unwrap().lines[0], "It would settle 1 of 1 open conflict:");
    assert_eq!(asked(&desk.act(Action::QueueResult)), None);
}

#[test]
fn nothing_is_offered_where_it_reaches_nothing_else_or_must_not_be_kept() {
    let mut desk = Desk::new(prices(1));
    desk.act(Action::TakeTheirs);
    assert_eq!(asked(&desk.act(Action::QueueResult)), None);
    let mut desk = Desk::new(prices(3));
    desk.act(Action::TakeBase);
    assert_eq!(asked(&desk.act(Action::QueueResult)), None, "no rule says that");
    desk.act(Action::MakeRule);
    assert!(desk.said.last().unwrap().contains("no choice for price that could be a rule"), "{:?}", desk.said);
    let mut desk = Desk::new(prices(3));
    desk.setup.read_only = true;
    desk.act(Action::TakeTheirs);
    assert_eq!(asked(&desk.act(Action::QueueResult)), None);
}

#[test]
fn what_somebody_began_to_decide_is_left_to_them() {
    let mut desk = Desk::new(prices(3));
    desk.act(Action::NextTab);
    desk.act(Action::TakeMine);
    desk.act(Action::PreviousTab);
    desk.act(Action::TakeTheirs);
    let outcome = desk.act(Action::QueueResult);
    assert_eq!(asked(&outcome).unwrap().lines[0], "It would settle 1 of 1 open conflict:");
    let Effect::KeepRule(rule) = &asked(&outcome).unwrap().then.effects[0] else { panic!("{outcome:?}") };
    let answers: Vec<Answer> = desk.pane.learn(&rule.collection, &rule.lesson);
    assert_eq!(answers.iter().map(|answer| answer.conflict).collect::<Vec<_>>(), [3]);
}

#[test]
fn an_undo_with_no_choice_left_does_not_reach_the_change_that_is_asked_about() {
    let mut desk = Desk::new(prices(2));
    desk.act(Action::TakeTheirs);
    assert!(desk.act(Action::Undo).used, "the choice");
    let outcome = desk.act(Action::Undo);
    assert!(outcome.used && outcome.effects.is_empty(), "{outcome:?}");
    assert!(outcome.notices[0].text.contains("no choice here"), "{outcome:?}");
    // What was answered here may be taken back, once.
    desk.act(Action::TakeMine);
    desk.act(Action::QueueResult);
    desk.load(prices(2).split_off(1));
    assert!(!desk.act(Action::Undo).used, "the app takes the newest change back");
    assert!(desk.act(Action::Undo).used);
    // A question that was declined is no answer, and what came into conflict since may be the newest change.
    assert!(asked(&desk.act(Action::DropMine)).is_some());
    assert!(desk.act(Action::Undo).used);
    desk.load(Vec::new());
    desk.load(prices(3).split_off(2));
    assert!(desk.act(Action::Undo).used);
}

#[test]
fn a_place_that_has_its_rule_says_so_when_it_is_asked_for_again() {
    let mut desk = Desk::new(prices(2));
    desk.act(Action::TakeTheirs);
    let outcome = desk.act(Action::MakeRule);
    let question = asked(&outcome).unwrap();
    let Effect::KeepRule(rule) = &question.then.effects[0] else { panic!("{question:?}") };
    desk.pane.learn(&rule.collection, &rule.lesson);
    desk.act(Action::TakeTheirs);
    let outcome = desk.act(Action::MakeRule);
    assert!(outcome.notices[0].text.contains("`theirs` is the rule for price already"), "{outcome:?}");
}
