//! The editor files of one dashboard: what of them is on its way into the journal, and what becomes of each.

use std::path::{Path, PathBuf};

use super::{EditorFile, EditorRun, State};
use crate::app::{
    effect::Subject,
    event::{Edited, Event, NoText},
};

/// All files that this process holds.
#[derive(Debug, Default)]
pub struct EditedFiles {
    files: Vec<EditorFile>,
    /// The app has said what becomes of these: true, their text is in its state and goes with the next commit.
    settled: Vec<(String, bool)>,
    /// An editor may still have these open.
    open: Vec<PathBuf>,
}

impl EditedFiles {
    /// A new file for an editor; where there can be none, what to tell the app.
    pub fn make(&mut self, data_dir: &Path, subject: Subject, text: &str, suffix: &str) -> Result<PathBuf, Box<Event>> {
        match EditorFile::make(data_dir, subject.clone(), text, suffix) {
            Ok(file) => {
                let path = file.path.clone();
                self.files.push(file);
                Ok(path)
            }
            Err(reason) => Err(Box::new(returned(subject, Err(NoText { reason, kept: None }), None, false))),
        }
    }

    /// What to tell the app of an editor that ended; and its file, where it has not been changed.
    pub fn ended(&mut self, run: EditorRun) -> (Event, Option<(PathBuf, State)>) {
        let at = self.files.iter().position(|file| file.path == run.path).expect("it was made here");
        let file = &mut self.files[at];
        let (subject, place) = (file.subject.clone(), file.place());
        let state = file.state();
        match file.judge(run.ended) {
            Ok(Some(text)) => {
                file.hand_on(&text);
                (returned(subject, Ok(text), Some(place), false), None)
            }
            Ok(None) => {
                let text = std::fs::read_to_string(&file.path).unwrap_or_default();
                self.open.push(run.path.clone());
                (returned(subject, Ok(text), None, false), Some((run.path, state)))
            }
            Err(reason) => {
                let nothing = self.files.remove(at).give_up(reason);
                (returned(subject, Err(nothing), None, false), None)
            }
        }
    }

    /// Takes up the files of earlier runs: what they hold that never arrived, and the files themselves.
    pub fn find(&mut self, data_dir: &Path) -> (Vec<Event>, Vec<(PathBuf, State)>) {
        let (mut events, mut states) = (Vec::new(), Vec::new());
        for mut file in EditorFile::find(data_dir) {
            let state = file.state();
            match file.left() {
                Ok(Some(text)) => {
                    file.hand_on(&text);
                    events.push(returned(file.subject.clone(), Ok(text), Some(file.place()), true));
                }
                Ok(None) if file.is_forgotten() => {
                    file.forget();
                    continue;
                }
                Ok(None) => {}
                Err(reason) => {
                    let subject = file.subject.clone();
                    events.push(returned(subject, Err(file.give_up(reason)), None, true));
                    continue;
                }
            }
            states.push((file.path.clone(), state));
            self.open.push(file.path.clone());
            self.files.push(file);
        }
        (events, states)
    }

    /// What to tell the app of a file that was written in the background.
    pub fn saved(&mut self, path: &Path) -> Option<Event> {
        let file = self.files.iter_mut().find(|file| file.path == path)?;
        let subject = file.subject.clone();
        match file.left() {
            Ok(text) => {
                let text = text?;
                file.hand_on(&text);
                Some(returned(subject, Ok(text), Some(file.place()), true))
            }
            // Many editors empty a file before they write it: the next look tells.
            Err(_) if file.state().is_none_or(|(_, length)| length == 0) => None,
            Err(reason) => {
                let kept = Some(file.place());
                Some(returned(subject, Err(NoText { reason, kept }), None, true))
            }
        }
    }

    /// The app says what becomes of a file; it is done once everything is committed.
    pub fn settle(&mut self, file: String, taken: bool) {
        self.settled.push((file, taken));
    }

    /// The journal holds all of the app's state.
    pub fn committed(&mut self) {
        for (place, taken) in std::mem::take(&mut self.settled) {
            let Some(at) = self.files.iter().position(|file| file.place() == place) else { continue };
            let file = self.files.remove(at);
            match taken {
                true => {
                    let may_be_open = self.open.contains(&file.path);
                    self.files.extend(file.taken(may_be_open));
                }
                false => file.leave_alone(),
            }
        }
    }
}

fn returned(subject: Subject, text: Result<String, NoText>, file: Option<String>, late: bool) -> Event {
    Event::EditorReturned(Edited { subject, text, file, late })
}
