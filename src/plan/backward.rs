//! The loss and the backward of every lane, shared by training and by the gradient with respect to the input.

use super::forward::{self, Activation, Forward, Kept, Setting};
use super::{Extent, Plan};
use crate::kernels::conv2d_backward_data::{self, Conv2dBackwardData};
use crate::kernels::conv2d_backward_weight::{self, Conv2dBackwardWeight};
use crate::kernels::ensemble_gradient::{self, EnsembleGradient};
use crate::kernels::linear_backward_weight::SgdBuffers;
use crate::kernels::sgd::Sgd;
use crate::kernels::softmax_cross_entropy::{self, SoftmaxCrossEntropy};
use crate::kernels::sum_partials::SumPartials;
use crate::kernels::{BufferId, Dispatch, ImageLayout, batch_norm_backward, batch_norm_features, linear_forward, max_pool_backward};
use crate::net::Layer;

/// Which gradients a backward computes, and what it does with them where they are.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Those of weights and biases.
    pub weights: bool,
    /// That of the first layer's input.
    pub input: bool,
    /// SGD of one linear layer, in place of the gradient of its weights.
    pub descent: Option<Descent>,
    /// A step of an attack on the input, in place of its gradient, where the kernel can.
    pub step: Option<conv2d_backward_data::Step>,
}

/// The descent of one linear layer, done where its gradient is: see [`super::train`].
#[derive(Clone, Copy)]
pub(super) struct Descent {
    /// The layer.
    pub layer: usize,
    /// SGD's settings.
    pub sgd: Sgd,
    /// Momentum of the lanes.
    pub momentum: BufferId,
}

/// Label of the dispatch of a [`Descent`] at the layer of that name.
pub(super) fn descent_label(layer: &str) -> String {
    format!("{layer} backward_weight and sgd")
}

/// Label of the dispatch of [`Loss::OfEnsemble`].
pub(super) const ENSEMBLE_LOSS: &str = "loss of the ensemble";

/// What the loss is of.
pub(super) enum Loss {
    /// Each lane's own logits. The forward leaves the classifier to the loss.
    OfLanes {
        batch_labels: BufferId,
        /// The lanes' counters.
        totals: BufferId,
        /// Class-masked cross entropy.
        masked: bool,
        /// Gradient of the summed loss, not of the mean.
        summed: bool,
        /// Factor on the gradient.
        share: f32,
    },
    /// The mean logits of so many lanes, those of a slot; gradient of the summed loss. The forward has all logits.
    OfEnsemble { batch_labels: BufferId, bases: u32 },
}

/// The dispatches of a backward, and what they leave.
pub(super) struct Backward {
    pub dispatches: Vec<Dispatch>,
    /// Gradients of the stored outputs by layer, for tests.
    pub named: Vec<(String, BufferId, ImageLayout)>,
    /// Gradient of the input, where wanted and not spent on a step.
    pub input_gradient: Option<Activation>,
}

