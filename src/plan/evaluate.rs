//! Evaluation of mixed bases: one forward of every base on every slot's images, then the mean logits of each width.
//!
//! A slot is one evaluation batch of one client; it has one lane a base. Phase: `evaluate`, once a wave.

use super::forward::{self, Activation, Setting};
use super::train::TOTALS_BYTES;
use super::{Extent, Plan};
use crate::kernels::ensemble_mean::{self, EnsembleMean};
use crate::kernels::gather_images::{self, GatherImages};
use crate::kernels::{BufferId, Tuning};
use crate::net::Network;

/// What evaluation is built from.
#[derive(Debug, Clone, Copy)]
pub struct EvaluateSetting<'a> {
    /// The base network.
    pub network: &'a Network,
    /// Bases that are run: the first so many of the server's.
    pub bases: u32,
    /// Number of widths mixed.
    pub widths: u32,
    /// Capacity of an evaluation batch.
    pub batch: u32,
    /// Images in the first of the two image chunks.
    pub images_per_chunk: u32,
    /// Most slots of a wave: the row length of the schedule.
    pub slot_capacity: u32,
    /// The kernels' variants.
    pub tuning: Tuning,
}

/// The plan and the buffers a caller writes or reads.
#[derive(Debug, Clone)]
pub struct EvaluatePlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// `[slot][1 + batch]`: a batch's size, then its images.
    pub schedule: BufferId,
    /// u8 images (external).
    pub images: [BufferId; 2],
    /// Labels of all images (external).
    pub labels: BufferId,
    /// The server's bases (external).
    pub server: BufferId,
    /// u32 number of bases of each width.
    pub widths: BufferId,
    /// Mean logits, `[slot][width][n][block]`.
    pub mixed: BufferId,
    /// `[slot][width]` of (loss, correct, samples, 0).
    pub totals: BufferId,
}

impl EvaluatePlan {
    /// Builds the plan.
    pub fn new(s: &EvaluateSetting) -> EvaluatePlan {
        let mut plan = Plan::default();
        let net = s.network;
        let lanes = plan.buffer("lanes", Extent::PerLane(16));
        let schedule = plan.buffer("schedule", Extent::PerSlot(u64::from(1 + s.batch) * 4));
        let images = [plan.buffer("images 0", Extent::External), plan.buffer("images 1", Extent::External)];
        let labels = plan.buffer("labels", Extent::External);
        let server = plan.buffer("server", Extent::External);
        let batch_labels = plan.buffer("batch labels", Extent::PerSlot(u64::from(s.batch) * 4));
        let batch_sizes = plan.buffer("batch sizes", Extent::PerSlot(4));
        let layout = forward::input_layout(net);
        let input = Activation { buffer: plan.buffer("input", Extent::PerSlot(layout.bytes(s.batch))), layout };
        let gather = GatherImages { batch: s.batch, slot_capacity: s.slot_capacity, images_per_chunk: s.images_per_chunk, input: layout }
            .dispatch("gather", gather_images::Buffers { schedule, images, labels, input: input.buffer, batch_labels, batch_sizes });
        // No layer correction outside training.
        let setting = Setting {
            network: net,
            batch: s.batch,
            tuning: s.tuning,
            scale: 1.0,
            input,
            lanes,
            batch_sizes,
            parameters: server,
            with_loss: false,
        };
        let f = forward::build(&mut plan, &setting);

        let rows = u64::from(s.widths) * u64::from(s.batch);
        let widths = plan.buffer("widths", Extent::Fixed(u64::from(s.widths) * 4));
        let mixed = plan.buffer("mixed logits", Extent::PerSlot(rows * u64::from(net.classes.div_ceil(4)) * 16));
        let outcomes = plan.transient("outcomes", Extent::PerSlot(rows * 8));
        let totals = plan.buffer("totals", Extent::PerSlot(u64::from(s.widths) * TOTALS_BYTES));
        let mix = EnsembleMean { batch: s.batch, classes: net.classes, bases: s.bases, widths: s.widths }.dispatches(
            "ensemble mean",
            ensemble_mean::Buffers { batch_sizes, logits: f.logits.buffer, batch_labels, widths, mixed, outcomes, totals },
        );
        let mut dispatches = vec![gather];
        dispatches.extend(f.dispatches);
        dispatches.extend(mix);
        plan.phases = vec![("evaluate", dispatches)];
        EvaluatePlan { plan, lanes, schedule, images, labels, server, widths, mixed, totals }
    }
}
