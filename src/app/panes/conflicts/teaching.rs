//! Teach by example: a choice that could be a rule, what that rule would do to the open conflicts, and the question.

use std::cmp::Reverse;

use super::{Conflicts, Taught, choosing::TRIED, name};
use crate::{
    app::{
        effect::{Answer, Effect, Rule},
        pane::{Cx, Outcome, Question, Request},
        panes::outbox::dotted,
        tree, words,
    },
    merge::{Field, Foreseen, How, Lesson, foresee, lessons, taken},
    model::{
        activity::Severity,
        conflict::Conflict,
        ids::CollectionKey,
        rules::{FieldRule, Pattern},
    },
};

/// Conflicts that the question lists.
const LISTED: usize = 6;

impl Conflicts {
    /// The rule that the choices just queued would be, where it reaches other open conflicts and was not offered yet:
    /// of several, the one that settles most.
    pub(super) fn offer(&mut self, cx: &Cx<'_>) -> Option<Question> {
        let key = self.selected()?.record.collection.clone();
        if cx.setup.is_read_only(&key) {
            return None;
        }
        let rules = self.rules.get(&key)?;
        let is_new = |lesson: &Lesson| {
            rules.rule_of(&lesson.pattern) != Some(lesson.rule)
                && !self.session.offered.contains(&offered(&key, lesson))
        };
        let found = lessons(self.merged.as_ref()?, &self.picks()).into_iter().filter(is_new);
        let reaching = found.map(|lesson| (self.foreseen(&key, &lesson), lesson)).filter(|(all, _)| !all.is_empty());
        let settles = |all: &[Foreseen]| all.iter().filter(|each| each.document.is_some()).count();
        let (_, lesson) = reaching.min_by_key(|(all, _)| Reverse((settles(all), all.len())))?;
        self.session.offered.push(offered(&key, &lesson));
        Some(self.question(&key, lesson, cx))
    }

    /// Asks whether the choice at the cursor is to be a rule, or whether the place is the server's where it rewrites it.
    pub(super) fn make_rule(&mut self, cx: &Cx<'_>) -> Outcome {
        let (Some(field), Some(conflict)) = (self.field(), self.selected()) else { return Outcome::used() };
        let key = conflict.record.collection.clone();
        let lesson = match &self.lesson {
            Some(taught) => taught.lesson.clone(),
            None if self.is_rewritten(field) => {
                Lesson { pattern: Pattern::of(&field.pointer), rule: FieldRule::ServerOwned }
            }
            None => {
                let place = cx.setup.places.iter().find(|(what, _)| what == "settings");
                let (text, hint) = match field.how {
                    How::Rule(rule) => (
                        format!("`{}` is the rule for {} already", rule.word(), name(field)),
                        place.map_or_else(|| "it holds".to_owned(), |(_, file)| format!("it is in {file}")),
                    ),
                    _ => (
                        format!("There is no choice for {} that could be a rule", name(field)),
                        "choose mine, theirs or a value that a rule gives, then `A`".to_owned(),
                    ),
                };
                return Outcome::used().notice(Severity::Info, "conflicts", text).hint(&hint);
            }
        };
        if cx.setup.is_read_only(&key) {
            return Outcome::used().notice(Severity::Warning, "conflicts", format!("`{key}` is read only"));
        }
        Outcome::used().request(Request::Confirm(Box::new(self.question(&key, lesson, cx))))
    }

    /// True where the edit is in conflict because the server writes the place anew each time: the note of the op names
    /// such places.
    pub fn is_rewritten(&self, field: &Field) -> bool {
        let note = self.op().and_then(|op| op.last_error.as_ref()).map_or("", |error| error.message.as_str());
        let is_named = note.contains(&format!("`{}`", field.pointer)) && note.contains(FieldRule::ServerOwned.word());
        is_named && !field.pointer.is_root() && field.how != How::Rule(FieldRule::ServerOwned)
    }

