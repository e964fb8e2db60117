//! The picture of the README: made from the real screen, and checked that it still shows it.
//!
//! `EBBTIDE_PICTURE=write cargo test --test picture` writes `assets/screenshots/dashboard.svg` anew.

mod common;

use std::path::Path;

use common::pty::Pty;

const COLUMNS: u16 = 120;
const ROWS: u16 = 36;

#[test]
fn the_readme_shows_the_real_screen() {
    let dir = tempfile::tempdir().unwrap();
    let mut pty = Pty::start(&["demo", "--data-dir", dir.path().to_str().unwrap()], COLUMNS, ROWS, &[]);
    pty.wait_text("ONLINE");
    pty.wait("records", |frame| frame.contains("of 9") || frame.contains("of 1,") || frame.contains("of 8"));
    pty.send("\x1b[20~"); // F9: cut the network
    pty.wait_text("OFFLINE");
    for step in ["2", "j", "j", "d"] {
        pty.send(step);
    }
    pty.wait_text("Delete");
    pty.send("\r");
    pty.wait_text("1 queued");
    pty.send("j");
    let frame = pty.wait_text("1 queued");
    let svg = svg(&pty);
    pty.send("q");
    pty.wait_exit();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/screenshots/dashboard.svg");
    if std::env::var("EBBTIDE_PICTURE").is_ok_and(|wish| wish == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, svg).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).expect("EBBTIDE_PICTURE=write makes the picture");
    for row in [&frame.rows[1], &frame.rows[usize::from(ROWS) - 1]] {
        let words: Vec<&str> = row.split_whitespace().filter(|word| word.chars().all(char::is_alphabetic)).collect();
        for word in words {
            assert!(kept.contains(word), "the picture does not show `{word}`: write it anew");
        }
    }
}

/// The screen as SVG: one rectangle per run of background, one text per run of equal style.
fn svg(pty: &Pty) -> String {
    const CELL: (f32, f32) = (8.4, 18.0);
    let (width, height) = (f32::from(COLUMNS) * CELL.0 + 24.0, f32::from(ROWS) * CELL.1 + 24.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    pty.with_screen(|screen| {
        for row in 0..ROWS {
            let mut column = 0;
            while column < COLUMNS {
                let style = style(screen.cell(row, column));
                let (start, mut text) = (column, String::new());
                while column < COLUMNS && self::style(screen.cell(row, column)) == style {
                    let cell = screen.cell(row, column);
                    let contents = cell.map_or("", |cell| cell.contents());
                    text.push_str(if contents.is_empty() && !cell.is_some_and(vt100::Cell::is_wide_continuation) { " " } else { contents });
                    column += 1;
                }
                let (x, y) = (12.0 + f32::from(start) * CELL.0, 12.0 + f32::from(row) * CELL.1);
                let run = f32::from(column - start) * CELL.0;
                let (foreground, background, bold) = style;
                if background != "#16181d" {
                    out.push_str(&format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{run:.1}\" height=\"{:.1}\" fill=\"{background}\"/>\n", CELL.1));
                }
                if !text.trim().is_empty() {
                    let weight = if bold { " font-weight=\"bold\"" } else { "" };
                    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                    out.push_str(&format!(
                        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{run:.1}\" lengthAdjust=\"spacing\" fill=\"{foreground}\"{weight}>{escaped}</text>\n",
                        y + 13.5
                    ));
                }
            }
        }
    });
    out.push_str("</g>\n</svg>\n");
    out
}

fn style(cell: Option<&vt100::Cell>) -> (&'static str, &'static str, bool) {
    let Some(cell) = cell else { return ("#d7dae0", "#16181d", false) };
    let (mut foreground, mut background) = (color(cell.fgcolor(), "#d7dae0"), color(cell.bgcolor(), "#16181d"));
    if cell.inverse() {
        std::mem::swap(&mut foreground, &mut background);
    }
    if cell.dim() {
        foreground = "#7d8590";
    }
    (foreground, background, cell.bold())
}

fn color(color: vt100::Color, default: &'static str) -> &'static str {
    const ANSI: [&str; 16] = [
        "#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0", "#7d8590", "#ff7b86",
        "#b5e890", "#ffd68a", "#7fc4ff", "#dd9bf0", "#7fd4de", "#ffffff",
    ];
    match color {
        vt100::Color::Idx(index) => ANSI.get(usize::from(index)).copied().unwrap_or(default),
        _ => default,
    }
}
