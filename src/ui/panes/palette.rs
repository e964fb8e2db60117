//! Draws the command palette.

use crate::{
    app::{
        App,
        geometry::Place,
        panes::palette::{Entry, Palette},
        words,
    },
    ui::{
        canvas::{Border, Canvas},
        panes::select,
        text,
        theme::Role,
    },
};

pub fn draw(app: &App, canvas: &mut Canvas<'_>, place: &Place) {
    let pane: &Palette = app.palette();
    canvas.frame(
        place.area,
        &Border {
            title: "Commands",
            bottom_right: "enter run  tab complete  esc close",
            focused: true,
            ..Border::default()
        },
    );
    let inner = place.area.inner();
    let entries = pane.entries(app.setup().demo);
    let count = format!("{} of {}", entries.len(), crate::app::command::COMMANDS.len());
    let line = inner.row(0);
    canvas.put(line.x + 1, line.y, ":", 1, Role::HintKey);
    let from = canvas.put_right(line.right().saturating_sub(1), line.y, &count, 12, Role::Dim);
    canvas.input(line.x + 3, line.y, usize::from(from.saturating_sub(line.x + 5)), pane.input_line(), true);
    let height = inner.height.saturating_sub(2);
    if entries.is_empty() {
        let at = inner.row(2);
        canvas.put(at.x + 1, at.y, "No command is called that", usize::from(at.width), Role::Dim);
        return;
    }
    let cursor = pane.index(&entries);
    let top = pane.top(&entries, usize::from(height));
    for (row, (index, entry)) in (2..inner.height).zip(entries.iter().enumerate().skip(top)) {
        let at = inner.row(row);
        let (name, help, right) = match entry {
            Entry::Command(command) => {
                let argument = command.argument.map(|argument| format!(" {argument}")).unwrap_or_default();
                let key = app.keymap().any_key(command.action).unwrap_or_else(|| "-".to_owned());
                (format!("{}{argument}", command.title), command.help.to_owned(), key)
            }
            Entry::Recent(recent) => (recent.line.clone(), "again".to_owned(), words::ago(app.now().wall, recent.at)),
        };
        let from = canvas.put_right(at.right().saturating_sub(1), at.y, &right, 12, Role::HintKey);
        let column = 36.min(usize::from(at.width) / 2);
        let used = text::width(&name).max(column.saturating_sub(2)).min(usize::from(at.width) - 14);
        canvas.put(at.x + 2, at.y, &name, used, Role::Text);
        let x = at.x + 4 + u16::try_from(used).unwrap_or(0);
        canvas.put(x, at.y, &help, usize::from(from.saturating_sub(x + 1)), Role::Dim);
        if index == cursor {
            select(canvas, at, true);
        }
    }
}
