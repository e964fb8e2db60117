//! Which questions are open: one per pane and kind. A newer question replaces an older one, whose answer is dropped.

use std::collections::BTreeMap;

use crate::app::{
    effect::{Effect, Need, Ticket},
    event::Changed,
    pane::PaneName,
};

/// Who asks. `None` is the app itself.
pub type Owner = Option<PaneName>;

#[derive(Debug, Clone, Default)]
pub struct Loads {
    next: u64,
    asked: BTreeMap<(Owner, u8), Asked>,
}

#[derive(Debug, Clone)]
struct Asked {
    ticket: Ticket,
    need: Need,
    waiting: bool,
    /// The data changed while the question was open: ask again after the answer.
    stale: bool,
}

impl Loads {
    /// Asks what was not asked yet in this form, and again what is stale. Slots of the owner that are not among the
    /// needs any more are forgotten.
    pub fn refresh(&mut self, owner: Owner, needs: Vec<Need>, effects: &mut Vec<Effect>) {
        let slots = u8::try_from(needs.len()).unwrap_or(u8::MAX);
        self.asked.retain(|(other, slot), _| *other != owner || *slot < slots);
        for (slot, need) in (0_u8..).zip(needs) {
            let known = self.asked.get_mut(&(owner, slot));
            match known {
                Some(asked) if asked.need == need && (asked.waiting || !asked.stale) => continue,
                _ => {}
            }
            let ticket = Ticket(self.next);
            self.next += 1;
            effects.push(Effect::Load { ticket, need: need.clone() });
            self.asked.insert((owner, slot), Asked { ticket, need, waiting: true, stale: false });
        }
    }

    /// Nothing asked; the tickets go on after those of another screen, so that late answers to it find nobody.
    pub fn after(before: &Loads) -> Self {
        Self { next: before.next, asked: BTreeMap::new() }
    }

    /// Everything asked for, answered or not.
    pub fn asked(&self) -> impl Iterator<Item = (Ticket, &Need)> {
        self.asked.values().map(|asked| (asked.ticket, &asked.need))
    }

    /// Forgets what an owner asked: its pane is not on the screen.
    pub fn forget(&mut self, owner: Owner) {
        self.asked.retain(|(other, _), _| *other != owner);
    }

    /// Whose question an answer is for; `None` where a newer one replaced it.
    pub fn answered(&mut self, ticket: Ticket) -> Option<(Owner, Need)> {
        let ((owner, _), asked) = self.asked.iter_mut().find(|(_, asked)| asked.ticket == ticket)?;
        asked.waiting = false;
        Some((*owner, asked.need.clone()))
    }

    /// What changed is asked again with the next refresh.
    pub fn mark(&mut self, changed: &Changed) {
        for asked in self.asked.values_mut() {
            let touched = match &asked.need {
                Need::Window { .. } | Need::Rank { .. } => changed.records || changed.outbox || changed.drafts,
                Need::Record(_) | Need::Shown(_) | Need::Overview => {
                    changed.records || changed.outbox || changed.drafts
                }
                Need::Outbox { .. } | Need::Op(_) | Need::Conflicts => changed.outbox,
                Need::Plan(_) => changed.outbox || changed.records,
                Need::Drafts { .. } => changed.drafts || changed.records || changed.outbox,
                Need::Activity { .. } => changed.activity,
                Need::Sessions => changed.activity,
                Need::Moments(_) => changed.activity || changed.drafts,
                Need::Vault { .. } | Need::KeptVersion(_) => changed.records || changed.outbox || changed.drafts,
            };
            asked.stale |= touched;
        }
    }

    /// The open questions.
    pub fn waiting(&self) -> Vec<(Ticket, Need)> {
        self.waiting_of(|_| true)
    }

    /// The open questions of some, and of others where they ask the same.
    pub fn waiting_of(&self, is_wanted: impl Fn(Owner) -> bool) -> Vec<(Ticket, Need)> {
        let waiting = || self.asked.iter().filter(|(_, asked)| asked.waiting);
        let wanted: Vec<&Need> =
            waiting().filter(|((owner, _), _)| is_wanted(*owner)).map(|(_, asked)| &asked.need).collect();
        let found = waiting().filter(|(_, asked)| wanted.contains(&&asked.need));
        found.map(|(_, asked)| (asked.ticket, asked.need.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(loads: &mut Loads, need: Need) -> Vec<Effect> {
        let mut effects = Vec::new();
        loads.refresh(Some(PaneName::Outbox), vec![need], &mut effects);
        effects
    }

    #[test]
    fn the_same_question_is_asked_once_and_a_newer_one_replaces_it() {
        let mut loads = Loads::default();
        let need = Need::Activity { before: None, limit: 10 };
        assert_eq!(ask(&mut loads, need.clone()).len(), 1);
        assert!(ask(&mut loads, need).is_empty());
        assert_eq!(ask(&mut loads, Need::Activity { before: None, limit: 20 }).len(), 1);
        assert!(loads.answered(Ticket(0)).is_none(), "the old answer is dropped");
        assert!(loads.answered(Ticket(1)).is_some());
    }

    #[test]
    fn what_changed_while_the_question_was_open_is_asked_again_after_the_answer() {
        let mut loads = Loads::default();
        let need = Need::Activity { before: None, limit: 10 };
        ask(&mut loads, need.clone());
        loads.mark(&Changed { activity: true, ..Changed::default() });
        assert!(ask(&mut loads, need.clone()).is_empty(), "still open");
        loads.answered(Ticket(0));
        assert_eq!(ask(&mut loads, need.clone()).len(), 1);
        loads.answered(Ticket(1));
        assert!(ask(&mut loads, need).is_empty());
    }
}
