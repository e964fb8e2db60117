//! The ratatui backend: one write per frame, in synchronized update, and no byte where nothing changed.

use std::{cell::RefCell, collections::BTreeSet, io, ops::RangeInclusive, rc::Rc};

use ratatui::{
    backend::{Backend, ClearType, CrosstermBackend, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
};

use unicode_width::UnicodeWidthStr as _;

use crate::terminal::writer::Writer;

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// Begins a synchronized update and saves the cursor.
const BANNER_START: &str = "\x1b[?2026h\x1b7";
const BANNER_END: &str = "\x1b8\x1b[?2026l";

/// Draws into memory; [`Backend::flush`] hands the bytes to the [`Writer`].
pub struct Screen {
    inner: CrosstermBackend<Frame>,
    bytes: Frame,
    writer: Writer,
    size: Size,
    cursor: Option<Position>,
    /// Where the terminal's cursor was last put, with its visibility; `None` when that is not known.
    shown: Option<Option<Position>>,
    /// Every cell as it was last written, for writing it again.
    known: Vec<Cell>,
    dirty: bool,
}

fn blank(size: Size) -> Vec<Cell> {
    blanks().take(usize::from(size.width) * usize::from(size.height)).collect()
}

fn blanks() -> impl Iterator<Item = Cell> {
    std::iter::repeat(Cell::EMPTY)
}

/// A symbol of several characters: terminals disagree on how many cells it takes.
fn is_doubtful(cell: &Cell) -> bool {
    !cell.symbol().is_ascii() && cell.symbol().chars().nth(1).is_some()
}

/// The cells behind a symbol that a terminal may write over which draws each of its characters by itself, and wide.
fn spill(cell: &Cell) -> RangeInclusive<u16> {
    let width = u16::try_from(cell.symbol().width()).unwrap_or(1).max(1);
    width..=u16::try_from(cell.symbol().chars().count() * 2).unwrap_or(u16::MAX)
}

impl Screen {
    pub fn new(writer: Writer, columns: u16, rows: u16) -> Self {
        let bytes = Frame::default();
        Self {
            inner: CrosstermBackend::new(bytes.clone()),
            bytes,
            writer,
            size: Size::new(columns, rows),
            cursor: None,
            shown: None,
            known: blank(Size::new(columns, rows)),
            dirty: false,
        }
    }

    /// The size as the last resize event told it: drawing asks the terminal nothing.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.size = Size::new(columns, rows);
        self.known = blank(self.size);
    }

    fn index(&self, x: u16, y: u16) -> Option<usize> {
        (x < self.size.width).then(|| usize::from(y) * usize::from(self.size.width) + usize::from(x))
    }

    fn known(&self, x: u16, y: u16) -> Option<&Cell> {
        self.known.get(self.index(x, y)?)
    }

    /// After somebody else wrote to the terminal: nothing of what it shows is known.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    /// Writes one line over a row of the last frame and leaves everything else as it is: the way to say that the state
    /// behind the next frame could not be saved. `text` is cut or padded to the width; it must be plain ASCII.
    pub fn banner(&mut self, row: u16, text: &str) {
        let width = usize::from(self.size.width);
        let line = format!("{BANNER_START}\x1b[{};1H\x1b[7m{text:<width$.width$}\x1b[27m{BANNER_END}", row + 1);
        self.writer.send(line.into_bytes());
    }

    /// Sends a sequence of our own that draws nothing (the clipboard).
    pub fn send_sequence(&mut self, sequence: Vec<u8>) {
        self.writer.send(sequence);
    }

    pub fn rows(&self) -> u16 {
        self.size.height
    }

    pub fn writer(&self) -> &Writer {
        &self.writer
    }
}

/// The bytes of the frame being drawn, shared with the crossterm backend that fills it.
#[derive(Debug, Clone, Default)]
struct Frame(Rc<RefCell<Vec<u8>>>);