    /// The answers that the rule gives now; it holds here from now on.
    pub fn learn(&mut self, key: &CollectionKey, lesson: &Lesson) -> Vec<Answer> {
        let rules = self.rules.entry(key.clone()).or_default();
        let before = rules.clone();
        rules.learn(lesson.pattern.clone(), lesson.rule);
        let open: Vec<Conflict> = self.waiting(key).cloned().collect();
        let answer = |each: Foreseen| {
            let conflict = open.iter().find(|conflict| conflict.id == each.conflict)?;
            let document = each.document?;
            Some(Answer {
                conflict: conflict.id,
                take: taken(conflict, document.as_ref()),
                document,
                seen: conflict.detected_at,
            })
        };
        let answers: Vec<Answer> = foresee(lesson, &before, &open).into_iter().filter_map(answer).collect();
        self.answered.extend(answers.iter().map(|answer| answer.conflict));
        self.rebuild();
        answers
    }

    /// The open conflicts of a collection that nobody has begun to decide.
    fn waiting(&self, key: &CollectionKey) -> impl Iterator<Item = &Conflict> {
        let is_begun = |conflict: &Conflict| {
            self.answered.contains(&conflict.id)
                || self.session.work.get(&conflict.id).is_some_and(|work| !work.is_empty())
        };
        self.open().filter(move |conflict| conflict.record.collection == *key && !is_begun(conflict))
    }

    fn foreseen(&self, key: &CollectionKey, lesson: &Lesson) -> Vec<Foreseen> {
        let open: Vec<Conflict> = self.waiting(key).take(TRIED).cloned().collect();
        self.rules.get(key).map(|rules| foresee(lesson, rules, &open)).unwrap_or_default()
    }

    fn question(&self, key: &CollectionKey, lesson: Lesson, cx: &Cx<'_>) -> Question {
        let foreseen = self.foreseen(key, &lesson);
        let settles = foreseen.iter().filter(|each| each.document.is_some()).count();
        let of = words::count(self.waiting(key).take(TRIED).count() as u64, "open conflict", "open conflicts");
        let reach = match (settles, foreseen.len()) {
            (0, 0) => "No other open conflict is touched by it; it holds from now on".to_owned(),
            (0, decides) => format!("It would decide a part of {decides} of {of}:"),
            (settles, decides) if settles == decides => format!("It would settle {settles} of {of}:"),
            (settles, decides) => format!("It would settle {settles} of {of}, and a part of {}:", decides - settles),
        };
        let mut lines = vec![reach];
        lines.extend(foreseen.iter().take(LISTED).map(becomes));
        if foreseen.len() > LISTED {
            lines.push(format!("and {} more", foreseen.len() - LISTED));
        }
        let place = cx.setup.places.iter().find(|(what, _)| what == "settings");
        lines.extend(place.map(|(_, file)| format!("Kept in {file}; the vault keeps what loses")));
        let title = title(&lesson, key);
        let rule = Rule { collection: key.clone(), lesson };
        let then = Outcome::used().effect(Effect::KeepRule(Box::new(rule)));
        Question { title, lines, yes: "always".to_owned(), then }
    }

    /// What the choice at the cursor would do as a rule.
    pub fn lesson(&self) -> Option<&Taught> {
        self.lesson.as_ref()
    }
}

fn offered(key: &CollectionKey, lesson: &Lesson) -> String {
    format!("{key} {} {}", lesson.pattern, lesson.rule.word())
}

fn title(lesson: &Lesson, key: &CollectionKey) -> String {
    let always = match lesson.rule {
        FieldRule::Manual => "Always ask about",
        FieldRule::Mine => "Always take mine for",
        FieldRule::Theirs => "Always take theirs for",
        FieldRule::Max => "Always take the greater number for",
        FieldRule::Min => "Always take the smaller number for",
        FieldRule::Union => "Always join both lists for",
        FieldRule::Add => "Always add up both changes of",
        FieldRule::Text => "Always merge the lines of",
        FieldRule::ServerOwned => "Always keep the server's",
    };
    format!("{always} {} in {}?", lesson.pattern, key.collection)
}

/// `p_004: stock becomes 38`
fn becomes(each: &Foreseen) -> String {
    let field = |field: &Field| {
        let value = field.result.clone().flatten().map_or("left out".to_owned(), |value| tree::preview(&value, 40));
        format!("{} becomes {value}", dotted(&field.pointer))
    };
    let mut fields: Vec<String> = each.fields.iter().take(3).map(field).collect();
    if each.fields.len() > 3 {
        fields.push(format!("{} more", each.fields.len() - 3));
    }
    let left = if each.document.is_some() { "" } else { "; the rest still needs you" };
    format!("{}: {}{left}", each.record.id, fields.join(", "))
}
