//! The story of the buffer: what keys do, and the laws of replay and undo.

use keybinds::KeyInput;
use proptest::prelude::*;

use super::*;
use crate::model::time::At;

fn saved(buffer: &TextBuffer) -> String {
    buffer.snapshot(&buffer.saved())
}

fn read(snapshot: &str, steps: &[String]) -> Result<TextBuffer, Damaged> {
    let (line, text) = TextBuffer::split(snapshot);
    TextBuffer::rescued(line, text, steps)
}

fn press(buffer: &mut TextBuffer, keys: &str) -> Vec<String> {
    let steps = keys.split_whitespace().filter_map(|key| buffer.handle(&At::test(0), &key.parse().unwrap()).step);
    steps.map(|step| step.to_json()).collect()
}

fn at_end(text: &str) -> TextBuffer {
    let mut buffer = TextBuffer::new(text);
    press(&mut buffer, "Ctrl+End");
    buffer
}

#[test]
fn a_typed_character_is_a_step_of_a_few_bytes() {
    let mut buffer = TextBuffer::new("{}");
    let steps = press(&mut buffer, "Right x y");
    assert_eq!(steps, [r#"{"r":{"a":[0,1],"t":"x"}}"#, r#"{"r":{"a":[0,2],"t":"y","j":true}}"#]);
}

#[test]
fn moving_the_cursor_is_no_step() {
    let mut buffer = TextBuffer::new("one\ntwo");
    assert!(press(&mut buffer, "Down Right Shift+Right Ctrl+Home PageDown Ctrl+a").is_empty());
}

#[test]
fn the_cursor_goes_by_grapheme_and_keeps_its_column_over_short_lines() {
    let mut buffer = TextBuffer::new("田中さん\n\ne\u{301}bcdefgh");
    press(&mut buffer, "Right Right Down Down");
    assert_eq!(buffer.cursor(), Pos::new(2, "e\u{301}bcd".len()));
    press(&mut buffer, "Home Right");
    assert_eq!(buffer.cursor().at, "e\u{301}".len());
}

#[test]
fn newline_keeps_the_indent_and_opens_brackets() {
    let mut buffer = TextBuffer::new("  {}");
    press(&mut buffer, "End Left Enter a");
    assert_eq!(buffer.text(), "  {\n    a\n  }");
    let mut buffer = at_end("  [");
    press(&mut buffer, "Enter 1 Enter ]");
    assert_eq!(buffer.text(), "  [\n    1\n  ]");
}

#[test]
fn undo_takes_back_words_and_begins_anew_after_a_pause_or_a_move() {
    let mut buffer = TextBuffer::default();
    press(&mut buffer, "o n e Space t w o");
    press(&mut buffer, "Ctrl+z");
    assert_eq!(buffer.text(), "one ");
    press(&mut buffer, "Ctrl+y");
    buffer.handle(&At::test(60), &'x'.into());
    press(&mut buffer, "Ctrl+z");
    assert_eq!(buffer.text(), "one two");
}

#[test]
fn a_run_of_backspaces_is_undone_at_once() {
    let mut buffer = at_end("{ \"role\"");
    press(&mut buffer, "Backspace Backspace Backspace Ctrl+z");
    assert_eq!((buffer.text().as_str(), buffer.cursor().at), ("{ \"role\"", 8));
    press(&mut buffer, "Home Delete Delete Ctrl+z");
    assert_eq!((buffer.text().as_str(), buffer.cursor().at), ("{ \"role\"", 0));
}

#[test]
fn a_megabyte_is_pasted_as_one_step() {
    let text = "{\"田\": \"👩‍👩‍👧\"},\r\n".repeat(40_000);
    let mut buffer = TextBuffer::default();
    let step = buffer.paste(&text).unwrap();
    assert_eq!(buffer.lines().len(), 40_001);
    assert!(!buffer.text().contains('\r'));
    let back = read(&saved(&TextBuffer::default()), &[step.to_json()]).unwrap();
    assert!(back == buffer);
    press(&mut buffer, "Ctrl+z");
    assert!(buffer.is_empty());
}

#[test]
fn cut_and_paste_take_the_selection_or_the_line() {
    let mut buffer = TextBuffer::new("one\ntwo\nthree");
    press(&mut buffer, "Ctrl+x Down Ctrl+v");
    assert_eq!(buffer.text(), "two\none\nthree");
    press(&mut buffer, "Ctrl+Home Shift+End");
    let handled = buffer.handle(&At::test(0), &"Ctrl+c".parse().unwrap());
    assert_eq!(handled.copied.as_deref(), Some("two"));
    press(&mut buffer, "Ctrl+End Shift+Insert");
    assert_eq!(buffer.text(), "two\none\nthreetwo");
}

#[test]
fn tab_indents_the_selected_lines_and_shift_tab_takes_it_back() {
    let mut buffer = TextBuffer::new("a\nb\nc");
    press(&mut buffer, "Shift+Down Shift+Right Tab");
    assert_eq!(buffer.text(), "  a\n  b\nc");
    assert_eq!(buffer.selected_text().unwrap(), "a\n  b");
    press(&mut buffer, "Shift+Tab");
    assert_eq!(buffer.text(), "a\nb\nc");
}

#[test]
fn find_goes_round_the_end_and_minds_capitals_only_when_asked() {
    let mut buffer = TextBuffer::new("Role\nrole ROLE\nx");
    let found =
        |buffer: &TextBuffer, needle: &str, from, forward| buffer.find(needle, from, forward).map(|hit| hit.from);
    assert_eq!(found(&buffer, "role", Pos::new(0, 1), true), Some(Pos::new(1, 0)));
    assert_eq!(found(&buffer, "ROLE", Pos::default(), true), Some(Pos::new(1, 5)));
    assert_eq!(found(&buffer, "role", Pos::new(2, 0), true), Some(Pos::new(0, 0)));
    assert_eq!(found(&buffer, "role", Pos::new(0, 0), false), Some(Pos::new(1, 5)));
    assert_eq!(found(&buffer, "none", Pos::default(), true), None);
    assert_eq!(buffer.count("role", Pos::new(1, 1), 99), (2, 3));
    buffer.select(buffer.find("role", Pos::new(1, 0), true).unwrap());
    assert_eq!(buffer.selected_text().unwrap(), "role");
}

#[test]
fn a_whole_replacement_is_one_step_and_the_cursor_stays_on_its_line() {
    let mut buffer = TextBuffer::new("{\n  \"a\": 1,\n  \"b\": 2\n}");
    press(&mut buffer, "Down Down End");
    let step = buffer.replace_text("{\n  \"a\": 1,\n  \"b\": 25\n}").unwrap();
    assert!(step.to_json().len() < 80, "{}", step.to_json());
    assert_eq!(buffer.cursor().line, 2);
    buffer.replace_text("garbage").unwrap();
    press(&mut buffer, "Ctrl+z Ctrl+z");
    assert_eq!(buffer.text(), "{\n  \"a\": 1,\n  \"b\": 2\n}");
}

#[test]
fn a_small_window_moves_nothing_and_the_wheel_leaves_the_cursor() {
    let text: String = (0..100).map(|number| format!("{number}\n")).collect();
    let mut buffer = TextBuffer::new(&text);
    buffer.set_room(20, 40);
    buffer.go_to_line(50, 1);
    let before = buffer.scroll_in(20, 40);
    buffer.set_room(3, 5);
    assert_eq!(buffer.scroll_in(3, 5).line, 47);
    buffer.set_room(20, 40);
    assert_eq!(buffer.scroll_in(20, 40), before);
    buffer.wheel(30);
    assert_eq!((buffer.scroll_in(20, 40).line, buffer.cursor().line), (60, 49));
    press(&mut buffer, "x");
    assert!((30..50).contains(&buffer.scroll_in(20, 40).line));
}

#[test]
fn long_lines_scroll_sideways_to_the_cursor() {
    let mut buffer = TextBuffer::new(&"田".repeat(100));
    buffer.set_room(5, 20);
    press(&mut buffer, "End");
    let scroll = buffer.scroll_in(5, 20);
    assert!(scroll.column <= 200 && 200 < scroll.column + 20);
    press(&mut buffer, "Home");
    assert_eq!(buffer.scroll_in(5, 20).column, 0);
}

#[test]
fn a_damaged_draft_gives_back_what_can_be_read() {
    let mut buffer = TextBuffer::new("{}");
    let mut steps = press(&mut buffer, "Right a b");
    steps.push("{\"r\":{\"a\":[99,0],\"t\":\"x\"}}".to_owned());
    let damaged = read(&saved(&TextBuffer::new("{}")), &steps).unwrap_err();
    assert_eq!(damaged.to_string(), "edit 3: it changes a place that is not there");
    assert_eq!(damaged.text.text(), "{ab}");
    let damaged = read("half a sna", &[]).unwrap_err();
    assert_eq!((damaged.step, damaged.text.text().as_str()), (None, "half a sna"));
    let damaged = read("{\"version\":2,\"car\n{\"a\": 1}\n", &[]).unwrap_err();
    assert_eq!(damaged.text.text(), "{\"a\": 1}\n", "the text behind it is whole");
    let headless = saved(&TextBuffer::new("")).trim_end().to_owned();
    assert_eq!(read(&headless, &[]).unwrap_err().to_string(), "the snapshot: its text is missing");
    let newer = "{\"version\":3,\"caret\":{\"c\":[0,0]},\"scroll\":[0,0]}\nabc";
    let damaged = read(newer, &[]).unwrap_err();
    assert!(damaged.to_string().contains("newer"), "{damaged}");
    assert_eq!(damaged.text.text(), "abc");
}

#[test]
fn a_snapshot_with_its_text_in_the_json_is_read_as_ever() {
    let old = r#"{"version":1,"text":"{\n  \"é\": 1\n}","caret":{"c":[1,2]},"scroll":[0,0]}"#;
    let buffer = read(old, &[]).unwrap();
    assert_eq!((buffer.text().as_str(), buffer.cursor()), ("{\n  \"é\": 1\n}", Pos::new(1, 2)));
    assert!(saved(&buffer).ends_with("}\n{\n  \"é\": 1\n}"), "and written with it behind");
    assert!(read(&saved(&buffer), &[]).unwrap() == buffer);
}

#[test]
fn undo_keeps_at_least_fifty_steps_over_a_restart() {
    let mut buffer = TextBuffer::default();
    for _ in 0..300 {
        buffer.paste("x");
    }
    let mut back = read(&saved(&buffer), &[]).unwrap();
    let undone = std::iter::from_fn(|| back.undo()).count();
    assert_eq!(undone, 200);
}

/// A key, a paste or the mouse.
#[derive(Debug, Clone)]
enum Input {
    Key(&'static str),
    Text(char),
    Paste(String),
    Replace(String),
    Click(usize, usize, bool),
    Wheel(isize),
    Room(usize, usize),
}

fn input() -> impl Strategy<Value = Input> {
    let keys = prop::sample::select(vec![
        "Left",
        "Right",
        "Up",
        "Down",
        "Home",
        "End",
        "PageUp",
        "PageDown",
        "Ctrl+Left",
        "Ctrl+Right",
        "Ctrl+Home",
        "Ctrl+End",
        "Shift+Left",
        "Shift+Right",
        "Shift+Up",
        "Shift+Down",
        "Shift+Ctrl+Right",
        "Shift+End",
        "Ctrl+a",
        "Enter",
        "Tab",
        "Shift+Tab",
        "Backspace",
        "Delete",
        "Ctrl+w",
        "Ctrl+k",
        "Ctrl+u",
        "Ctrl+x",
        "Ctrl+c",
        "Ctrl+v",
        "Ctrl+z",
        "Ctrl+z",
        "Ctrl+y",
    ]);
    let text = "[a-c{}\\[\\]\" 田👩\u{301}\u{200d}של\u{1f1e9}\u{1f1ea}\u{1f3fb}]";
    prop_oneof![
        6 => keys.prop_map(Input::Key),
        6 => text.prop_map(|text| Input::Text(text.chars().next().unwrap())),
        1 => "[a-b\n\r田\u{301}\u{200d}👩 {}]{0,8}".prop_map(Input::Paste),
        1 => "[a-b\n田\u{301}👩 ]{0,6}".prop_map(Input::Replace),
        1 => (0..6_usize, 0..12_usize, any::<bool>()).prop_map(|(row, column, extend)| Input::Click(row, column, extend)),
        1 => (-3..4_isize).prop_map(Input::Wheel),
        1 => (0..5_usize, 0..9_usize).prop_map(|(rows, columns)| Input::Room(rows, columns)),
    ]
}

fn play(buffer: &mut TextBuffer, second: u64, input: &Input) -> Option<Step> {
    match input {
        Input::Key(key) => buffer.handle(&At::test(second), &key.parse().unwrap()).step,
        Input::Text(c) => buffer.handle(&At::test(second), &KeyInput::from(*c)).step,
        Input::Paste(text) => buffer.paste(text),
        Input::Replace(text) => buffer.replace_text(text),
        Input::Click(row, column, extend) => {
            buffer.click(*row, *column, *extend);
            None
        }
        Input::Wheel(lines) => {
            buffer.wheel(*lines);
            None
        }
        Input::Room(rows, columns) => {
            buffer.set_room(*rows, *columns);
            None
        }
    }
}

proptest! {
    #[test]
    fn a_snapshot_and_its_steps_equal_the_live_buffer(
        text in "[a-c\n{} 田]{0,12}", inputs in prop::collection::vec(input(), 0..80), cut in 0..80_usize
    ) {
        let mut live = TextBuffer::new(&text);
        let mut snapshot = saved(&live);
        let mut steps = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            if number == cut {
                snapshot = saved(&live);
                steps.clear();
            }
            let step = play(&mut live, u64::try_from(number / 5).unwrap(), input);
            let edited = step.is_some();
            steps.extend(step.map(|step| step.to_json()));

            let mut replayed = read(&snapshot, &steps).unwrap();
            if edited {
                prop_assert!(replayed == live, "after {:?}\n{:?}\n{:?}", input, replayed, live);
            }
            replayed.set_view(live.view());
            prop_assert!(replayed == live, "with the view, after {:?}", input);
            prop_assert_eq!(replayed.view(), live.view());
            let Caret { cursor, anchor } = live.caret;
            prop_assert_eq!(live.clamp(cursor), cursor);
            prop_assert!(anchor.is_none_or(|anchor| live.clamp(anchor) == anchor));
            prop_assert_eq!(live.len(), live.text().len());
            for (rows, columns) in [(0, 0), (1, 1), (4, 9)] {
                let scroll = live.scroll_in(rows, columns);
                prop_assert!(scroll.line < live.lines.len());
            }
        }
    }

    #[test]
    fn all_undone_and_all_redone_is_the_identity(inputs in prop::collection::vec(input(), 0..60)) {
        let mut buffer = TextBuffer::new("{\n  \"a\": 1\n}");
        for (number, input) in inputs.iter().enumerate() {
            play(&mut buffer, u64::try_from(number / 5).unwrap(), input);
        }
        while buffer.redo().is_some() {}
        let (text, steps) = (buffer.text(), buffer.history().0);
        while buffer.undo().is_some() {}
        prop_assert_eq!(buffer.text(), "{\n  \"a\": 1\n}");
        while buffer.redo().is_some() {}
        prop_assert_eq!(buffer.text(), text);
        prop_assert_eq!(buffer.history(), (steps, 0));
    }
}
