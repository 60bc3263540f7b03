//! The forward of every lane, shared by training and evaluation.

use super::{Extent, Plan};
use crate::kernels::batch_norm_statistics::{BatchNorm, NormPlace};
use crate::kernels::conv2d_forward::{Conv2d, Conv2dForward};
use crate::kernels::linear_forward::Linear;
use crate::kernels::max_pool_forward::MaxPool;
use crate::kernels::{
    BufferId, Dispatch, ImageLayout, ParameterPlace, Tuning, batch_norm_features, batch_norm_forward, batch_norm_statistics,
    conv2d_forward, linear_forward, max_pool_forward,
};
use crate::net::{Layer, Network};

/// A stored activation: where, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activation {
    pub buffer: BufferId,
    pub layout: ImageLayout,
}

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
        z: Activation,
    },
    MaxPool {
        pool: MaxPool,
        indices: BufferId,
    },
    /// A max-pooling that the batch norm before it did.
    Pooled,
}

/// The buffers that every lane or slot needs, and the forward's dispatches.
pub(super) struct Forward {
    pub lanes: BufferId,
    pub batch_sizes: BufferId,
    pub parameters: BufferId,
    pub norms: NormRows,
    /// Before the labels of dispatches and buffers.
    pub prefix: &'static str,
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
    pub prefix: &'static str,
    /// Whether the input is one a slot, not one a lane.
    pub input_per_slot: bool,
    /// Whether the classifier's own dispatch is left out: the loss computes the logits.
    pub with_loss: bool,
}

/// Layout of the gathered input images: bordered for the first layer.
pub(super) fn input_layout(network: &Network) -> ImageLayout {
    ImageLayout::new(network.input, border_for(network, 0))
}

