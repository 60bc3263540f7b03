//! The local work of a wave of lanes: download the bases, local steps, and the wave's share of the per-base average.
//!
//! Phases: `start` once a wave, `step` once a local step, `finish` once a wave.

use super::forward::{self, Activation, Forward, Kept, Setting};
use super::{Extent, Plan};
use crate::kernels::class_presence::{self, ClassPresence};
use crate::kernels::conv2d_backward_data::{self, Conv2dBackwardData};
use crate::kernels::conv2d_backward_weight::{self, Conv2dBackwardWeight};
use crate::kernels::copy_bases::{self, CopyBases};
use crate::kernels::gather_images::{self, GatherImages};
use crate::kernels::sgd::{self, Sgd};
use crate::kernels::softmax_cross_entropy::{self, SoftmaxCrossEntropy};
use crate::kernels::sum_partials::SumPartials;
use crate::kernels::weighted_average::{self, WeightedAverage};
use crate::kernels::{BufferId, Dispatch, ImageLayout, Tuning, batch_norm_backward, linear_forward, max_pool_backward};
use crate::net::{Layer, Network};

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
    /// Factor on rescaled layers: 1/r with the layer correction, else 1.
    pub scale: f32,
    /// Whether the loss is the class-masked cross entropy.
    pub masked_loss: bool,
    /// SGD's momentum.
    pub momentum: f32,
    /// SGD's weight decay.
    pub weight_decay: f32,
    /// Tile sizes.
    pub tuning: Tuning,
}

/// The plan and the buffers a caller writes or reads.
#[derive(Debug, Clone)]
pub struct TrainPlan {
    /// Buffers and dispatches.
    pub plan: Plan,
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// `[step][slot][1 + batch]` (external).
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
    /// Gradients of each lane.
    pub gradient: BufferId,
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
        let lanes = plan.buffer("lanes", Extent::PerLane(16));
        let schedule = plan.buffer("schedule", Extent::External);
        let images = [plan.buffer("images 0", Extent::External), plan.buffer("images 1", Extent::External)];
        let labels = plan.buffer("labels", Extent::External);
        let server = plan.buffer("server", Extent::External);
        let average = plan.buffer("average", Extent::External);
        let parameters = plan.buffer("parameters", Extent::PerLane(row));
        let gradient = plan.buffer("gradient", Extent::PerLane(row));
        let momentum = plan.buffer("momentum", Extent::PerLane(row));
        let totals = plan.buffer("totals", Extent::PerLane(TOTALS_BYTES));
        let batch_labels = plan.buffer("batch labels", Extent::PerSlot(u64::from(s.batch) * 4));
        let batch_sizes = plan.buffer("batch sizes", Extent::PerSlot(4));
        let multiplier = plan.buffer("class multiplier", Extent::PerSlot(u64::from(net.classes) * 4));
        let input_layout = forward::input_layout(net);
        let input = plan.buffer("input", Extent::PerSlot(input_layout.bytes(s.batch)));
        let input = Activation { buffer: input, layout: input_layout };

        let gather =
            GatherImages { batch: s.batch, slot_capacity: s.slot_capacity, images_per_chunk: s.images_per_chunk, input: input_layout }
                .dispatch("gather", gather_images::Buffers { schedule, images, labels, input: input.buffer, batch_labels, batch_sizes });
        let presence = ClassPresence { batch: s.batch, classes: net.classes, masked: s.masked_loss }
            .dispatch("class presence", class_presence::Buffers { batch_sizes, batch_labels, multiplier });

        let setting = Setting { network: net, batch: s.batch, tuning: s.tuning, scale: s.scale, input, lanes, batch_sizes, parameters };
        let f = forward::build(&mut plan, &setting);

        let dlogits = plan.buffer("logits gradient", Extent::PerLane(f.logits.layout.bytes(s.batch)));
        let outcomes = plan.buffer("outcomes", Extent::PerLane(u64::from(s.batch) * 8));
        let loss = SoftmaxCrossEntropy { batch: s.batch, classes: net.classes }.dispatches(
            "loss",
            softmax_cross_entropy::Buffers {
                lanes,
                batch_sizes,
                logits: f.logits.buffer,
                batch_labels,
                multiplier,
                dlogits,
                outcomes,
                totals,
            },
        );

