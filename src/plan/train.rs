//! The local work of a wave of lanes: download the bases, local steps, and the wave's share of the per-base average.
//!
//! Phases: `start` once a wave, `step` once a local step, `finish` once a wave.

use super::backward::{self, Descent, Wanted};
use super::forward::{self, Setting};
use super::gathered::{Gathered, Tables};
use super::{Extent, Plan};
use crate::kernels::copy_bases::{self, CopyBases};
use crate::kernels::linear_backward_weight;
use crate::kernels::sgd::{self, Sgd};
use crate::kernels::weighted_average::{self, WeightedAverage};
use crate::kernels::{BufferId, ImageLayout, Tuning};
use crate::net::Network;

/// What local training is built from.
#[derive(Debug, Clone, Copy)]
pub struct TrainSetting<'a> {
    /// The base network.
    pub network: &'a Network,
    /// Number of bases on the server.
    pub bases: u32,
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Images in the first of the two image chunks.
    pub images_per_chunk: u32,
    /// Most slots of a wave: the row length of the schedule.
    pub slot_capacity: u32,
    /// Most lanes of a wave.
    pub lane_capacity: u32,
    /// Most local steps of a round.
    pub steps: u32,
    /// Factor on rescaled layers: 1/r with the layer correction, else 1.
    pub scale: f32,
    /// Whether the loss is the class-masked cross entropy.
    pub masked_loss: bool,
    /// SGD's momentum.
    pub momentum: f32,
    /// SGD's weight decay.
    pub weight_decay: f32,
    /// The kernels' variants.
    pub tuning: Tuning,
    /// Whether every gradient is to be read afterwards; else that of the largest linear layer is spent where it is computed.
    pub keep_gradients: bool,
}

/// The plan and the buffers a caller writes or reads.
#[derive(Debug, Clone)]
pub struct TrainPlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// `[step][slot][1 + batch]`: a batch's size, then its images.
    pub schedule: BufferId,
    /// u8 images (external).
    pub images: [BufferId; 2],
    /// Labels of all images (external).
    pub labels: BufferId,
    /// The server's bases (external).
    pub server: BufferId,
    /// Running average of every base (external).
    pub average: BufferId,
    /// Table of lanes and weights of each base.
    pub members: BufferId,
    /// Counters of each lane.
    pub totals: BufferId,
    /// Parameters of each lane.
    pub parameters: BufferId,
    /// Gradients of each lane; all of them only where the setting keeps gradients.
    pub gradient: BufferId,
    /// Labels of the dispatches that descend, and the uniform word of each that is the learning rate.
    pub learning_rates: Vec<(String, usize)>,
    /// Activations and gradients by name, for the golden tests: images with their layout, per lane.
    pub named: Vec<(String, BufferId, ImageLayout)>,
}

/// Bytes of one lane's or one (slot, width)'s counters.
pub const TOTALS_BYTES: u64 = 16;

impl TrainPlan {
    /// Builds the plan. Its memory is per lane and slot; how many there are is settled when the program is made.
    pub fn new(s: &TrainSetting) -> TrainPlan {
        let mut plan = Plan::default();
        let net = s.network;
        let row = u64::from(net.parameter_blocks) * 16;
        let tables = Tables { batch: s.batch, steps: s.steps, slot_capacity: s.slot_capacity, images_per_chunk: s.images_per_chunk };
        let g = Gathered::new(&mut plan, net, tables);
        let Gathered { lanes, schedule, images, labels, server, batch_labels, .. } = g;
        let average = plan.buffer("average", Extent::External);
        let parameters = plan.buffer("parameters", Extent::PerLane(row));
        let gradient = plan.buffer("gradient", Extent::PerLane(row));
        let momentum = plan.buffer("momentum", Extent::PerLane(row));
        let totals = plan.buffer("totals", Extent::PerLane(TOTALS_BYTES));
        let setting = Setting { scale: s.scale, parameters, ..g.evaluation(net, s.batch, s.tuning, true) };
        let f = forward::build(&mut plan, &setting);

        let wanted = Wanted { weights: true, input: false };
        let loss = backward::Loss::OfLanes { batch_labels, totals, masked: s.masked_loss, summed: false };
        let sgd =
            Sgd { length: net.parameter_blocks, skip: (0, 0), learning_rate: 0.0, momentum: s.momentum, weight_decay: s.weight_decay };
        let largest = if s.keep_gradients { None } else { forward::largest_linear(&f) };
        let descent = largest.map(|(layer, _)| Descent { layer, sgd, momentum });
        let b = backward::build(&mut plan, &setting, &f, &loss, gradient, wanted, descent);
        let mut named = forward::named(net, &f);
        named.extend(b.named);

        let mut step = vec![g.dispatch];
        step.extend(f.dispatches);
        step.extend(b.dispatches);
        let mut learning_rates = vec![("sgd".to_string(), Sgd::LEARNING_RATE_WORD)];
        let mut rest = sgd;
        if let Some((layer, linear)) = largest {
            rest.skip = linear.parameters();
            learning_rates.push((backward::descent_label(net.layers[layer].name()), linear_backward_weight::LEARNING_RATE_WORD));
        }
        step.push(rest.dispatch("sgd", sgd::Buffers { gradient, momentum, parameters }));

        let average_kernel = WeightedAverage { length: net.parameter_blocks, bases: s.bases, lane_capacity: s.lane_capacity };
        let members = plan.buffer("members", Extent::Fixed(average_kernel.member_bytes()));
        plan.phases = vec![
            (
                "start",
                vec![
                    CopyBases { length: net.parameter_blocks }
                        .dispatch("download", copy_bases::Buffers { lanes, server, parameters, momentum }),
                ],
            ),
            ("step", step),
            ("finish", vec![average_kernel.dispatch("average", weighted_average::Buffers { members, parameters, average })]),
        ];
        TrainPlan { plan, lanes, schedule, images, labels, server, average, members, totals, parameters, gradient, learning_rates, named }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::digits;

    #[test]
    fn a_digits_step_needs_few_dispatches_and_its_operations_are_the_networks() {
        let network = digits(1, 8, 10).unwrap();
        let setting = TrainSetting {
            network: &network,
            bases: 8,
            batch: 32,
            images_per_chunk: 1000,
            slot_capacity: 50,
            lane_capacity: 190,
            steps: 4,
            scale: 8.0,
            masked_loss: false,
            momentum: 0.9,
            weight_decay: 5e-4,
            tuning: Tuning::baseline(),
            keep_gradients: false,
        };
        let plan = TrainPlan::new(&setting).plan;
        let step = plan.phase("step");
        assert!(step.len() < 40, "{} dispatches\n{}", step.len(), plan.describe(190, 50));
        let matmul: u64 = step.iter().filter(|d| d.label.contains("forward") || d.label.contains("backward_")).map(|d| d.flops).sum();
        // Three directions of every layer but the first convolution's backward_data.
        let exact = 32 * 2 * (3 * network.macs() - network.layer_macs(0));
        assert!(matmul >= exact && matmul < exact + exact / 10, "{matmul} against {exact}");
        let own = plan.footprint().bytes(190, 50);
        let mut plan = plan;
        plan.share_memory();
        let shared = plan.footprint().bytes(190, 50);
        assert!(shared < 1_200_000_000 && shared < own, "{}", plan.describe(190, 50));
    }
}