impl io::Write for Frame {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Backend for Screen {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        // Each run begins with a cursor move. It ends after a symbol whose width terminals disagree on, and the cells behind
        // it are written again, as those behind one that goes: a wrong guess stays within its own cell.
        let mut runs: Vec<Vec<(u16, u16, Cell)>> = Vec::new();
        let mut open = false;
        // By row, then from the left: what is written again may spill over as well.
        let mut behind: BTreeSet<(u16, u16)> = BTreeSet::new();
        let spills = |x: u16, y: u16, cells: RangeInclusive<u16>, behind: &mut BTreeSet<(u16, u16)>| {
            behind.extend(cells.map(|step| (y, x.saturating_add(step))));
        };
        for (x, y, cell) in content {
            // What a wide symbol lies on is not there any more; left in place it would seem to cover what comes behind.
            let width = u16::try_from(cell.symbol().width()).unwrap_or(1).max(1);
            for (x, new) in (x..x.saturating_add(width)).zip(std::iter::once(cell.clone()).chain(blanks())) {
                if let Some(known) = self.index(x, y).and_then(|index| self.known.get_mut(index)) {
                    let gone = std::mem::replace(known, new);
                    if is_doubtful(&gone) {
                        spills(x, y, 1..=*spill(&gone).end(), &mut behind);
                    }
                }
            }
            if !std::mem::replace(&mut open, true) {
                runs.push(Vec::new());
            }
            let run = runs.last_mut().expect("one was opened");
            run.push((x, y, cell.clone()));
            open = !is_doubtful(cell);
            if !open {
                spills(x, y, spill(cell), &mut behind);
            }
        }
        for run in &runs {
            self.inner.draw(run.iter().map(|(x, y, cell)| (*x, *y, cell)))?;
        }
        while let Some((y, x)) = behind.pop_first() {
            let is_covered =
                x.checked_sub(1).and_then(|left| self.known(left, y)).is_some_and(|cell| cell.symbol().width() > 1);
            if let Some(cell) = self.known(x, y).filter(|_| !is_covered).cloned() {
                self.inner.draw(std::iter::once((x, y, &cell)))?;
                if is_doubtful(&cell) {
                    spills(x, y, spill(&cell), &mut behind);
                }
            }
        }
        self.dirty |= !runs.is_empty();
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.cursor = None;
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.cursor.get_or_insert(Position::ORIGIN);
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor.unwrap_or(Position::ORIGIN))
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.cursor = Some(position.into());
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.dirty = true;
        self.known = blank(self.size);
        self.inner.clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.dirty = true;
        self.inner.clear_region(clear_type)
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        let cursor = self.cursor;
        if !self.dirty && self.shown == Some(cursor) {
            self.bytes.0.borrow_mut().clear();
            return Ok(());
        }
        match cursor {
            Some(position) => {
                self.inner.set_cursor_position(position)?;
                self.inner.show_cursor()?;
            }
            None if self.shown != Some(None) => self.inner.hide_cursor()?,
            None => {}
        }
        let body = std::mem::take(&mut *self.bytes.0.borrow_mut());
        let mut frame = Vec::with_capacity(body.len() + BEGIN.len() + END.len());
        frame.extend_from_slice(BEGIN);
        frame.extend_from_slice(&body);
        frame.extend_from_slice(END);
        self.writer.send(frame);
        self.shown = Some(cursor);
        self.dirty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::{Terminal, widgets::Paragraph};
    use std::{num::NonZero, sync::mpsc};

    fn screen() -> (Terminal<Screen>, mpsc::Receiver<()>) {
        let (sent, written) = mpsc::channel();
        let writer = Writer::start(move |_| {
            let _ = sent.send(());
        });
        (Terminal::new(Screen::new(writer, 20, 3)).unwrap(), written)
    }

    #[test]
    fn what_lies_under_a_wide_symbol_covers_nothing_behind_it() {
        let (mut terminal, written) = screen();
        for text in ["a\u{7530}b", "\u{1f469}\u{200d}\u{1f680}cd"] {
            terminal.draw(|frame| frame.render_widget(Paragraph::new(text), frame.area())).unwrap();
            written.recv().unwrap();
        }
        let known = |x| terminal.backend().known(x, 0).unwrap().symbol();
        assert_eq!((known(1), known(2), known(3)), (" ", "c", "d"), "the cell that held a wide symbol is free");
    }

    /// What a terminal that knows nothing of joined symbols shows after these texts were painted one after the other.
    fn seen(texts: &[String]) -> String {
        let (sent, written) = mpsc::channel();
        let keep = move |bytes: &[u8]| sent.send(bytes.to_vec()).map_err(io::Error::other);
        let writer = Writer::start_on(keep, drop);
        let mut terminal = Terminal::new(Screen::new(writer, 80, 2)).unwrap();
        let mut parser = vt100::Parser::new(NonZero::new(2).unwrap(), NonZero::new(80).unwrap(), 0);
        for text in texts {
            terminal.draw(|frame| frame.render_widget(Paragraph::new(text.as_str()), frame.area())).unwrap();
            while terminal.backend().writer().is_busy() {
                std::thread::yield_now();
            }
            written.try_iter().for_each(|bytes| parser.process(&bytes));
        }
        parser.screen().contents().trim_end().to_owned()
    }

    proptest::proptest! {
        /// A terminal that is as wrong about a symbol's width is wrong in the same way however the text came to be.
        #[test]
        fn a_text_looks_the_same_however_it_came_to_be(
            texts in proptest::collection::vec("(u|s| |\u{7530}|(\u{1f469}\u{200d}){1,2}|\u{1f467}|\u{1f1f3}\u{1f1f4}|e\u{301}){0,9}", 1..6),
        ) {
            let whole = seen(&texts[texts.len() - 1..]);
            proptest::prop_assert_eq!(seen(&texts), whole);
        }
    }

    /// tmux 3.3 gives each half of a flag a cell of its own.
    #[test]
    fn of_a_flag_that_goes_no_half_stays() {
        let texts = ["flag \"\u{1f1f3}\u{1f1f4}\"", "", "a longer text"].map(str::to_owned);
        assert_eq!((seen(&texts[..2]).as_str(), seen(&texts).as_str()), ("", "a longer text"));
    }

    #[test]
    fn a_frame_like_the_last_one_writes_nothing() {
        let (mut terminal, written) = screen();
        let mut paint = |text: &'static str| {
            terminal.draw(|frame| frame.render_widget(Paragraph::new(text), frame.area())).unwrap();
        };
        paint("one");
        written.recv().unwrap();
        paint("one");
        paint("two");
        written.recv().unwrap();
        assert!(written.try_recv().is_err(), "the second frame was written");
    }
}