        let mut named: Vec<_> = net
            .layers
            .iter()
            .enumerate()
            .map(|(i, layer)| {
                let output = f.inputs.get(i + 1).copied().unwrap_or(f.logits);
                (format!("{}.{i}.output", layer.name()), output.buffer, output.layout)
            })
            .collect();
        let backward = backward(&mut plan, s, &f, gradient, Activation { buffer: dlogits, layout: f.logits.layout }, &mut named);

        let mut step = vec![gather, presence];
        step.extend(f.dispatches);
        step.extend(loss);
        step.extend(backward);
        step.push(
            Sgd { length: net.parameter_blocks, learning_rate: 0.0, momentum: s.momentum, weight_decay: s.weight_decay }
                .dispatch("sgd", sgd::Buffers { gradient, momentum, parameters }),
        );

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
        TrainPlan { plan, lanes, schedule, images, labels, server, average, members, totals, parameters, gradient, named }
    }
}

/// The backward of every layer, last to first. The gradient of each layer's output is stored with the border that the
/// layer's own backward_data wants.
fn backward(
    plan: &mut Plan,
    s: &TrainSetting,
    f: &Forward,
    gradient: BufferId,
    dlogits: Activation,
    named: &mut Vec<(String, BufferId, ImageLayout)>,
) -> Vec<Dispatch> {
    let net = s.network;
    let mut out = Vec::new();
    // Scratch for the parts of the largest weight gradient and for batch norm's sums, shared by all layers.
    let weight_kernel = |i: usize, conv, dz| Conv2dBackwardWeight {
        conv,
        batch: s.batch,
        input: f.inputs[i].layout,
        input_per_slot: i == 0,
        dz,
        tuning: s.tuning,
    };
    let largest = |bytes: &dyn Fn(usize) -> u64| (0..net.layers.len()).map(bytes).max().unwrap_or(0).max(16);
    let weight_parts = largest(&|i| match f.kept[i] {
        Kept::Conv { conv } => weight_kernel(i, conv, ImageLayout::new(conv.output, 0)).partial_bytes(),
        _ => 0,
    });
    let weight_parts = plan.buffer("weight gradient parts", Extent::PerLane(weight_parts));
    let sums = largest(&|i| match f.kept[i] {
        Kept::BatchNorm { norm, .. } => norm.moment_bytes(),
        _ => 0,
    });
    let sums = plan.buffer("batch norm gradient sums", Extent::PerLane(sums));

    let mut dy = dlogits;
    for i in (0..net.layers.len()).rev() {
        let label = match &net.layers[i] {
            Layer::MaxPool { .. } => format!("layer {i} max_pool"),
            layer => layer.name().to_string(),
        };
        named.push((format!("{}.{i}.output_gradient", net.layers[i].name()), dy.buffer, dy.layout));
        let is_first = i == 0;
        // Border that the layer before wants the gradient of its output in: batch norm works in place, so it passes on
        // what its convolution wants.
        let wanted_border = if is_first { 0 } else { gradient_border(f, i - 1) };
        let new_gradient = |plan: &mut Plan| {
            let layout = ImageLayout::new(f.inputs[i].layout.shape, wanted_border);
            let buffer = plan.buffer(format!("{label} input gradient"), Extent::PerLane(layout.bytes(s.batch)));
            Activation { buffer, layout }
        };
        match f.kept[i] {
            Kept::Linear { linear } => {
                let buffers =
                    |input, other, output| linear_forward::Buffers { lanes: f.lanes, batch_sizes: f.batch_sizes, input, other, output };
                out.push(linear.backward_weight(&format!("{label} backward_weight"), buffers(f.inputs[i].buffer, dy.buffer, gradient)));
                if !is_first {
                    let dx = new_gradient(plan);
                    out.push(linear.backward_data(
                        &format!("{label} backward_data"),
                        dx.layout,
                        s.tuning,
                        buffers(dy.buffer, f.parameters, dx.buffer),
                    ));
                    dy = dx;
                }
            }
            Kept::Conv { conv } => {
                let weight = weight_kernel(i, conv, dy.layout);
                let place = forward::place(net, i);
                out.push(weight.dispatch(
                    &format!("{label} backward_weight"),
                    conv2d_backward_weight::Buffers {
                        lanes: f.lanes,
                        batch_sizes: f.batch_sizes,
                        input: f.inputs[i].buffer,
                        dz: dy.buffer,
                        partial: weight_parts,
                    },
                ));
                let with_bias = place.bias.map_or(0, |_| dy.layout.blocks());
                out.push(
                    SumPartials {
                        length: conv.weight_blocks() + with_bias,
                        parts: weight.parts(),
                        partial_stride: weight.partial_stride(),
                        parameter_stride: place.stride,
                        offset: place.weight,
                    }
                    .dispatch(&format!("{label} backward_weight, summed"), weight_parts, gradient),
                );
                if !is_first {
                    let dx = new_gradient(plan);
                    let kernel = Conv2dBackwardData { conv, batch: s.batch, dx: dx.layout, dz: dy.layout, place, tuning: s.tuning };
                    out.push(kernel.dispatch(
                        &format!("{label} backward_data"),
                        conv2d_backward_data::Buffers {
                            lanes: f.lanes,
                            batch_sizes: f.batch_sizes,
                            dz: dy.buffer,
                            parameters: f.parameters,
                            dx: dx.buffer,
                        },
                    ));
                    dy = dx;
                }
            }
            Kept::BatchNorm { norm, z, moments, partials } => {
                let scale = if net.is_rescaled(i - 1) { s.scale } else { 1.0 };
                out.extend(norm.backward(
                    &label,
                    dy.layout,
                    scale,
                    batch_norm_backward::Buffers {
                        lanes: f.lanes,
                        batch_sizes: f.batch_sizes,
                        z: z.buffer,
                        moments,
                        parameters: f.parameters,
                        gradient_image: dy.buffer,
                        partials,
                        sums,
                        gradient,
                    },
                ));
            }
            Kept::MaxPool { pool, indices } => {
                if !is_first {
                    let dx = new_gradient(plan);
                    out.push(pool.backward(
                        &format!("{label} backward"),
                        dx.layout,
                        dy.layout,
                        max_pool_backward::Buffers { lanes: f.lanes, batch_sizes: f.batch_sizes, dy: dy.buffer, indices, dx: dx.buffer },
                    ));
                    dy = dx;
                }
            }
        }
    }
    out
}

