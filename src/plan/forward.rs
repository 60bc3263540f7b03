//! The forward of every lane, shared by training and evaluation.

use super::{Extent, Plan};
pub(super) use crate::kernels::Activation;
use crate::kernels::average_pool::AveragePool;
use crate::kernels::batch_norm::{BatchNorm, NormPlace};
use crate::kernels::conv2d::{Conv2d, forward::Conv2dForward};
use crate::kernels::linear::{self, Linear};
use crate::kernels::max_pool::MaxPool;
use crate::kernels::relu::Relu;
use crate::kernels::residual_add::ResidualAdd;
use crate::kernels::{BufferId, Dispatch, ImageLayout, LaneTables, ParameterPlace, Tuning};
use crate::net::{Layer, Network};
use std::collections::BTreeMap;

/// Where the forward's batch norms are: rows of the lanes, with γ and then β of all layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormRows {
    pub buffer: BufferId,
    /// vec4 of a row.
    pub stride: u32,
    /// Start of γ in it.
    pub start: u32,
    /// Moments of all layers: given where `running`, else the batch's.
    pub moments: BufferId,
    pub running: bool,
}

/// What the forward of one layer leaves for its backward.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept {
    Conv {
        conv: Conv2d,
    },
    Linear {
        linear: Linear,
    },
    BatchNorm {
        norm: BatchNorm,
    },
    MaxPool {
        pool: MaxPool,
        indices: BufferId,
    },
    /// A max-pooling that the batch norm before it did.
    Pooled,
    AveragePool {
        pool: AveragePool,
    },
    Relu {
        relu: Relu,
    },
    Residual,
}

/// The buffers that every lane or slot needs, and the forward's dispatches.
pub(super) struct Forward {
    pub tables: LaneTables,
    pub parameters: BufferId,
    /// Before the labels of dispatches and buffers.
    pub prefix: String,
    /// Whether the first layer's input is one a slot, not one a lane.
    pub input_per_slot: bool,
    /// Input of each layer.
    pub inputs: Vec<Activation>,
    /// Output of each layer; none where it is not stored: of a batch norm that pools.
    pub outputs: Vec<Option<Activation>>,
    pub logits: Activation,
    pub kept: Vec<Kept>,
    pub dispatches: Vec<Dispatch>,
}

/// What the forward is built from.
pub(super) struct Setting<'a> {
    pub network: &'a Network,
    pub batch: u32,
    pub tuning: Tuning,
    /// Factor on rescaled layers: 1/r in training with the layer correction, else 1.
    pub scale: f32,
    pub input: Activation,
    pub lanes: BufferId,
    pub batch_sizes: BufferId,
    pub parameters: BufferId,
    pub norms: NormRows,
    /// Before the labels of dispatches and buffers, where a plan has several forwards: as in `adversarial `.
    pub prefix: &'a str,
    /// Whether the input is one a slot, not one a lane.
    pub input_per_slot: bool,
    /// Whether the classifier's own dispatch is left out: the loss computes the logits.
    pub with_loss: bool,
}

/// Layout of the gathered input images: bordered for the first layer.
pub(super) fn input_layout(network: &Network) -> ImageLayout {
    ImageLayout::new(network.input, padding(&network.layers[0]))
}

/// Zero border that a layer wants its input stored with.
fn padding(layer: &Layer) -> u32 {
    match layer {
        Layer::Conv2d { padding, .. } => *padding,
        _ => 0,
    }
}

/// Layout of what layer `i` leaves, with the border that those who read it want.
fn output_layout(network: &Network, i: usize) -> ImageLayout {
    let border = network.consumers(i).into_iter().map(|j| padding(&network.layers[j])).max();
    ImageLayout::new(network.shapes[i], border.unwrap_or(0))
}

