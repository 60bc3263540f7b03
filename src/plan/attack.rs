//! An attack on the images that mixed bases see: projected gradient descent in the L∞ ball, all on the GPU.
//!
//! A slot is one batch of one client; it has one lane a base, and its images are attacked against the mean logits of all.
//! The bases are in evaluation mode: no layer correction, batch norm by running statistics or by those of the attacked batch, the
//! gradient through them, and the λ-mix of dual ones (paper, Algorithm 4; the loss is the plain cross entropy, summed). The end of a wave
//! is a forward of the attacked images and its counters.

use super::backward::{self, Loss};
use super::forward::{self, Activation, Setting};
use super::gathered::{Evaluation, EvaluationNorms, Gathered, MIX, Tables};
use super::train::TOTALS_BYTES;
use super::{Extent, Labelled, PhaseId, Plan};
use crate::kernels::attack::{self, AttackImages, By};
use crate::kernels::ensemble::{self, mean::EnsembleMean};
use crate::kernels::{BufferId, ImageLayout, Tuning};
use crate::net::Network;
use std::ops::Range;

/// What the plan is built from.
#[derive(Debug, Clone, Copy)]
pub struct AttackSetting<'a> {
    /// The base network.
    pub network: &'a Network,
    /// Bases mixed: the first so many of the server's.
    pub bases: u32,
    /// Capacity of a batch.
    pub batch: u32,
    /// Images in the first of the two image chunks.
    pub images_per_chunk: u32,
    /// Most slots of a wave: the row length of the schedule.
    pub slot_capacity: u32,
    /// Seed of the start's noise.
    pub seed: u32,
    /// Radius of the start's noise; 0 starts from the clean image.
    pub start: f32,
    /// Radius of the ball, ε.
    pub epsilon: f32,
    /// Step size.
    pub alpha: f32,
    /// The batch norms.
    pub norms: EvaluationNorms,
    /// The parts of a row, in vec4, that are each client's own; none where those are batch norms alone, or nothing.
    pub personal: &'a [Range<u32>],
    /// The kernels' variants.
    pub tuning: Tuning,
}

/// The plan and the buffers a caller writes or reads.
#[derive(Debug, Clone)]
pub struct AttackPlan {
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
    /// u32 number of bases, once.
    pub widths: BufferId,
    /// Attacked images, per slot, and their layout.
    pub attacked: (BufferId, ImageLayout),
    /// `[slot][n]` u32, 1 where a gradient was not 0.
    pub moved: BufferId,
    /// `[slot]` of (loss, correct, samples, 0), each sample's from its worst restart.
    pub totals: BufferId,
    /// Once a wave and restart.
    pub start: PhaseId,
    /// Once a step.
    pub step: PhaseId,
    /// Once a wave and restart, at the end.
    pub finish: PhaseId,
    /// Has the uniform `lambda`.
    pub norms: Labelled,
    /// Has the uniforms `round`, the number of the noise.
    pub noise: Labelled,
    /// Have the uniform `restart`, its number.
    pub restarts: Labelled,
    /// Has the uniform `shift`, from a label to the target's.
    pub loss: Labelled,
}

const START: &str = "attack start";
const WORST: &str = "worst restart";

