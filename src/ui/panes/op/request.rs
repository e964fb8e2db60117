//! The Request tab: the exact request that will be sent for an op, or was.

use super::{Line, blank, document_lines, heading, plain, wrapped};
use crate::{
    app::{App, words},
    model::{
        op::{Op, Precondition},
        plan::{PlanStep, PlannedWrite, PreconditionFrom, UNKNOWN_REVISION, Wait},
        wire::WireRequest,
    },
    ui::{text, theme::Role},
};

pub fn lines(app: &App, op: &Op, room: usize) -> Vec<Line> {
    if !op.state.is_pending() {
        return claimed(app, op, room);
    }
    match app.outbox().plan(op) {
        Some(Some(plan)) => planned(app, op, plan, room),
        Some(None) => vec![plain("Nothing will be sent for this op")],
        None => vec![plain("Working the request out")],
    }
}

fn planned(app: &App, op: &Op, plan: &PlanStep, room: usize) -> Vec<Line> {
    let mut lines = vec![match &plan.waits {
        None => heading("SENT NEXT, AS SOON AS IT CAN GO"),
        Some(Wait::OnTheWire) => heading("ON THE WIRE NOW"),
        Some(wait) => (format!("NOT YET: {}", waits(app, wait)), Role::Held),
    }];
    for note in plan.notes() {
        wrapped(&mut lines, &note, room, Role::Text);
    }
    let Some(write) = plan.write() else { return lines };
    blank(&mut lines);
    if let Some(lookup) = &write.lookup {
        lines.push(heading("FIRST"));
        head(lookup, write, room, &mut lines);
        blank(&mut lines);
        lines.push(heading("THEN"));
    } else {
        lines.push(heading("REQUEST"));
    }
    head(&write.request, write, room, &mut lines);
    if let Some(token) = &write.request.token {
        let place = if token.in_query { "in the query" } else { "as a bearer token" };
        lines.push((format!("  with ${} {place}", token.variable), Role::Dim));
    }
    if let Some(hash) = op.request_hash.as_ref().filter(|_| write.repeat) {
        wrapped(&mut lines, &format!("request hash {hash}"), room, Role::Dim);
    }
    if let Some(body) = &write.request.body {
        blank(&mut lines);
        lines.push(heading(&format!("BODY, {}", words::count(body.len() as u64, "byte", "bytes"))));
        wrapped(&mut lines, &body.chars().take(8_000).collect::<String>(), room, Role::Text);
    }
    lines
}

fn head(request: &WireRequest, write: &PlannedWrite, room: usize, lines: &mut Vec<Line>) {
    let room_of_line = room.saturating_sub(2);
    let whole = format!("{} {}", request.method, request.url);
    // A long address is broken before its path, not in the middle of a name.
    let path = request.url.match_indices('/').nth(2).map_or(request.url.len(), |(at, _)| at);
    let (server, path) = request.url.split_at(path);
    let parts = match text::width(&whole) <= room_of_line {
        true => vec![whole],
        false => vec![format!("{} {server}", request.method), path.to_owned()],
    };
    for line in parts.iter().flat_map(|part| text::wrap(part, room_of_line)) {
        lines.push((format!("  {line}"), Role::Key));
    }
    for (name, value) in &request.headers {
        let value = match (value.as_str(), write.precondition) {
            (UNKNOWN_REVISION, PreconditionFrom::Lookup) => "the revision of the answer above".to_owned(),
            (UNKNOWN_REVISION, PreconditionFrom::Answer(seq)) => format!("the revision after op {seq}"),
            (value, _) => value.to_owned(),
        };
        wrapped(lines, &format!("{name}: {value}"), room, Role::Text);
    }
}

fn waits(app: &App, wait: &Wait) -> String {
    match wait {
        Wait::After(seq) => format!("op {seq} goes first"),
        Wait::Until { at, .. } => format!("next try at {}", at.clock_time(app.setup().zone_offset)),
        Wait::OnTheWire => "it is on its way".to_owned(),
        Wait::Held => "you hold it".to_owned(),
        Wait::Credentials => "the server wants credentials".to_owned(),
        Wait::Conflict => "it is in conflict".to_owned(),
        Wait::Rejected { .. } => "the server refused it".to_owned(),
    }
}

fn claimed(app: &App, op: &Op, room: usize) -> Vec<Line> {
    let mut lines = vec![heading("AS IT WAS CLAIMED")];
    let precondition = match &op.precondition {
        Some(Precondition::Absent) => "only if the record does not exist".to_owned(),
        Some(Precondition::Revision(revision)) => format!("only if the record is at revision {revision}"),
        None => "it was never claimed".to_owned(),
    };
    wrapped(&mut lines, &precondition, room, Role::Text);
    if let Some(hash) = &op.request_hash {
        wrapped(&mut lines, &format!("request hash {hash}"), room, Role::Dim);
    }
    if let Some(sent) = op.sent_at {
        lines.push(plain(format!("  sent at {}", sent.clock_time(app.setup().zone_offset))));
    }
    if let Some(document) = op.sent_document.as_ref().or(op.document.as_ref()) {
        blank(&mut lines);
        lines.push(heading("DOCUMENT"));
        document_lines(document, " ", Role::Text, &mut lines);
    }
    lines
}
