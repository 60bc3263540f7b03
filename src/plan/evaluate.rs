//! Evaluation of mixed bases: one forward of every base on every slot's images, then the mean logits of each width.
//!
//! A slot is one evaluation batch of one client; it has one lane a base. Phase: `evaluate`, once a wave.

use super::forward;
use super::gathered::{Evaluation, EvaluationNorms, Gathered, MIX, Tables};
use super::train::TOTALS_BYTES;
use super::{Extent, Labelled, PhaseId, Plan};
use crate::kernels::ensemble::{self, mean::EnsembleMean};
use crate::kernels::{BufferId, Tuning};
use crate::net::Network;
use std::ops::Range;

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
    /// The batch norms.
    pub norms: EvaluationNorms,
    /// The parts of a row, in vec4, that are each client's own; none where those are batch norms alone, or nothing.
    pub personal: &'a [Range<u32>],
    /// The kernels' variants.
    pub tuning: Tuning,
}

/// The plan and the buffers a caller writes or reads.
#[derive(Debug, Clone)]
pub struct EvaluatePlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// `[slot][1 + batch]`: a batch's size, then its images.
    pub schedule: BufferId,
    /// u8 images (external).
    pub images: [BufferId; 2],
    /// Labels of all images (external).
    pub labels: BufferId,
    /// The server's bases (external).
    pub server: BufferId,
    /// Rows of the clients, where the setting takes something from there (external).
    pub store: Option<BufferId>,
    /// u32 number of bases of each width.
    pub widths: BufferId,
    /// Mean logits, `[slot][width][n][block]`.
    pub mixed: BufferId,
    /// `[slot][width]` of (loss, correct, samples, 0).
    pub totals: BufferId,
    /// Once for the batches of a wave.
    pub evaluate: PhaseId,
    /// Has the uniform `lambda`.
    pub norms: Labelled,
}

impl EvaluatePlan {
    /// Builds the plan.
    pub fn new(s: &EvaluateSetting) -> EvaluatePlan {
        let mut plan = Plan::default();
        let net = s.network;
        let tables =
            Tables { batch: s.batch, steps: 1, slot_capacity: s.slot_capacity, images_per_chunk: s.images_per_chunk, augment: None };
        let g = Gathered::new(&mut plan, net, tables);
        let evaluation = Evaluation { network: net, batch: s.batch, tuning: s.tuning, norms: s.norms, personal: s.personal };
        let (setting, prepare, store) = g.evaluation(&mut plan, &evaluation);
        let f = forward::build(&mut plan, &setting);

        let rows = u64::from(s.widths) * u64::from(s.batch);
        let widths = plan.buffer("widths", Extent::Fixed(u64::from(s.widths) * 4));
        let mixed = plan.buffer("mixed logits", Extent::PerSlot(rows * u64::from(net.classes.div_ceil(4)) * 16));
        let outcomes = plan.transient("outcomes", Extent::PerSlot(rows * 8));
        let totals = plan.buffer("totals", Extent::PerSlot(u64::from(s.widths) * TOTALS_BYTES));
        let Gathered { lanes, schedule, images, labels, server, batch_labels, batch_sizes, .. } = g;
        let mix = EnsembleMean { batch: s.batch, classes: net.classes, bases: s.bases, widths: s.widths }.dispatches(
            "ensemble mean",
            ensemble::mean::Buffers { batch_sizes, logits: f.logits.buffer, batch_labels, widths, mixed, outcomes, totals },
        );
        let mut dispatches = vec![g.dispatch];
        dispatches.extend(prepare);
        dispatches.extend(f.dispatches);
        dispatches.extend(mix);
        let evaluate = plan.add_phase("evaluate", dispatches);
        let norms = plan.labelled(&[MIX]);
        EvaluatePlan { plan, evaluate, norms, lanes, schedule, images, labels, server, store, widths, mixed, totals }
    }
}
