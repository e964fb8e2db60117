//! What a key costs in large documents, step by step: the buffer, the pane (draft write and check), the drawing.
//!
//! `cargo bench --bench editor`

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ebbtide::{
    app::{
        Setup,
        pane::{Cx, Pane},
        panes::editor::{Begin, Editor, pretty::pretty},
        settings::{Glyphs, UiSettings},
        text::TextBuffer,
        world::World,
    },
    model::{
        document::Document,
        draft::{DraftKey, DraftTarget},
        ids::CollectionKey,
        time::At,
    },
    ui::{
        panes::editor,
        theme::{Look, Theme},
    },
};
use ratatui::{buffer::Buffer, layout::Rect};
use serde_json::{Value, json};

const KEYS: u64 = 200;

fn main() {
    println!("{:<46} {:>10} {:>10} {:>10}", "a key in the middle of", "p50", "p99", "max");
    for (name, bytes) in [("8 KiB", 8 << 10), ("240 KiB, checked", 240 << 10), ("1 MiB", 1 << 20), ("10 MiB", 10 << 20)]
    {
        let document = document(bytes);
        let text = pretty(&document);
        let mut buffer = TextBuffer::new(&text);
        buffer.set_room(31, 68);
        buffer.go_to_line(buffer.lines().len() / 2, 3);
        row(&format!("{name}: buffer and step"), |second| {
            let step = buffer.handle(&At::test(second), &'x'.into()).step;
            black_box(step.map(|step| step.to_json()));
        });
        pane(name, document);
    }
    let long = "the quick brown 狐 jumps over ".repeat(1 << 15);
    let mut buffer = TextBuffer::new(&long);
    buffer.set_room(31, 68);
    buffer.go_to_line(1, usize::MAX);
    row("one line of 1 MiB: buffer, at its end", |second| {
        black_box(buffer.handle(&At::test(second), &'x'.into()));
        black_box(buffer.scroll_in(31, 68));
    });
    let pasted = "{\"name\": \"田中\"},\n".repeat(1 << 16);
    once("paste of 1.1 MiB", || black_box(TextBuffer::default().paste(&pasted)).is_some());
    replay();
}

/// Through the pane as the app does it, and the drawing of the frame after it.
fn pane(name: &str, document: Value) {
    let text_lines = pretty(&document).lines().count();
    let (setup, world, theme) = (setup(), World::default(), Theme::default());
    let mut editor = Editor::default();
    let key = DraftKey { record: CollectionKey::new("s", "c").record("id"), target: DraftTarget::Document };
    let document = Document::from(document);
    let begin = Begin {
        key,
        base: Some(document.clone()),
        document: Some(document),
        base_revision: None,
        draft: None,
        ops: vec![],
    };
    let at = At::test(0);
    editor.open(begin, &Cx { at: &at, setup: &setup, world: &world, room: (118, 31), full: false });
    let mut press = |key: &str| {
        let cx = Cx { at: &at, setup: &setup, world: &world, room: (118, 31), full: false };
        editor.input(&key.parse().expect("a key"), &cx);
    };
    for _ in 0..text_lines / 60 {
        press("PageDown");
    }
    // Into a string, so that the text stays valid. The first key begins the draft with a snapshot of the whole.
    for key in "Ctrl+f L i n d q v i s t Ctrl+c Right x".split(' ') {
        press(key);
    }
    let problems = editor.sheet().map_or(0, |sheet| sheet.check.problems.len());
    assert_eq!(problems, 0, "the text should be valid");
    row(&format!("{name}: pane, draft write and check"), |second| {
        let at = At::test(second);
        black_box(
            editor.input(&'x'.into(), &Cx { at: &at, setup: &setup, world: &world, room: (118, 31), full: false }),
        );
    });
    let area = Rect::new(0, 0, 120, 33);
    row(&format!("{name}: drawing 120x33"), |_| {
        let mut buf = Buffer::empty(area);
        let look = Look { theme: &theme, glyphs: Glyphs::Unicode };
        black_box(editor::draw(&editor, look, true, area, &mut buf));
    });
}

fn replay() {
    let text = pretty(&document(1 << 20));
    let mut buffer = TextBuffer::new(&text);
    let saved = |buffer: &TextBuffer| buffer.snapshot(&buffer.saved());
    let snapshot = saved(&buffer);
    let steps: Vec<String> = (0..500)
        .filter_map(|second| buffer.handle(&At::test(second), &'x'.into()).step.map(|step| step.to_json()))
        .collect();
    once("snapshot of 1 MiB", || !black_box(saved(&buffer)).is_empty());
    once("restore of 1 MiB and 500 steps", || {
        let (line, text) = TextBuffer::split(&snapshot);
        black_box(TextBuffer::rescued(line, text, &steps)).is_ok_and(|back| back == buffer)
    });
}

fn document(bytes: usize) -> Value {
    let one = json!({"name": "Bo Lindqvist 田中", "role": "editor", "age": 41, "tags": ["vip", "eu"], "email": "bo@acme.test"});
    let rows = bytes / pretty(&json!({ "user_000000": one })).len();
    Value::Object((0..rows).map(|number| (format!("user_{number:06}"), one.clone())).collect())
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

fn row(name: &str, mut work: impl FnMut(u64)) {
    let mut times: Vec<Duration> = (0..KEYS)
        .map(|second| {
            let begin = Instant::now();
            work(second);
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: usize| format!("{:.1?}", times[(times.len() - 1) * share / 100]);
    println!("{name:<46} {:>10} {:>10} {:>10}", at(50), at(99), at(100));
}

fn once(name: &str, work: impl FnOnce() -> bool) {
    let begin = Instant::now();
    let done = work();
    println!("{name:<46} {:>10} {}", format!("{:.1?}", begin.elapsed()), if done { "" } else { "FAILED" });
}
