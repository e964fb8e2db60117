//! Windows of a list: keyset pages over the mirror, merged with the records that have pending ops.
//!
//! ```text
//!  mirror rows   a   c d e   g        by (collection, key)
//!  shadow rows     b   d'    g-       by (collection, key)
//!  window        a b c d'e   g-
//! ```
//!
//! A filter narrows by the index where few records match and scans where many do: both end at the deadline with what
//! was found. A sort by column walks the sorted side table; until that is built, a bounded part of the collection.

use crate::{
    model::{
        ids::RecordId,
        query::{Anchor, ListQuery, Window},
    },
    store::{
        error::Result,
        reader::{
            Reader,
            scan::{CHUNK, From, Scan, Source, WALK, Way},
        },
    },
};

pub(super) fn read(reader: &Reader, query: &ListQuery, anchor: &Anchor, limit: usize) -> Result<Window> {
    let mut scan = Scan::begin(reader, query)?;
    let limit = limit.max(1);
    let total = reader.total(scan.journal, scan.mirror)?;
    if scan.may_walk_first(total) {
        scan.budget = WALK;
        let window = reader.for_a_quarter(|| assemble(&mut scan, anchor, limit, total))?;
        if !window.partial && window.rows.len() == limit {
            return Ok(window);
        }
        scan.budget = usize::MAX;
        scan.partial = false;
    }
    scan.source = scan.choose()?;
    assemble(&mut scan, anchor, limit, total)
}

fn assemble(scan: &mut Scan<'_>, anchor: &Anchor, limit: usize, total: u64) -> Result<Window> {
    let forward = if scan.query.sort.descending { Way::Down } else { Way::Up };
    let mut window = Window { total, filter: scan.terms.usefulness(&scan.query.filter), ..Window::default() };
    let place = match anchor {
        Anchor::First | Anchor::Last => None,
        Anchor::At(id) | Anchor::After(id) | Anchor::Before(id) => Some(scan.position(id)?),
    };
    let place = match place {
        // Its place in the column is not known any more.
        Some(None) => return assemble(scan, &Anchor::First, limit, total),
        Some(Some(place)) => Some(place),
        None => None,
    };
    let mut items;
    match (anchor, place) {
        (Anchor::Last, _) | (Anchor::First, _) | (_, None) => {
            let last = matches!(anchor, Anchor::Last);
            let found = scan.collect(if last { forward.back() } else { forward }, None, limit + 1)?;
            items = found.items;
            let whole = items.len() <= limit;
            items.truncate(limit);
            if last {
                items.reverse();
            }
            window.at_start = !last || (whole && found.ended);
            window.at_end = last || (whole && found.ended);
        }
        (Anchor::Before(_), Some(place)) => {
            let found = scan.collect(forward.back(), Some((place.clone(), false)), limit + 1)?;
            items = found.items;
            window.at_start = items.len() <= limit && found.ended;
            items.truncate(limit);
            items.reverse();
            window.at_end = scan.none(forward, Some((place, true)))?;
        }
        (Anchor::After(_), Some(place)) => {
            let found = scan.collect(forward, Some((place.clone(), false)), limit + 1)?;
            items = found.items;
            window.at_end = items.len() <= limit && found.ended;
            items.truncate(limit);
            window.at_start = scan.none(forward.back(), Some((place, true)))?;
        }
        (Anchor::At(_), Some(place)) => {
            let found = scan.collect(forward, Some((place.clone(), true)), limit + 1)?;
            items = found.items;
            window.at_end = items.len() <= limit && found.ended;
            items.truncate(limit);
            let room = limit - items.len();
            if room > 0 {
                let found = scan.collect(forward.back(), Some((place, false)), room + 1)?;
                let mut before = found.items;
                window.at_start = before.len() <= room && found.ended;
                before.truncate(room);
                before.reverse();
                before.append(&mut items);
                items = before;
            } else {
                window.at_start = scan.none(forward.back(), Some((place, false)))?;
            }
        }
    }
    window.partial = scan.partial;
    window.matching = match &scan.source {
        _ if scan.terms.is_empty() => Some(total),
        Source::Listed { entries, complete: true, verified: true } => Some(entries.len() as u64),
        _ if window.at_start && window.at_end && !window.partial => Some(items.len() as u64),
        _ => None,
    };
    window.rank = match window.matching {
        _ if window.at_start => Some(0),
        Some(matching) if window.at_end => matching.checked_sub(items.len() as u64),
        _ => None,
    };
    window.rows = items.iter().map(|item| scan.row(item)).collect::<Result<_>>()?;
    Ok(window)
}