/// Border of the stored gradient of layer `i`'s output.
fn gradient_border(f: &Forward, i: usize) -> u32 {
    match f.kept[i] {
        // The first layer's input needs no gradient in training.
        Kept::Conv { conv } if i > 0 => conv.gradient_border(),
        Kept::BatchNorm { .. } if i > 0 => gradient_border(f, i - 1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::digits;

    #[test]
    fn a_digits_step_needs_under_sixty_dispatches_and_its_operations_are_the_networks() {
        let network = digits(1, 8, 10).unwrap();
        let setting = TrainSetting {
            network: &network,
            bases: 8,
            batch: 32,
            images_per_chunk: 1000,
            slot_capacity: 50,
            lane_capacity: 190,
            scale: 8.0,
            masked_loss: false,
            momentum: 0.9,
            weight_decay: 5e-4,
            tuning: Tuning::new(false),
        };
        let plan = TrainPlan::new(&setting).plan;
        let step = plan.phase("step");
        assert!(step.len() < 60, "{} dispatches\n{}", step.len(), plan.describe(190, 50));
        let matmul: u64 = step.iter().filter(|d| d.label.contains("forward") || d.label.contains("backward_")).map(|d| d.flops).sum();
        // Three directions of every layer but the first convolution's backward_data.
        let exact = 32 * 2 * (3 * network.macs() - network.layer_macs(0));
        assert!(matmul >= exact && matmul < exact + exact / 10, "{matmul} against {exact}");
        assert!(plan.footprint().per_lane * 190 < 1_500_000_000, "{}", plan.describe(190, 50));
    }
}