impl AttackPlan {
    /// Builds the plan.
    pub fn new(s: &AttackSetting) -> AttackPlan {
        let mut plan = Plan::default();
        let net = s.network;
        let tables =
            Tables { batch: s.batch, steps: 1, slot_capacity: s.slot_capacity, images_per_chunk: s.images_per_chunk, augment: None };
        let g = Gathered::new(&mut plan, net, tables);
        let Gathered { lanes, schedule, images, labels, server, batch_labels, batch_sizes, .. } = g;
        let Activation { buffer: clean, layout } = g.input;
        let attacked = plan.buffer("attacked images", Extent::PerSlot(layout.bytes(s.batch)));
        let input = Activation { buffer: attacked, layout };
        let evaluation = Evaluation { network: net, batch: s.batch, tuning: s.tuning, norms: s.norms, personal: s.personal };
        let (setting, prepare, store) = g.evaluation(&mut plan, &evaluation);
        let setting = Setting { input, ..setting };
        let f = forward::build(&mut plan, &setting);

        let loss = Loss::OfEnsemble { batch_labels, bases: s.bases };
        let b = backward::of_input(&mut plan, &setting, &f, &loss, None);
        let dx = b.input_gradient.expect("asked for");
        let kernel = AttackImages {
            batch: s.batch,
            by: By::Slot { bases: s.bases },
            images: layout,
            gradient: dx.layout,
            seed: s.seed,
            start: s.start,
            epsilon: s.epsilon,
            alpha: s.alpha,
            slot_capacity: s.slot_capacity,
        };
        let outcomes = plan.transient("outcomes", Extent::PerSlot(u64::from(s.batch) * 8));
        let worst = plan.buffer("worst outcomes", Extent::PerSlot(u64::from(s.batch) * 8));
        let moved = plan.buffer("moved", Extent::PerSlot(u64::from(s.batch) * 4));
        let buffers = attack::Buffers { batch_sizes, clean, lanes, schedule, dx: dx.buffer, attacked, moved };

        let widths = plan.buffer("widths", Extent::Fixed(4));
        let mixed = plan.transient("mixed logits", Extent::PerSlot(u64::from(s.batch) * u64::from(net.classes.div_ceil(4)) * 16));
        let totals = plan.buffer("totals", Extent::PerSlot(TOTALS_BYTES));
        let mean = EnsembleMean { batch: s.batch, classes: net.classes, bases: s.bases, widths: 1 };
        let mix = |outcomes| {
            let b = ensemble::mean::Buffers { batch_sizes, logits: f.logits.buffer, batch_labels, widths, mixed, outcomes, totals };
            mean.dispatches("ensemble mean", b)
        };
        let ([logits, _], [_, count]) = (mix(outcomes), mix(worst));
        let mut step = f.dispatches.clone();
        step.extend(b.dispatches);
        step.push(kernel.step("attack step", buffers));
        let mut finish = f.dispatches;
        finish.extend([logits, kernel.worst(WORST, batch_sizes, outcomes, worst), count]);
        let mut start = vec![g.dispatch];
        start.extend(prepare);
        start.push(kernel.start(START, buffers));
        let start = plan.add_phase("start", start);
        let (step, finish) = (plan.add_phase("step", step), plan.add_phase("finish", finish));
        AttackPlan {
            norms: plan.labelled(&[MIX]),
            noise: plan.labelled(&[START]),
            restarts: plan.labelled(&[START, WORST]),
            loss: plan.labelled(&[backward::ENSEMBLE_LOSS]),
            plan,
            lanes,
            schedule,
            images,
            labels,
            server,
            store,
            widths,
            attacked: (attacked, layout),
            moved,
            totals,
            start,
            step,
            finish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::digits;

    #[test]
    fn a_step_against_mixed_digits_bases_needs_about_thirty_dispatches() {
        let network = digits(1, 8, 10).unwrap();
        let setting = AttackSetting {
            network: &network,
            bases: 8,
            batch: 32,
            images_per_chunk: 1000,
            slot_capacity: 50,
            seed: 1,
            start: 8.0 / 255.0,
            epsilon: 8.0 / 255.0,
            alpha: 2.0 / 255.0,
            norms: EvaluationNorms::default(),
            personal: &[],
            tuning: Tuning::baseline(),
        };
        let plan = AttackPlan::new(&setting);
        let step = plan.plan.phase(plan.step);
        assert!(step.len() <= 30, "{} dispatches\n{}", step.len(), plan.plan.describe(190, 50));
        let mut shared = plan.plan.clone();
        shared.share_memory();
        assert!(shared.footprint().bytes(8, 1) < plan.plan.footprint().bytes(8, 1));
    }
}
