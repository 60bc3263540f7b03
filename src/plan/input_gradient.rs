//! Forward of every lane and the gradient of its summed loss with respect to its input images: what one step of an attack
//! is made of. The layer correction is off, batch norm uses the batch's statistics and the gradient flows through them,
//! and the loss is the plain cross entropy.

use super::backward::{self, Loss};
use super::forward::{self, Setting};
use super::gathered::{Evaluation, EvaluationNorms, Gathered, Tables};
use super::train::TOTALS_BYTES;
use super::{Extent, PhaseId, Plan};
use crate::kernels::{BufferId, ImageLayout, Tuning};
use crate::net::Network;

/// What the plan is built from.
#[derive(Debug, Clone, Copy)]
pub struct InputGradientSetting<'a> {
    /// The base network.
    pub network: &'a Network,
    /// Capacity of a mini-batch.
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
pub struct InputGradientPlan {
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
    /// `[lane]` of (loss, correct, samples, steps), added to.
    pub totals: BufferId,
    /// Gradient with respect to the images, per lane, and its layout.
    pub input_gradient: (BufferId, ImageLayout),
    /// All of it.
    pub phase: PhaseId,
}

impl InputGradientPlan {
    /// Builds the plan.
    pub fn new(s: &InputGradientSetting) -> InputGradientPlan {
        let mut plan = Plan::default();
        let net = s.network;
        let tables =
            Tables { batch: s.batch, steps: 1, slot_capacity: s.slot_capacity, images_per_chunk: s.images_per_chunk, augment: None };
        let g = Gathered::new(&mut plan, net, tables);
        let totals = plan.buffer("totals", Extent::PerLane(TOTALS_BYTES));
        let norms = EvaluationNorms::default();
        let evaluation = Evaluation { network: net, batch: s.batch, tuning: s.tuning, norms, personal: &[] };
        let (setting, prepare, _) = g.evaluation(&mut plan, &evaluation);
        let setting = Setting { with_loss: true, ..setting };
        let f = forward::build(&mut plan, &setting);
        let loss = Loss::OfLanes { batch_labels: g.batch_labels, totals, masked: false, summed: true, share: 1.0 };
        let b = backward::of_input(&mut plan, &setting, &f, &loss, None);
        let mut dispatches = vec![g.dispatch];
        dispatches.extend(prepare);
        dispatches.extend(f.dispatches);
        dispatches.extend(b.dispatches);
        let phase = plan.add_phase("input gradient", dispatches);
        let dx = b.input_gradient.expect("asked for");
        let input_gradient = (dx.buffer, dx.layout);
        let Gathered { lanes, schedule, images, labels, server, .. } = g;
        InputGradientPlan { plan, lanes, schedule, images, labels, server, totals, input_gradient, phase }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::digits;

    #[test]
    fn a_digits_base_needs_at_most_thirty_dispatches() {
        let network = digits(1, 8, 10).unwrap();
        let tuning = Tuning::baseline();
        let setting = InputGradientSetting { network: &network, batch: 32, images_per_chunk: 1000, slot_capacity: 50, tuning };
        let plan = InputGradientPlan::new(&setting);
        let dispatches = plan.plan.phase(plan.phase);
        assert!(dispatches.len() <= 30, "{} dispatches\n{}", dispatches.len(), plan.plan.describe(190, 50));
        let matmul: u64 =
            dispatches.iter().filter(|d| ["forward", "backward_", "classifier"].iter().any(|p| d.label.contains(p))).map(|d| d.flops).sum();
        // Two directions of every layer.
        let exact = 32 * 2 * 2 * network.macs();
        assert!(matmul >= exact && matmul < exact + exact / 10, "{matmul} against {exact}");
        assert_eq!(plan.input_gradient.1.shape, network.input);
    }
}
