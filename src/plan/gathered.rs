//! What every plan begins with: the tables of its lanes and slots, and each slot's mini-batch, gathered.

use super::forward::{Activation, Setting, input_layout};
use super::{Extent, Plan};
use crate::kernels::gather_images::{self, GatherImages};
use crate::kernels::{BufferId, Dispatch, Tuning};
use crate::net::Network;

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
}

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
        let Tables { batch, steps, slot_capacity, images_per_chunk } = tables;
        let lanes = plan.buffer("lanes", Extent::PerLane(16));
        let schedule = plan.buffer("schedule", Extent::PerSlot(u64::from(steps) * u64::from(1 + batch) * 4));
        let images = [plan.buffer("images 0", Extent::External), plan.buffer("images 1", Extent::External)];
        let labels = plan.buffer("labels", Extent::External);
        let server = plan.buffer("server", Extent::External);
        let batch_labels = plan.buffer("batch labels", Extent::PerSlot(u64::from(batch) * 4));
        let batch_sizes = plan.buffer("batch sizes", Extent::PerSlot(4));
        let layout = input_layout(network);
        let input = Activation { buffer: plan.buffer("input", Extent::PerSlot(layout.bytes(batch))), layout };
        let dispatch = GatherImages { batch, slot_capacity, images_per_chunk, input: layout }
            .dispatch("gather", gather_images::Buffers { schedule, images, labels, input: input.buffer, batch_labels, batch_sizes });
        Gathered { lanes, schedule, images, labels, server, batch_labels, batch_sizes, input, dispatch }
    }

    /// The forward of the server's own bases on the gathered images, in evaluation mode: no layer correction.
    pub fn evaluation<'a>(&self, network: &'a Network, batch: u32, tuning: Tuning, with_loss: bool) -> Setting<'a> {
        Setting {
            network,
            batch,
            tuning,
            scale: 1.0,
            input: self.input,
            lanes: self.lanes,
            batch_sizes: self.batch_sizes,
            parameters: self.server,
            with_loss,
        }
    }
}
