//! The layout in one walk over the text, for what is opened with a megabyte of it. Cutting each container into its members
//! reads a text once for each level.

use std::collections::HashSet;

use super::{SHORT, indent, write_plain};

/// As deep as serde_json goes.
const DEEPEST: usize = 128;

/// So few names are compared with each other without an index.
const FEW: usize = 16;

/// The text of a container laid out, and where each of its lines ends but the last; `None` where the text has a name
/// twice in one object or is not sound, and has to be cut.
pub(super) fn lay_out(raw: &str) -> Option<(String, Vec<u32>)> {
    let room = raw.len() + raw.len() / 2;
    let mut walk = Walk { raw, at: 0, text: String::with_capacity(room), ends: Vec::new(), names: Vec::new() };
    walk.lines(0)?;
    (walk.at == raw.len()).then_some((walk.text, walk.ends))
}

struct Walk<'t> {
    raw: &'t str,
    at: usize,
    text: String,
    ends: Vec<u32>,
    /// The names so far of the objects that are open, those of the innermost last.
    names: Vec<&'t str>,
}

/// What is known of the object being walked.
struct Object {
    /// Where its names begin.
    from: usize,
    /// They came in their order: none is there twice.
    is_sorted: bool,
}

/// A scalar or a name, and whether it is written as it stands.
struct Piece<'t> {
    raw: &'t str,
    is_plain: bool,
}

impl<'t> Walk<'t> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.raw.as_bytes().get(at).copied()
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.byte(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                other => return Some(other),
            }
        }
    }

    fn take(&mut self, sign: u8) -> Option<()> {
        (self.next()? == sign).then(|| self.at += 1)
    }

    fn piece(&mut self) -> Option<Piece<'t>> {
        let from = self.at;
        let mut is_plain = true;
        if self.byte(from)? == b'"' {
            let mut at = from + 1;
            loop {
                let rest = self.raw.as_bytes().get(at..)?;
                at += memchr::memchr2(b'"', b'\\', rest)?;
                if self.byte(at)? == b'"' {
                    break;
                }
                (at, is_plain) = (at + 2, false);
            }
            self.at = at + 1;
        } else {
            let rest = &self.raw.as_bytes()[from..];
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
            let scalar = &rest[..rest.iter().position(ends)?];
            is_plain = memchr::memchr2(b'e', b'E', scalar).is_none();
            self.at += scalar.len();
        }
        Some(Piece { raw: self.raw.get(from..self.at)?, is_plain })
    }

    fn name(&mut self, object: &mut Object) -> Option<()> {
        self.next()?;
        let Piece { raw, is_plain } = self.piece()?;
        // As an escaped name is meant, it may be another one's double.
        if !is_plain {
            return None;
        }
        object.is_sorted &= self.names.len() == object.from || self.names.last().is_none_or(|last| *last < raw);
        self.names.push(raw);
        self.take(b':')?;
        self.text.push_str(raw);
        self.text.push_str(": ");
        Some(())
    }

    fn scalar(&mut self, piece: &Piece<'t>) {
        match piece.is_plain {
            true => self.text.push_str(piece.raw),
            false => write_plain(piece.raw, &mut self.text),
        }
    }

    fn line_end(&mut self, depth: usize) {
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        self.text.push('\n');
        indent(depth, &mut self.text);
    }

    /// Begins a container: its last sign. An empty one is written and over.
    fn open(&mut self) -> Option<Option<u8>> {
        let (open, close) = match self.next()? {
            b'{' => ('{', b'}'),
            b'[' => ('[', b']'),
            _ => return None,
        };
        self.text.push(open);
        self.at += 1;
        if self.next()? != close {
            return Some(Some(close));
        }
        self.close(close);
        Some(None)
    }

    fn close(&mut self, sign: u8) {
        self.text.push(char::from(sign));
        self.at += 1;
    }

    fn object(&self) -> Object {
        Object { from: self.names.len(), is_sorted: true }
    }

    /// Ends an object, where no name of it is there twice.
    fn end(&mut self, object: &Object) -> Option<()> {
        let names = self.names.get(object.from..)?;
        let is_sound = match () {
            () if object.is_sorted => true,
            () if names.len() <= FEW => names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)),
            () => names.iter().collect::<HashSet<_>>().len() == names.len(),
        };
        self.names.truncate(object.from);
        is_sound.then_some(())
    }

    /// A container with a line for each member.
    fn lines(&mut self, depth: usize) -> Option<()> {
        // No value is deeper; what is damaged may be.
        if depth > DEEPEST {
            return None;
        }
        let Some(close) = self.open()? else { return Some(()) };
        let mut object = self.object();
        loop {
            self.line_end(depth + 1);
            if close == b'}' {
                self.name(&mut object)?;
            }
            self.value(depth + 1)?;
            if self.next()? == close {
                break;
            }
            self.take(b',')?;
            self.text.push(',');
        }
        self.end(&object)?;
        self.line_end(depth);
        self.close(close);
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        if !matches!(self.next()?, b'{' | b'[') {
            let piece = self.piece()?;
            self.scalar(&piece);
            return Some(());
        }
        let (at, begin, names) = (self.at, self.text.len(), self.names.len());
        if self.line(begin + SHORT)? {
            return Some(());
        }
        self.at = at;
        self.text.truncate(begin);
        self.names.truncate(names);
        self.lines(depth)
    }

    /// A container on one line; false as soon as the text would grow beyond `limit` bytes.
    fn line(&mut self, limit: usize) -> Option<bool> {
        let Some(close) = self.open()? else { return Some(self.text.len() <= limit) };
        let is_object = close == b'}';
        if is_object {
            self.text.push(' ');
        }
        let mut object = self.object();
        loop {
            if is_object {
                self.name(&mut object)?;
            }
            if matches!(self.next()?, b'{' | b'[') {
                if !self.line(limit)? {
                    return Some(false);
                }
            } else {
                let piece = self.piece()?;
                // Spelled anew it may be shorter.
                if piece.is_plain && self.text.len() + piece.raw.len() > limit {
                    return Some(false);
                }
                self.scalar(&piece);
            }
            if self.text.len() > limit {
                return Some(false);
            }
            if self.next()? == close {
                break;
            }
            self.take(b',')?;
            self.text.push_str(", ");
        }
        self.end(&object)?;
        if is_object {
            self.text.push(' ');
        }
        self.close(close);
        Some(self.text.len() <= limit)
    }
}
