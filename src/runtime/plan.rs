//! Plans: what the machine will do next, put into the words of each backend.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{
        ids::{RecordKey, Seq, SourceName},
        plan::{PlanAct, PlanStep, PlannedWrite, PreconditionFrom},
        source::SourceSpec,
        time::{At, Clock},
    },
    remote::Remote,
    store::{Reader, StoreError},
    sync::{
        event::Chain,
        judge::Settling,
        plan::{self, Act, Step},
    },
};

/// Makes plans. Reads local data only; opens no socket.
pub struct Planner {
    clock: Arc<dyn Clock>,
    sources: HashMap<SourceName, (SourceSpec, Result<Remote, String>)>,
}

impl Planner {
    pub fn new(sources: &[SourceSpec], clock: Arc<dyn Clock>) -> Self {
        let remote = |spec| Remote::new(spec, Arc::clone(&clock)).map_err(|error| error.to_string());
        let sources = sources.iter().map(|spec| (spec.name.clone(), (spec.clone(), remote(spec)))).collect();
        Self { clock, sources }
    }

    pub fn spec(&self, source: &SourceName) -> Option<&SourceSpec> {
        self.sources.get(source).map(|(spec, _)| spec)
    }

    /// What will happen to the pending ops of a record, in order.
    pub fn of_record(&self, reader: &mut Reader, record: &RecordKey) -> Result<Vec<PlanStep>, StoreError> {
        let Some(chain) = reader.chain(record)? else { return Ok(Vec::new()) };
        let chain = Chain { record: chain.record, ops: chain.ops, base: chain.base };
        Ok(self.of_chain(&self.clock.at(), &chain))
    }

    /// The step an op is part of; `None` where it is not pending.
    pub fn of_op(&self, reader: &mut Reader, seq: Seq) -> Result<Option<PlanStep>, StoreError> {
        let Some(op) = reader.op(seq)?.filter(|op| op.state.is_pending()) else { return Ok(None) };
        Ok(self.of_record(reader, &op.record)?.into_iter().find(|step| step.ops.contains(&seq)))
    }

    pub fn of_chain(&self, at: &At, chain: &Chain) -> Vec<PlanStep> {
        let Some((spec, remote)) = self.sources.get(&chain.record.collection.source) else {
            let reason = format!("the source `{}` is not configured any more", chain.record.collection.source);
            return vec![PlanStep {
                record: chain.record.clone(),
                ops: chain.ops.iter().map(|op| op.seq).collect(),
                act: PlanAct::Impossible { reason },
                waits: None,
            }];
        };
        let settling = spec.collection(&chain.record.collection.collection).map(Settling::of).unwrap_or_default();
        plan::forecast(spec.kind, &settling, at, chain)
            .into_iter()
            .map(|step| in_words(remote, &chain.record, step))
            .collect()
    }
}

fn in_words(remote: &Result<Remote, String>, record: &RecordKey, step: Step) -> PlanStep {
    let act = match step.act {
        Act::Nothing => PlanAct::Nothing,
        Act::Done => PlanAct::Done,
        Act::Yields => PlanAct::Yields,
        Act::Conflict { places } => PlanAct::Conflict { places },
        Act::Write { request, from, merged, repeat } => {
            let written = remote.as_ref().map_err(Clone::clone).and_then(|remote| {
                let lookup = match from {
                    PreconditionFrom::Lookup => Some(remote.lookup_on_the_wire(record)?),
                    PreconditionFrom::Known | PreconditionFrom::Answer(_) => None,
                };
                let kind = request.kind;
                let request = remote.on_the_wire(&request)?;
                Ok(PlannedWrite { kind, lookup, request, precondition: from, merged, repeat })
            });
            match written {
                Ok(write) => PlanAct::Write(Box::new(write)),
                Err(reason) => PlanAct::Impossible { reason },
            }
        }
    };
    PlanStep { record: record.clone(), ops: step.ops, act, waits: step.waits }
}