/// How many rows come before `id`, and how many match. Each is `None` where the deadline came first.
pub(super) fn rank(reader: &Reader, query: &ListQuery, id: &RecordId) -> Result<(Option<u64>, Option<u64>)> {
    let scan = Scan::chosen(reader, query)?;
    let Some(place) = scan.position(id)? else { return Ok((None, None)) };
    let counted = if scan.terms.is_empty() && query.sort.by.is_none() {
        reader
            .interruptible(|| scan.count_before(&place.key))
            .map(|before| (before, reader.total(scan.journal, scan.mirror)))
    } else {
        let (mut before, mut all) = (0_u64, 0_u64);
        let mut from: From = None;
        loop {
            let (items, ended) = scan.chunk(Way::Up, from.as_ref(), CHUNK)?;
            let Some(last) = items.last() else { break };
            from = Some((last.pos.clone(), false));
            for item in &items {
                if scan.matches(item)? {
                    all += 1;
                    before += u64::from(item.pos < place);
                }
            }
            if ended {
                break;
            }
            if reader.is_late() {
                return Ok((None, None));
            }
        }
        if scan.partial { return Ok((None, None)) } else { Ok((before, Ok(all))) }
    };
    let (before, all) = match counted {
        Ok((before, all)) => (before, all?),
        Err(error) if error.is_interrupt() => return Ok((None, None)),
        Err(error) => return Err(error),
    };
    let here = scan.item_by_key(&place.key)?.is_some_and(|item| scan.matches(&item).unwrap_or(false));
    let before = match (query.sort.descending, here) {
        (false, _) => before,
        (true, true) => all.saturating_sub(before + 1),
        (true, false) => all.saturating_sub(before),
    };
    Ok((here.then_some(before), Some(all)))
}

/// Calls `each` with every local record in key order.
pub(super) fn export(reader: &Reader, query: &ListQuery, each: &mut dyn FnMut(&RecordId, &str) -> bool) -> Result<()> {
    let scan = Scan::chosen(reader, query)?;
    let mut from: From = None;
    loop {
        let (items, ended) = scan.chunk(Way::Up, from.as_ref(), CHUNK)?;
        let Some(last) = items.last() else { return Ok(()) };
        from = Some((last.pos.clone(), false));
        for item in &items {
            let exists = item.shadow.as_ref().is_none_or(|shadow| shadow.document.is_some());
            if exists
                && scan.matches(item)?
                && let Some(text) = scan.shown(item)?
                && !each(&item.id, &text)
            {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
    }
}

/// Matching records with their content number and text, for a search.
pub(super) fn hits(
    reader: &Reader,
    query: &ListQuery,
    anchor: &Anchor,
    limit: usize,
) -> Result<Vec<(RecordId, i64, String)>> {
    let _ = anchor;
    let mut scan = Scan::chosen(reader, query)?;
    let found = match &scan.source {
        // All of them, so that the caller's order decides which are shown.
        Source::Listed { entries, .. } => {
            let n = entries.len().max(1);
            scan.collect(Way::Up, None, n)?
        }
        _ => scan.collect(Way::Up, None, limit)?,
    };
    found.items.iter().map(|item| Ok((item.id.clone(), item.doc(), scan.shown(item)?.unwrap_or_default()))).collect()
}