/// Zero border that layer `i` wants its input stored with.
fn border_for(network: &Network, i: usize) -> u32 {
    match network.layers.get(i) {
        Some(Layer::Conv2d { padding, .. }) => *padding,
        _ => 0,
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
    let mut dispatches = Vec::new();
    let mut inputs = Vec::new();
    let mut kept = Vec::new();
    let mut current = s.input;
    let mut outputs: Vec<Option<Activation>> = Vec::new();
    // The convolution just done, where it left statistics for the batch norm after it.
    let mut tiles: Option<(Conv2dForward, BufferId)> = None;
    for (i, layer) in net.layers.iter().enumerate() {
        inputs.push(current);
        let name = layer.name();
        if let (Some(Kept::BatchNorm { norm, .. }), Layer::MaxPool { .. }) = (kept.last(), layer)
            && norm.pool > 1
        {
            kept.push(Kept::Pooled);
            outputs.push(Some(current));
            continue;
        }
        // A max-pooling right after a batch norm is done by it.
        let pool = match layer {
            Layer::BatchNorm { .. } => net.layers.get(i + 1).map_or(1, pooled_by_norm),
            _ => 1,
        };
        let last = if pool > 1 { i + 1 } else { i };
        let out_layout = ImageLayout::new(net.shapes[last], border_for(net, last + 1));
        let scale = if net.is_rescaled(i) { s.scale } else { 1.0 };
        let label = match layer {
            Layer::MaxPool { .. } => format!("{}layer {i} max_pool", s.prefix),
            _ => format!("{}{name}", s.prefix),
        };
        let output = Activation { buffer: plan.images(format!("{label} output"), out_layout, s.batch), layout: out_layout };
        match *layer {
            Layer::Conv2d { kernel, stride, padding, out_channels, .. } => {
                let conv = Conv2d::new(net.input_of(i), out_channels, (kernel, kernel), stride, padding).expect("checked by the network");
                let forward = Conv2dForward {
                    conv,
                    batch: s.batch,
                    input: current.layout,
                    output: out_layout,
                    input_per_slot: i == 0 && s.input_per_slot,
                    place: place(net, i),
                    scale,
                    tuning: s.tuning,
                    statistics: !s.norms.running && matches!(net.layers.get(i + 1), Some(Layer::BatchNorm { .. })),
                };
                let parts = plan.transient(format!("{label} tiles"), Extent::PerLane(forward.part_bytes()));
                tiles = forward.statistics.then_some((forward, parts));
                dispatches.push(forward.dispatch(
                    &format!("{label} forward"),
                    conv2d_forward::Buffers {
                        lanes: s.lanes,
                        batch_sizes: s.batch_sizes,
                        input: current.buffer,
                        parameters: s.parameters,
                        output: output.buffer,
                        parts,
                    },
                ));
                kept.push(Kept::Conv { conv });
            }
            Layer::Linear { .. } => {
                let linear =
                    Linear { batch: s.batch, in_blocks: current.layout.image(), out_blocks: out_layout.image(), place: place(net, i) };
                if s.with_loss && i + 1 == net.layers.len() {
                    kept.push(Kept::Linear { linear });
                    outputs.push(Some(output));
                    current = output;
                    continue;
                }
                dispatches.push(linear.forward(
                    &format!("{label} forward"),
                    scale,
                    s.tuning,
                    linear_forward::Buffers {
                        lanes: s.lanes,
                        batch_sizes: s.batch_sizes,
                        input: current.buffer,
                        other: s.parameters,
                        output: output.buffer,
                    },
                ));
                kept.push(Kept::Linear { linear });
            }
            Layer::BatchNorm { .. } => {
                let norm = batch_norm(s, i, current.layout, pool);
                let (lanes, batch_sizes, z, parameters, moments) =
                    (s.lanes, s.batch_sizes, current.buffer, s.norms.buffer, s.norms.moments);
                if norm.is_features() {
                    let b = batch_norm_features::Buffers { lanes, batch_sizes, z, parameters, moments };
                    dispatches.push(norm.features_forward(&format!("{label} forward"), b, output.buffer));
                } else {
                    let b = batch_norm_statistics::Buffers { lanes, batch_sizes, z, moments };
                    let label_of = format!("{label} statistics");
                    match tiles.take() {
                        _ if s.norms.running => {}
                        Some((conv, parts)) => {
                            let b = batch_norm_statistics::Buffers { z: parts, ..b };
                            dispatches.push(norm.statistics_of_tiles(&label_of, &conv, b));
                        }
                        None => dispatches.push(norm.statistics(&label_of, b)),
                    }
                    let b = batch_norm_forward::Buffers { lanes, batch_sizes, z, moments, parameters, y: output.buffer };
                    dispatches.push(norm.forward(&format!("{label} forward"), out_layout, b));
                }
                kept.push(Kept::BatchNorm { norm, z: current });
            }
            Layer::MaxPool { kernel, stride, padding } => {
                let pool = MaxPool::new(s.batch, net.input_of(i), (kernel, kernel), stride, padding).expect("checked by the network");
                let indices = plan.transient(format!("{label} places"), Extent::PerLane(pool.index_bytes()));
                dispatches.push(pool.forward(
                    &format!("{label} forward"),
                    current.layout,
                    out_layout,
                    max_pool_forward::Buffers { lanes: s.lanes, batch_sizes: s.batch_sizes, x: current.buffer, y: output.buffer, indices },
                ));
                kept.push(Kept::MaxPool { pool, indices });
            }
        }
        outputs.push((pool == 1).then_some(output));
        current = output;
    }
    let Setting { lanes, batch_sizes, parameters, norms, prefix, input_per_slot, .. } = *s;
    Forward { lanes, batch_sizes, parameters, norms, prefix, input_per_slot, inputs, outputs, logits: current, kept, dispatches }
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

fn batch_norm(s: &Setting, i: usize, z: ImageLayout, pool: u32) -> BatchNorm {
    let relu = matches!(s.network.layers[i], Layer::BatchNorm { relu: true, .. });
    let (first, blocks) = (s.network.norm_offset(i), s.network.norm_row().blocks);
    let weight = s.norms.start + first;
    let place = NormPlace { stride: s.norms.stride, weight, bias: weight + blocks, blocks, first };
    BatchNorm { batch: s.batch, z, place, relu, pool, running: s.norms.running }
}
