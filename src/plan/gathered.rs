//! What every plan begins with: the tables of its lanes and slots, and each slot's mini-batch, gathered.

use super::forward::{Activation, NormRows, Setting, input_layout};
use super::{Extent, Plan};
use crate::kernels::batch_norm::{self, mix::BatchNormMix};
use crate::kernels::client_rows::{self, ClientRows};
use crate::kernels::gather_images::{self, Augment, GatherImages};
use crate::kernels::{BufferId, Dispatch, Tuning};
use crate::net::{Network, NormRow, between};
use std::ops::Range;

/// Sizes of the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Steps that the schedule holds.
    pub steps: u32,
    /// Most slots of a wave: the row length of the schedule.
    pub slot_capacity: u32,
    /// Images in the first of the two image chunks.
    pub images_per_chunk: u32,
    /// Changes to every image.
    pub augment: Option<Augment>,
}

/// Which batch norms an evaluation uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EvaluationNorms {
    /// Normalise by running statistics, not by the batch's.
    pub running: bool,
    /// Batch norms from rows like this of a store, by the lane's row of batch norms; else from the server's bases.
    pub store: Option<NormRow>,
    /// Share of the adversarial batch norm, in [0, 1].
    pub lambda: f32,
}

/// What an evaluation is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evaluation<'a> {
    pub network: &'a Network,
    /// Capacity of a batch.
    pub batch: u32,
    pub tuning: Tuning,
    pub norms: EvaluationNorms,
    /// The parts of a row, in vec4, that are the clients' own where those are not batch norms alone: then every lane has a row of its own,
    /// put together from the client's and the base's.
    pub personal: &'a [Range<u32>],
}

/// Label of the dispatch that gathers.
pub(super) const GATHER: &str = "gather";

/// Label of the dispatch that mixes batch norms.
pub(super) const MIX: &str = "batch norms";

/// The buffers, and the dispatch that gathers.
pub(super) struct Gathered {
    pub lanes: BufferId,
    pub schedule: BufferId,
    pub images: [BufferId; 2],
    pub labels: BufferId,
    pub server: BufferId,
    pub batch_labels: BufferId,
    pub batch_sizes: BufferId,
    pub input: Activation,
    pub dispatch: Dispatch,
}

impl Gathered {
    pub fn new(plan: &mut Plan, network: &Network, tables: Tables) -> Gathered {
        let Tables { batch, steps, slot_capacity, images_per_chunk, augment } = tables;
        let lanes = plan.buffer("lanes", Extent::PerLane(16));
        let schedule = plan.buffer("schedule", Extent::PerSlot(u64::from(steps) * u64::from(1 + batch) * 4));
        let images = [plan.buffer("images 0", Extent::External), plan.buffer("images 1", Extent::External)];
        let labels = plan.buffer("labels", Extent::External);
        let server = plan.buffer("server", Extent::External);
        let batch_labels = plan.buffer("batch labels", Extent::PerSlot(u64::from(batch) * 4));
        let batch_sizes = plan.buffer("batch sizes", Extent::PerSlot(4));
        let layout = input_layout(network);
        let input = Activation { buffer: plan.buffer("input", Extent::PerSlot(layout.bytes(batch))), layout };
        let dispatch = GatherImages { batch, slot_capacity, images_per_chunk, input: layout, augment }
            .dispatch(GATHER, gather_images::Buffers { schedule, images, labels, input: input.buffer, batch_labels, batch_sizes });
        Gathered { lanes, schedule, images, labels, server, batch_labels, batch_sizes, input, dispatch }
    }

    /// The forward on the gathered images, in evaluation mode: no layer correction. Before its first dispatch, those that are returned
    /// prepare it. Parameters are the server's; where something is the clients' own, the last buffer has their rows.
    pub fn evaluation<'a>(&self, plan: &mut Plan, s: &Evaluation<'a>) -> (Setting<'a>, Vec<Dispatch>, Option<BufferId>) {
        let network = s.network;
        let stored = s.norms.store.is_some() || !s.personal.is_empty();
        let store = stored.then(|| plan.buffer("rows of clients", Extent::External));
        let mut prepare = Vec::new();
        let parameters = match store.filter(|_| !s.personal.is_empty()) {
            Some(store) => self.own_rows(plan, network, s.personal, store, &mut prepare),
            None => self.server,
        };
        let (row, stride, start) = match s.norms.store {
            Some(row) => (row, row.len(), 0),
            None => (network.norm_row(), network.parameter_blocks, network.norm_start),
        };
        let EvaluationNorms { running, lambda, .. } = s.norms;
        let mix = BatchNormMix { row, stride, start, own_rows: s.norms.store.is_some(), running, lambda };
        let source = store.filter(|_| mix.own_rows).unwrap_or(parameters);
        let (norms, dispatch) = mixed(plan, "", mix, self.lanes, source);
        prepare.push(dispatch);
        let setting = Setting {
            network,
            batch: s.batch,
            tuning: s.tuning,
            scale: 1.0,
            input: self.input,
            lanes: self.lanes,
            batch_sizes: self.batch_sizes,
            parameters,
            norms,
            prefix: "",
            input_per_slot: true,
            with_loss: false,
        };
        (setting, prepare, store)
    }

    /// A row of parameters for every lane: the client's own in the `personal` parts, the base's between them.
    fn own_rows(
        &self,
        plan: &mut Plan,
        network: &Network,
        personal: &[Range<u32>],
        store: BufferId,
        prepare: &mut Vec<Dispatch>,
    ) -> BufferId {
        let stride = network.parameter_blocks;
        let rows = plan.buffer("parameters", Extent::PerLane(u64::from(stride) * 16));
        let shared = ClientRows::of_bases(&between(personal, stride), stride);
        let of = |store| client_rows::Buffers { lanes: self.lanes, store, rows };
        prepare.extend(shared.iter().map(|kernel| kernel.take("take what is shared", of(self.server))));
        prepare.extend(ClientRows::of_parts(personal, stride).iter().map(|kernel| kernel.take("take what is the client's", of(store))));
        rows
    }
}

/// Batch norms for an evaluation, and the dispatch that makes them from the rows of `source`.
pub(super) fn mixed(plan: &mut Plan, prefix: &str, mix: BatchNormMix, lanes: BufferId, source: BufferId) -> (NormRows, Dispatch) {
    let buffer = plan.buffer(format!("{prefix}{MIX}"), Extent::PerLane(mix.mixed_bytes()));
    let moments = moments(plan, prefix, mix.row);
    let dispatch = mix.dispatch(&format!("{prefix}{MIX}"), batch_norm::mix::Buffers { lanes, source, mixed: buffer, moments });
    (NormRows { buffer, stride: 2 * mix.row.blocks, start: 0, moments, running: mix.running }, dispatch)
}

/// A buffer for the moments of all batch norms.
pub(super) fn moments(plan: &mut Plan, prefix: &str, row: NormRow) -> BufferId {
    plan.buffer(format!("{prefix}moments"), Extent::PerLane(u64::from(row.blocks) * 48))
}