/// Label of layer `i`'s dispatches and buffers.
pub(super) fn label(network: &Network, i: usize, prefix: &str) -> String {
    match &network.layers[i] {
        layer @ (Layer::Conv2d { .. } | Layer::BatchNorm { .. } | Layer::Linear { .. }) => format!("{prefix}{}", layer.name()),
        layer => format!("{prefix}layer {i} {}", layer.name()),
    }
}

/// Where the parameters of layer `i`, a convolution or linear layer, lie.
pub(super) fn place(network: &Network, i: usize) -> ParameterPlace {
    let name = network.layers[i].name();
    let offset = |suffix: &str| network.tensor(&format!("{name}.{suffix}")).map(|t| t.offset);
    ParameterPlace {
        stride: network.parameter_blocks,
        weight: offset("weight").expect("a layer with parameters has a weight"),
        bias: offset("bias"),
    }
}

pub(super) fn build(plan: &mut Plan, s: &Setting) -> Forward {
    let net = s.network;
    let tables = LaneTables { lanes: s.lanes, batch_sizes: s.batch_sizes };
    let mut dispatches = Vec::new();
    let mut inputs = Vec::new();
    let mut kept = Vec::new();
    let mut outputs: Vec<Option<Activation>> = Vec::new();
    // Convolutions that left statistics for a batch norm.
    let mut tiles: BTreeMap<usize, (Conv2dForward, BufferId)> = BTreeMap::new();
    let mut pooled = None;
    for (i, layer) in net.layers.iter().enumerate() {
        let read = |source: &Option<usize>| source.map_or(s.input, |from| outputs[from].expect("nobody reads a batch norm that pools"));
        if let Some(done) = pooled.take() {
            inputs.push(done);
            kept.push(Kept::Pooled);
            outputs.push(Some(done));
            continue;
        }
        let current = read(&net.sources[i][0]);
        inputs.push(current);
        // A max-pooling right after a batch norm is done by it.
        let pool = match layer {
            Layer::BatchNorm { .. } if net.consumers(i) == [i + 1] => pooled_by_norm(&net.layers[i + 1]),
            _ => 1,
        };
        let out_layout = output_layout(net, if pool > 1 { i + 1 } else { i });
        let scale = if net.is_rescaled(i) { s.scale } else { 1.0 };
        let label = label(net, i, s.prefix);
        let output = Activation { buffer: plan.images(format!("{label} output"), out_layout, s.batch), layout: out_layout };
        match *layer {
            Layer::Conv2d { kernel, stride, padding, out_channels, .. } => {
                let conv = Conv2d::new(net.input_of(i), out_channels, (kernel, kernel), stride, padding).expect("checked by the network");
                let forward = Conv2dForward {
                    conv,
                    batch: s.batch,
                    input: current,
                    input_per_slot: i == 0 && s.input_per_slot,
                    output,
                    place: place(net, i),
                    scale,
                    tuning: s.tuning,
                    statistics: !s.norms.running && net.consumers(i).iter().any(|j| matches!(net.layers[*j], Layer::BatchNorm { .. })),
                };
                let parts = plan.transient(format!("{label} tiles"), Extent::PerLane(forward.part_bytes()));
                tiles.extend(forward.statistics.then_some((i, (forward, parts))));
                dispatches.push(forward.dispatch(&format!("{label} forward"), tables, s.parameters, parts));
                kept.push(Kept::Conv { conv });
            }
            Layer::Linear { .. } => {
                let linear =
                    Linear { batch: s.batch, in_blocks: current.layout.image(), out_blocks: out_layout.image(), place: place(net, i) };
                if s.with_loss && i + 1 == net.layers.len() {
                    kept.push(Kept::Linear { linear });
                    outputs.push(Some(output));
                    continue;
                }
                let b = linear::Buffers { tables, input: current.buffer, other: s.parameters, output: output.buffer };
                dispatches.push(linear.forward(&format!("{label} forward"), scale, s.tuning, b));
                kept.push(Kept::Linear { linear });
            }
            Layer::BatchNorm { .. } => {
                let norm = batch_norm(s, i, current, pool);
                let forward = format!("{label} forward");
                if norm.is_features() {
                    dispatches.push(norm.features_forward(&forward, tables, output.buffer));
                } else {
                    let label = format!("{label} statistics");
                    match net.sources[i][0].and_then(|from| tiles.get(&from)) {
                        _ if norm.running => {}
                        Some((conv, parts)) => dispatches.push(norm.statistics_of_tiles(&label, tables, conv, *parts)),
                        None => dispatches.push(norm.statistics(&label, tables)),
                    }
                    dispatches.push(norm.forward(&forward, tables, output));
                }
                kept.push(Kept::BatchNorm { norm });
            }
            Layer::MaxPool { kernel, stride, padding } => {
                let pool = MaxPool::new(s.batch, net.input_of(i), (kernel, kernel), stride, padding).expect("checked by the network");
                let indices = plan.transient(format!("{label} places"), Extent::PerLane(pool.index_bytes()));
                dispatches.push(pool.forward(&format!("{label} forward"), tables, current, output, indices));
                kept.push(Kept::MaxPool { pool, indices });
            }
            Layer::AveragePool { .. } => {
                let pool = AveragePool { batch: s.batch, input: net.input_of(i), output: net.shapes[i] };
                dispatches.push(pool.forward(&format!("{label} forward"), tables, current, output));
                kept.push(Kept::AveragePool { pool });
            }
            Layer::Relu => {
                let relu = Relu { batch: s.batch, x: current };
                dispatches.push(relu.forward(&format!("{label} forward"), tables, output));
                kept.push(Kept::Relu { relu });
            }
            Layer::Residual { .. } => {
                let add = ResidualAdd { batch: s.batch, factor: 1.0 };
                dispatches.push(add.dispatch(&format!("{label} forward"), tables, current, Some(read(&net.sources[i][1])), output));
                kept.push(Kept::Residual);
            }
        }
        pooled = (pool > 1).then_some(output);
        outputs.push((pool == 1).then_some(output));
    }
    let logits = outputs.last().copied().flatten().expect("the last layer is the classifier");
    let Setting { parameters, prefix, input_per_slot, .. } = *s;
    Forward { tables, parameters, prefix: prefix.to_string(), input_per_slot, inputs, outputs, logits, kept, dispatches }
}

