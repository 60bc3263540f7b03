//! Statistics of batch norm, estimated anew for every client and base: forwards in training mode, but without the layer
//! correction, whose batch statistics are averaged (batch-norm mode `post`).
//!
//! A lane is a (client, base) pair.

use super::forward::{self, NormRows, Setting};
use super::gathered::{self, Gathered, Tables};
use super::{Extent, PhaseId, Plan};
use crate::kernels::batch_norm::running_statistics::RunningStatistics;
use crate::kernels::client_rows::{self, ClientRows};
use crate::kernels::{BufferId, Tuning};
use crate::net::{Branch, Network, NormRow};

/// What the plan is built from.
#[derive(Debug, Clone, Copy)]
pub struct EstimateSetting<'a> {
    /// The base network.
    pub network: &'a Network,
    /// What a row of the store holds: single batch norms, tracked.
    pub store: NormRow,
    /// Capacity of a batch.
    pub batch: u32,
    /// Images in the first of the two image chunks.
    pub images_per_chunk: u32,
    /// Most slots of a wave: the row length of the schedule.
    pub slot_capacity: u32,
    /// Most batches of a client.
    pub steps: u32,
    /// The kernels' variants.
    pub tuning: Tuning,
}

/// The plan and the buffers a caller writes or reads.
#[derive(Debug, Clone)]
pub struct EstimatePlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// `[step][slot][1 + batch]`: a batch's size, then its images.
    pub schedule: BufferId,
    /// u8 images (external).
    pub images: [BufferId; 2],
    /// Labels of all images (external).
    pub labels: BufferId,
    /// The server's bases (external).
    pub server: BufferId,
    /// Batch norms of every client and base (external).
    pub store: BufferId,
    /// Once a wave.
    pub start: PhaseId,
    /// Once a batch of every client.
    pub step: PhaseId,
    /// Once a wave, at the end.
    pub finish: PhaseId,
}

impl EstimatePlan {
    /// Builds the plan.
    pub fn new(s: &EstimateSetting) -> EstimatePlan {
        let mut plan = Plan::default();
        let tables =
            Tables { batch: s.batch, steps: s.steps, slot_capacity: s.slot_capacity, images_per_chunk: s.images_per_chunk, augment: None };
        let g = Gathered::new(&mut plan, s.network, tables);
        let Gathered { lanes, schedule, images, labels, server, batch_sizes, input, .. } = g;
        let store = plan.buffer("local batch norms", Extent::External);
        let rows = plan.buffer("batch norms", Extent::PerLane(u64::from(s.store.len()) * 16));
        let moments = gathered::moments(&mut plan, "", s.store);
        let norms = NormRows { buffer: rows, stride: s.store.len(), start: s.store.affine(Branch::Clean), moments, running: false };
        let setting = Setting {
            network: s.network,
            batch: s.batch,
            tuning: s.tuning,
            scale: 1.0,
            input,
            lanes,
            batch_sizes,
            parameters: server,
            norms,
            prefix: "",
            input_per_slot: true,
            // No statistics depend on the classifier.
            with_loss: true,
        };
        let f = forward::build(&mut plan, &setting);
        let (blocks, stride, mean) = (s.store.blocks, s.store.len(), s.store.running(Branch::Clean));
        let statistics = RunningStatistics { blocks, stride, mean, momentum: None };
        let length = s.store.len();
        let local = ClientRows { length, row: length, place: 0, stride: length, start: 0, by_base: false };
        let b = client_rows::Buffers { lanes, store, rows };
        let mut step = vec![g.dispatch];
        step.extend(f.dispatches);
        step.push(statistics.dispatch("running statistics", moments, rows));
        let start = plan.add_phase("start", vec![local.take("take batch norms", b)]);
        let step = plan.add_phase("step", step);
        let finish = plan.add_phase("finish", vec![local.keep("keep batch norms", b)]);
        EstimatePlan { plan, lanes, schedule, images, labels, server, store, start, step, finish }
    }
}
