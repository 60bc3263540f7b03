//! The loss and the backward of every lane, shared by training and by the gradient with respect to the input.

use super::forward::{self, Activation, Forward, Kept, Setting};
use super::{Extent, Plan};
use crate::kernels::conv2d::{self, backward_data::Conv2dBackwardData, backward_weight::Conv2dBackwardWeight};
use crate::kernels::ensemble::{self, gradient::EnsembleGradient};
use crate::kernels::linear::{self, backward_weight::SgdBuffers};
use crate::kernels::residual_add::{self, ResidualAdd};
use crate::kernels::sgd::Sgd;
use crate::kernels::softmax_cross_entropy::{self, SoftmaxCrossEntropy};
use crate::kernels::sum_partials::SumPartials;
use crate::kernels::{BufferId, Dispatch, ImageLayout, average_pool, batch_norm, max_pool, relu};
use crate::net::{Layer, Shape};

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
    pub step: Option<conv2d::backward_data::Step>,
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
            .dispatch("loss of the ensemble", ensemble::gradient::Buffers { batch_sizes, logits, batch_labels, dlogits: dlogits.buffer }),
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

    let flow = Flow { s, f, input: wanted.input };
    // What flows into each layer's output, from those that read it.
    let mut flowing: Vec<Vec<Flowing>> = vec![Vec::new(); net.layers.len()];
    flowing[net.layers.len() - 1].push(Flowing { at: dlogits, shared: false });
    let mut input_gradient = None;
    for i in (0..net.layers.len()).rev() {
        let label = forward::label(net, i, s.prefix);
        let dy = flow.gathered(plan, &mut out, i, std::mem::take(&mut flowing[i]));
        if f.outputs[i].is_some() {
            named.push((format!("{}{}.{i}.output_gradient", s.prefix, net.layers[i].name()), dy.buffer, dy.layout));
        }
        let source = net.sources[i][0];
        let passes_on = source.is_some() || wanted.input;
        let new_gradient = |plan: &mut Plan| {
            let layout = flow.wanted_of(source, f.inputs[i].layout.shape);
            let buffer = plan.images(format!("{label} input gradient"), layout, s.batch);
            Activation { buffer, layout }
        };
        // What this layer leaves for the one it reads.
        let mut dx = None;
        match f.kept[i] {
            Kept::Linear { linear } => {
                let (input, dz) = (f.inputs[i].buffer, dy.buffer);
                let (lanes, batch_sizes, parameters) = (f.lanes, f.batch_sizes, f.parameters);
                let buffers = |input, other, output| linear::Buffers { lanes, batch_sizes, input, other, output };
                if passes_on {
                    let new = new_gradient(plan);
                    let label = format!("{label} backward_data");
                    out.push(linear.backward_data(&label, new.layout, s.tuning, buffers(dz, parameters, new.buffer)));
                    dx = Some(new);
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
                        conv2d::backward_weight::Buffers {
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
                    let layout = flow.wanted_of(source, f.inputs[i].layout.shape);
                    let kernel = Conv2dBackwardData { conv, batch: s.batch, dx: layout, dz: dy.layout, place, tuning: s.tuning };
                    let (lanes, batch_sizes, dz, parameters) = (f.lanes, f.batch_sizes, dy.buffer, f.parameters);
                    let buffers = |dx| conv2d::backward_data::Buffers { lanes, batch_sizes, dz, parameters, dx };
                    match wanted.step.filter(|_| i == 0 && kernel.can_step()) {
                        Some(step) => {
                            out.push(kernel.attack_step(&format!("{label} backward_data and step"), buffers(step.attacked), &step));
                        }
                        None => {
                            let new = new_gradient(plan);
                            out.push(kernel.dispatch(&format!("{label} backward_data"), buffers(new.buffer)));
                            dx = Some(new);
                        }
                    }
                }
            }
            Kept::BatchNorm { norm, z } => {
                let scale = if source.is_some_and(|from| flow.corrects_in_norm(from)) { s.scale } else { 1.0 };
                let (lanes, batch_sizes, z, parameters, moments) = (f.lanes, f.batch_sizes, z.buffer, f.norms.buffer, f.norms.moments);
                if norm.is_features() {
                    let b = batch_norm::features::Buffers { lanes, batch_sizes, z, parameters, moments };
                    out.push(norm.features_backward(&format!("{label} backward"), scale, b, dy.buffer, gradient));
                    dx = Some(dy);
                } else {
                    let dz = new_gradient(plan);
                    let b = batch_norm::backward::Buffers {
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
                    dx = Some(dz);
                }
            }
            Kept::Pooled => dx = Some(dy),
            Kept::MaxPool { pool, indices } => {
                let new = new_gradient(plan);
                let b = max_pool::backward::Buffers { lanes: f.lanes, batch_sizes: f.batch_sizes, dy: dy.buffer, indices, dx: new.buffer };
                out.push(pool.backward(&format!("{label} backward"), new.layout, dy.layout, b));
                dx = Some(new);
            }
            Kept::AveragePool { pool } => {
                let new = new_gradient(plan);
                let b = average_pool::backward::Buffers { lanes: f.lanes, batch_sizes: f.batch_sizes, dy: dy.buffer, dx: new.buffer };
                out.push(pool.backward(&format!("{label} backward"), new.layout, dy.layout, b));
                dx = Some(new);
            }
            Kept::Relu { relu, input } => {
                let new = new_gradient(plan);
                let b = relu::backward::Buffers { lanes: f.lanes, batch_sizes: f.batch_sizes, x: input, dy: dy.buffer, dx: new.buffer };
                out.push(relu.backward(&format!("{label} backward"), new.layout, dy.layout, b));
                dx = Some(new);
            }
            Kept::Residual => {
                for from in net.sources[i].iter().flatten() {
                    flowing[*from].push(Flowing { at: dy, shared: true });
                }
            }
        }
        match source {
            Some(from) => flowing[from].extend(dx.map(|at| Flowing { at, shared: false })),
            None => input_gradient = dx,
        }
    }
    Backward { dispatches: out, named, input_gradient }
}

/// A gradient on its way to the output of a layer.
#[derive(Clone, Copy)]
struct Flowing {
    at: Activation,
    /// Whether others read it, too, so that it must not be changed in place.
    shared: bool,
}

/// How gradients go from layer to layer.
struct Flow<'a> {
    s: &'a Setting<'a>,
    f: &'a Forward,
    /// Whether the gradient of the images is wanted.
    input: bool,
}