/// The linear layer with the most weights, and which layer it is.
pub(super) fn largest_linear(f: &Forward) -> Option<(usize, Linear)> {
    let linear = f.kept.iter().enumerate().filter_map(|(i, k)| match k {
        Kept::Linear { linear } => Some((i, *linear)),
        _ => None,
    });
    linear.max_by_key(|(_, l)| l.parameters().1)
}

/// The stored outputs by layer, for tests.
pub(super) fn named(net: &Network, f: &Forward) -> Vec<(String, BufferId, ImageLayout)> {
    let stored = net.layers.iter().enumerate().zip(&f.outputs);
    stored.filter_map(|((i, l), o)| o.map(|o| (format!("{}{}.{i}.output", f.prefix, l.name()), o.buffer, o.layout))).collect()
}

/// Side of the windows where the layer is a max-pooling that a batch norm before it can do: windows side by side.
fn pooled_by_norm(layer: &Layer) -> u32 {
    match *layer {
        Layer::MaxPool { kernel, stride, padding: 0 } if kernel == stride => kernel,
        _ => 1,
    }
}

fn batch_norm(s: &Setting, i: usize, z: Activation, pool: u32) -> BatchNorm {
    let relu = matches!(s.network.layers[i], Layer::BatchNorm { relu: true, .. });
    let (first, blocks) = (s.network.norm_offset(i), s.network.norm_row().blocks);
    let NormRows { buffer: parameters, stride, start, moments, running } = s.norms;
    let place = NormPlace { stride, weight: start + first, bias: start + first + blocks, blocks, first };
    BatchNorm { batch: s.batch, z, parameters, moments, place, relu, pool, running }
}