/// The loss and the backward of every layer, last to first. The gradient of each layer's output is stored with the border
/// that the layer's own backward_data wants. `gradient` takes the lanes' weight gradients, but for the layer of the descent;
/// those of batch norm, in rows like its
/// own, are written even where weights are not wanted, for they are needed on the way.
pub(super) fn build(plan: &mut Plan, s: &Setting, f: &Forward, loss: &Loss, gradient: BufferId, wanted: Wanted) -> Backward {
    let net = s.network;
    let mut out = Vec::new();
    let mut named = Vec::new();
    let dlogits = plan.images(format!("{}logits gradient", s.prefix), f.logits.layout, s.batch);
    let dlogits = Activation { buffer: dlogits, layout: f.logits.layout };
    let (lanes, batch_sizes, logits) = (f.lanes, f.batch_sizes, f.logits.buffer);
    out.push(match *loss {
        Loss::OfLanes { batch_labels, totals, masked, summed, share } => {
            let Some(Kept::Linear { linear }) = f.kept.last() else { unreachable!("a network ends in a linear layer") };
            let input = f.inputs[f.inputs.len() - 1].buffer;
            let (parameters, dlogits) = (f.parameters, dlogits.buffer);
            SoftmaxCrossEntropy { linear: *linear, classes: net.classes, masked, summed, share }.dispatch(
                &format!("{}classifier and loss", s.prefix),
                softmax_cross_entropy::Buffers { lanes, batch_sizes, input, parameters, batch_labels, logits, dlogits, totals },
            )
        }
        Loss::OfEnsemble { batch_labels, bases } => EnsembleGradient { batch: s.batch, classes: net.classes, bases }
            .dispatch("loss of the ensemble", ensemble_gradient::Buffers { batch_sizes, logits, batch_labels, dlogits: dlogits.buffer }),
    });
    // Scratch for the parts of the largest weight gradient and for batch norm's sums, shared by all layers.
    let weight_kernel = |i: usize, conv, dz| Conv2dBackwardWeight {
        conv,
        batch: s.batch,
        input: f.inputs[i].layout,
        input_per_slot: i == 0 && f.input_per_slot,
        dz,
        tuning: s.tuning,
    };
    let largest = |bytes: &dyn Fn(usize) -> u64| (0..net.layers.len()).map(bytes).max().unwrap_or(0).max(16);
    let weight_parts = largest(&|i| match f.kept[i] {
        Kept::Conv { conv } => weight_kernel(i, conv, ImageLayout::new(conv.output, 0)).partial_bytes(),
        _ => 0,
    });
    let weight_parts = if wanted.weights { weight_parts } else { 16 };
    let weight_parts = plan.transient(format!("{}weight gradient parts", s.prefix), Extent::PerLane(weight_parts));
    let sums = largest(&|i| match f.kept[i] {
        Kept::BatchNorm { norm, .. } => norm.sum_bytes(),
        _ => 0,
    });
    let sums = plan.transient(format!("{}batch norm gradient sums", s.prefix), Extent::PerLane(sums));

    let mut dy = dlogits;
    let mut stepped = false;
    for i in (0..net.layers.len()).rev() {
        let label = match &net.layers[i] {
            Layer::MaxPool { .. } => format!("{}layer {i} max_pool", s.prefix),
            layer => format!("{}{}", s.prefix, layer.name()),
        };
        if f.outputs[i].is_some() {
            named.push((format!("{}{}.{i}.output_gradient", s.prefix, net.layers[i].name()), dy.buffer, dy.layout));
        }
        let passes_on = i > 0 || wanted.input;
        // Border that the layer before wants the gradient of its output in.
        let border = if i == 0 { 0 } else { gradient_border(f, i - 1, wanted) };
        let new_gradient = |plan: &mut Plan| {
            let layout = ImageLayout::new(f.inputs[i].layout.shape, border);
            let buffer = plan.images(format!("{label} input gradient"), layout, s.batch);
            Activation { buffer, layout }
        };
        match f.kept[i] {
            Kept::Linear { linear } => {
                let (input, dz) = (f.inputs[i].buffer, dy.buffer);
                let (lanes, batch_sizes, parameters) = (f.lanes, f.batch_sizes, f.parameters);
                let buffers = |input, other, output| linear_forward::Buffers { lanes, batch_sizes, input, other, output };
                if passes_on {
                    let dx = new_gradient(plan);
                    let label = format!("{label} backward_data");
                    out.push(linear.backward_data(&label, dx.layout, s.tuning, buffers(dz, parameters, dx.buffer)));
                    dy = dx;
                }
                // After backward_data, for SGD changes the weights.
                match wanted.descent.filter(|d| d.layer == i) {
                    Some(d) => {
                        let b = SgdBuffers { lanes, batch_sizes, input, dz, momentum: d.momentum, parameters };
                        out.push(linear.backward_weight_sgd(&descent_label(&label), s.tuning, &d.sgd, b));
                    }
                    None if wanted.weights => {
                        let label = format!("{label} backward_weight");
                        out.push(linear.backward_weight(&label, s.tuning, buffers(input, dz, gradient)));
                    }
                    None => {}
                }
            }
            Kept::Conv { conv } => {
                let place = forward::place(net, i);
                if wanted.weights {
                    let weight = weight_kernel(i, conv, dy.layout);
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
                }
                if passes_on {
                    let dx = ImageLayout::new(f.inputs[i].layout.shape, border);
                    let kernel = Conv2dBackwardData { conv, batch: s.batch, dx, dz: dy.layout, place, tuning: s.tuning };
                    let (lanes, batch_sizes, dz, parameters) = (f.lanes, f.batch_sizes, dy.buffer, f.parameters);
                    let buffers = |dx| conv2d_backward_data::Buffers { lanes, batch_sizes, dz, parameters, dx };
                    match wanted.step.filter(|_| i == 0 && kernel.can_step()) {
                        Some(step) => {
                            stepped = true;
                            out.push(kernel.attack_step(&format!("{label} backward_data and step"), buffers(step.attacked), &step));
                        }
                        None => {
                            let dx = new_gradient(plan);
                            out.push(kernel.dispatch(&format!("{label} backward_data"), buffers(dx.buffer)));
                            dy = dx;
                        }
                    }
                }
            }
            Kept::BatchNorm { norm, z } => {
                let scale = if net.is_rescaled(i - 1) { s.scale } else { 1.0 };
                let (lanes, batch_sizes, z, parameters, moments) = (f.lanes, f.batch_sizes, z.buffer, f.norms.buffer, f.norms.moments);
                if norm.is_features() {
                    let b = batch_norm_features::Buffers { lanes, batch_sizes, z, parameters, moments };
                    out.push(norm.features_backward(&format!("{label} backward"), scale, b, dy.buffer, gradient));
                } else {
                    let dz = new_gradient(plan);
                    let b = batch_norm_backward::Buffers {
                        lanes,
                        batch_sizes,
                        z,
                        moments,
                        parameters,
                        dy: dy.buffer,
                        sums,
                        gradient,
                        dz: dz.buffer,
                    };
                    out.extend(norm.backward(&label, dy.layout, dz.layout, scale, b));
                    dy = dz;
                }
            }
            Kept::Pooled => {}
            Kept::MaxPool { pool, indices } => {
                if passes_on {
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
    Backward { dispatches: out, named, input_gradient: (wanted.input && !stepped).then_some(dy) }
}

/// The loss and the backward to the input alone, or to a step of an attack on it.
pub(super) fn of_input(plan: &mut Plan, s: &Setting, f: &Forward, loss: &Loss, step: Option<conv2d_backward_data::Step>) -> Backward {
    // Batch norm's own gradients come with the sums that the input's gradient needs.
    let gradient = plan.buffer(format!("{}batch norm gradient", s.prefix), Extent::PerLane(u64::from(s.norms.stride) * 16));
    build(plan, s, f, loss, gradient, Wanted { input: true, step, ..Wanted::default() })
}

/// Border of the stored gradient of layer `i`'s output: what its backward_data reads beyond the edges.
fn gradient_border(f: &Forward, i: usize, wanted: Wanted) -> u32 {
    match f.kept[i] {
        Kept::Conv { conv } if i > 0 || wanted.input => conv.gradient_border(),
        _ => 0,
    }
}