impl Flow<'_> {
    /// Whether the layer correction of layer `i` is part of its only reader's backward: a batch norm's.
    fn corrects_in_norm(&self, i: usize) -> bool {
        let net = self.s.network;
        net.is_rescaled(i) && matches!(net.consumers(i).as_slice(), [j] if matches!(net.layers[*j], Layer::BatchNorm { .. }))
    }

    /// Factor on the gradient of layer `i`'s output that nobody has put in.
    fn factor(&self, i: usize) -> f32 {
        if self.s.network.is_rescaled(i) && !self.corrects_in_norm(i) { self.s.scale } else { 1.0 }
    }

    /// Border that layer `i` wants the gradient of its output in: what its backward_data reads beyond the edges.
    fn border(&self, i: usize) -> u32 {
        let sources = &self.s.network.sources[i];
        match self.f.kept[i] {
            Kept::Conv { conv } if sources[0].is_some() || self.input => conv.gradient_border(),
            Kept::Residual => sources.iter().flatten().map(|from| self.border_of_part(*from)).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Border for a part of the gradient of layer `i`'s output: what the layer wants where the part is all and comes as it is.
    fn border_of_part(&self, i: usize) -> u32 {
        let is_all = self.s.network.consumers(i).len() == 1 && self.factor(i) == 1.0;
        if is_all { self.border(i) } else { 0 }
    }

    /// Layout for a part of the gradient of what a layer reads from there.
    fn wanted_of(&self, source: Option<usize>, shape: Shape) -> ImageLayout {
        ImageLayout::new(shape, source.map_or(0, |from| self.border_of_part(from)))
    }

    /// The gradient of layer `i`'s output as the layer wants it: its parts summed and corrected where there is need.
    fn gathered(&self, plan: &mut Plan, out: &mut Vec<Dispatch>, i: usize, parts: Vec<Flowing>) -> Activation {
        let (s, f, factor, border) = (self.s, self.f, self.factor(i), self.border(i));
        let label = format!("{} output gradient", forward::label(s.network, i, s.prefix));
        let mut parts = parts.into_iter();
        let Flowing { at: mut sum, shared } = parts.next().expect("somebody reads every layer but the last");
        let mut add = |plan: &mut Plan, a: Activation, b: Option<Activation>, border, factor| {
            let layout = ImageLayout::new(a.layout.shape, border);
            let y = plan.images(label.clone(), layout, s.batch);
            let kernel = ResidualAdd { batch: s.batch, a: a.layout, b: b.map(|b| b.layout), y: layout, factor };
            let (lanes, batch_sizes, second) = (f.lanes, f.batch_sizes, b.unwrap_or(a).buffer);
            out.push(kernel.dispatch(&label, residual_add::Buffers { lanes, batch_sizes, a: a.buffer, b: second, y }));
            Activation { buffer: y, layout }
        };
        if parts.len() == 0 {
            let is_fit = match f.kept[i] {
                Kept::Conv { .. } => sum.layout.border >= border,
                Kept::Linear { .. } => sum.layout.border == 0,
                Kept::BatchNorm { norm, .. } if norm.is_features() => sum.layout.border == 0 && !shared,
                _ => true,
            };
            return if is_fit && factor == 1.0 { sum } else { add(plan, sum, None, border, factor) };
        }
        while let Some(next) = parts.next() {
            let last = parts.len() == 0;
            sum = add(plan, sum, Some(next.at), if last { border } else { 0 }, if last { factor } else { 1.0 });
        }
        sum
    }
}

/// The loss and the backward to the input alone, or to a step of an attack on it.
pub(super) fn of_input(plan: &mut Plan, s: &Setting, f: &Forward, loss: &Loss, step: Option<conv2d::backward_data::Step>) -> Backward {
    // Batch norm's own gradients come with the sums that the input's gradient needs.
    let gradient = plan.buffer(format!("{}batch norm gradient", s.prefix), Extent::PerLane(u64::from(s.norms.stride) * 16));
    build(plan, s, f, loss, gradient, Wanted { input: true, step, ..Wanted::default() })
}
