//! The loss and the backward of every lane, shared by training and by the gradient with respect to the input.

use super::forward::{self, Activation, Forward, Kept, Setting};
use super::{Extent, Plan};
use crate::kernels::batch_norm::{BatchNorm, backward::Gradients};
use crate::kernels::conv2d::{self, Conv2d, backward_data::Conv2dBackwardData, backward_weight::Conv2dBackwardWeight};
use crate::kernels::ensemble::{self, gradient::EnsembleGradient};
use crate::kernels::linear::{self, Linear, backward_weight::SgdBuffers};
use crate::kernels::residual_add::ResidualAdd;
use crate::kernels::sgd::Sgd;
use crate::kernels::softmax_cross_entropy::{self, SoftmaxCrossEntropy};
use crate::kernels::sum_partials::SumPartials;
use crate::kernels::{BufferId, Dispatch, ImageLayout};
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
    let (loss, dlogits) = of_loss(plan, s, f, loss);
    let mut flow = Flow::new(plan, s, f, gradient, wanted);
    flow.out.push(loss);
    let mut named = Vec::new();
    // What flows into each layer's output, from those that read it.
    let mut flowing: Vec<Vec<Flowing>> = vec![Vec::new(); net.layers.len()];
    flowing[net.layers.len() - 1].push(Flowing { at: dlogits, shared: false });
    let mut input_gradient = None;
    for i in (0..net.layers.len()).rev() {
        let dy = flow.gathered(i, std::mem::take(&mut flowing[i]));
        if f.outputs[i].is_some() {
            named.push((format!("{}{}.{i}.output_gradient", s.prefix, net.layers[i].name()), dy.buffer, dy.layout));
        }
        if let Kept::Residual = f.kept[i] {
            net.sources[i].iter().flatten().for_each(|from| flowing[*from].push(Flowing { at: dy, shared: true }));
            continue;
        }
        let dx = flow.backward(i, dy);
        match net.sources[i][0] {
            Some(from) => flowing[from].extend(dx.map(|at| Flowing { at, shared: false })),
            None => input_gradient = dx,
        }
    }
    Backward { dispatches: flow.out, named, input_gradient }
}

/// The dispatch of the loss, and the gradient of the logits that it leaves.
fn of_loss(plan: &mut Plan, s: &Setting, f: &Forward, loss: &Loss) -> (Dispatch, Activation) {
    let net = s.network;
    let dlogits = plan.images(format!("{}logits gradient", s.prefix), f.logits.layout, s.batch);
    let gradient = Activation { buffer: dlogits, layout: f.logits.layout };
    let (tables, parameters, logits) = (f.tables, f.parameters, f.logits.buffer);
    let dispatch = match *loss {
        Loss::OfLanes { batch_labels, totals, masked, summed, share } => {
            let Some(Kept::Linear { linear }) = f.kept.last() else { unreachable!("a network ends in a linear layer") };
            let input = f.inputs[f.inputs.len() - 1].buffer;
            SoftmaxCrossEntropy { linear: *linear, classes: net.classes, masked, summed, share }.dispatch(
                &format!("{}classifier and loss", s.prefix),
                softmax_cross_entropy::Buffers { tables, input, parameters, batch_labels, logits, dlogits, totals },
            )
        }
        Loss::OfEnsemble { batch_labels, bases } => EnsembleGradient { batch: s.batch, classes: net.classes, bases }
            .dispatch(ENSEMBLE_LOSS, ensemble::gradient::Buffers { batch_sizes: tables.batch_sizes, logits, batch_labels, dlogits }),
    };
    (dispatch, gradient)
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
    plan: &'a mut Plan,
    s: &'a Setting<'a>,
    f: &'a Forward,
    /// Rows of the lanes' weight gradients.
    gradient: BufferId,
    wanted: Wanted,
    /// Scratch for the parts of the largest weight gradient, shared by all layers.
    weight_parts: BufferId,
    /// The same for batch norm's sums.
    sums: BufferId,
    out: Vec<Dispatch>,
}

impl<'a> Flow<'a> {
    fn new(plan: &'a mut Plan, s: &'a Setting, f: &'a Forward, gradient: BufferId, wanted: Wanted) -> Flow<'a> {
        let largest = |bytes: &dyn Fn(usize) -> u64| (0..f.kept.len()).map(bytes).max().unwrap_or(0).max(16);
        let weight_parts = largest(&|i| match f.kept[i] {
            Kept::Conv { conv } if wanted.weights => weight_kernel(s, f, i, conv, ImageLayout::new(conv.output, 0)).partial_bytes(),
            _ => 0,
        });
        let sums = largest(&|i| match f.kept[i] {
            Kept::BatchNorm { norm } => norm.sum_bytes(),
            _ => 0,
        });
        let weight_parts = plan.transient(format!("{}weight gradient parts", s.prefix), Extent::PerLane(weight_parts));
        let sums = plan.transient(format!("{}batch norm gradient sums", s.prefix), Extent::PerLane(sums));
        Flow { plan, s, f, gradient, wanted, weight_parts, sums, out: Vec::new() }
    }

    /// What layer `i`, which is no residual sum, leaves for the one that it reads; `dy` is the gradient of its output.
    fn backward(&mut self, i: usize, dy: Activation) -> Option<Activation> {
        let tables = self.f.tables;
        let label = format!("{} backward", self.label(i));
        match self.f.kept[i] {
            Kept::Linear { linear } => self.linear(i, linear, dy),
            Kept::Conv { conv } => self.conv(i, conv, dy),
            Kept::BatchNorm { norm } => Some(self.batch_norm(i, norm, dy)),
            Kept::Pooled => Some(dy),
            Kept::MaxPool { pool, indices } => self.through(i, |dx| pool.backward(&label, tables, dy, indices, dx)),
            Kept::AveragePool { pool } => self.through(i, |dx| pool.backward(&label, tables, dy, dx)),
            Kept::Relu { relu } => self.through(i, |dx| relu.backward(&label, tables, dy, dx)),
            Kept::Residual => unreachable!("both that it reads have its gradient as it is"),
        }
    }

    /// A dispatch into a new gradient of layer `i`'s input.
    fn through(&mut self, i: usize, dispatch: impl FnOnce(Activation) -> Dispatch) -> Option<Activation> {
        let dx = self.new_gradient(i);
        self.out.push(dispatch(dx));
        Some(dx)
    }

    fn linear(&mut self, i: usize, linear: Linear, dy: Activation) -> Option<Activation> {
        let (label, tuning, dz, input) = (self.label(i), self.s.tuning, dy.buffer, self.f.inputs[i].buffer);
        let (tables, parameters) = (self.f.tables, self.f.parameters);
        let buffers = |input, other, output| linear::Buffers { tables, input, other, output };
        let backward_data =
            |dx: Activation| linear.backward_data(&format!("{label} backward_data"), dx.layout, tuning, buffers(dz, parameters, dx.buffer));
        let dx = if self.passes_on(i) { self.through(i, backward_data) } else { None };
        // After backward_data, for SGD changes the weights.
        match self.wanted.descent.filter(|d| d.layer == i) {
            Some(d) => {
                let b = SgdBuffers { tables, input, dz, momentum: d.momentum, parameters };
                self.out.push(linear.backward_weight_sgd(&descent_label(&label), tuning, &d.sgd, b));
            }
            None if self.wanted.weights => {
                self.out.push(linear.backward_weight(&format!("{label} backward_weight"), tuning, buffers(input, dz, self.gradient)));
            }
            None => {}
        }
        dx
    }

    fn conv(&mut self, i: usize, conv: Conv2d, dy: Activation) -> Option<Activation> {
        let (s, f, label) = (self.s, self.f, self.label(i));
        let place = forward::place(s.network, i);
        if self.wanted.weights {
            let kernel = weight_kernel(s, f, i, conv, dy.layout);
            let sum = SumPartials {
                length: conv.weight_blocks() + place.bias.map_or(0, |_| dy.layout.blocks()),
                parts: kernel.parts(),
                partial_stride: kernel.partial_stride(),
                parameter_stride: place.stride,
                offset: place.weight,
            };
            self.out.push(kernel.dispatch(&format!("{label} backward_weight"), f.tables, dy.buffer, self.weight_parts));
            self.out.push(sum.dispatch(&format!("{label} backward_weight, summed"), self.weight_parts, self.gradient));
        }
        if !self.passes_on(i) {
            return None;
        }
        let kernel = Conv2dBackwardData { conv, batch: s.batch, dz: dy, place, tuning: s.tuning };
        match self.wanted.step.filter(|_| i == 0 && kernel.can_step()) {
            Some(step) => {
                self.out.push(kernel.attack_step(&format!("{label} backward_data and step"), f.tables, f.parameters, &step));
                None
            }
            None => self.through(i, |dx| kernel.dispatch(&format!("{label} backward_data"), f.tables, f.parameters, dx)),
        }
    }

    fn batch_norm(&mut self, i: usize, norm: BatchNorm, dy: Activation) -> Activation {
        let (label, tables, gradient) = (self.label(i), self.f.tables, self.gradient);
        let corrects = self.s.network.sources[i][0].is_some_and(|from| self.corrects_in_norm(from));
        let scale = if corrects { self.s.scale } else { 1.0 };
        if norm.is_features() {
            self.out.push(norm.features_backward(&format!("{label} backward"), tables, scale, dy.buffer, gradient));
            return dy;
        }
        let dz = self.new_gradient(i);
        self.out.extend(norm.backward(&label, tables, scale, Gradients { dy, sums: self.sums, gradient, dz }));
        dz
    }

    fn label(&self, i: usize) -> String {
        forward::label(self.s.network, i, self.s.prefix)
    }

    /// Whether anybody wants the gradient of layer `i`'s input.
    fn passes_on(&self, i: usize) -> bool {
        self.s.network.sources[i][0].is_some() || self.wanted.input
    }

    /// Memory for the gradient of layer `i`'s input, with the border that the layer read there wants of this part of its gradient.
    fn new_gradient(&mut self, i: usize) -> Activation {
        let border = self.s.network.sources[i][0].map_or(0, |from| self.border_of_part(from));
        let layout = ImageLayout::new(self.f.inputs[i].layout.shape, border);
        Activation { buffer: self.plan.images(format!("{} input gradient", self.label(i)), layout, self.s.batch), layout }
    }

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
            Kept::Conv { conv } if self.passes_on(i) => conv.gradient_border(),
            Kept::Residual => sources.iter().flatten().map(|from| self.border_of_part(*from)).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Border for a part of the gradient of layer `i`'s output: what the layer wants where the part is all and comes as it is.
    fn border_of_part(&self, i: usize) -> u32 {
        let is_all = self.s.network.consumers(i).len() == 1 && self.factor(i) == 1.0;
        if is_all { self.border(i) } else { 0 }
    }

    /// The gradient of layer `i`'s output as the layer wants it: its parts summed and corrected where there is need.
    fn gathered(&mut self, i: usize, parts: Vec<Flowing>) -> Activation {
        let (factor, border) = (self.factor(i), self.border(i));
        let mut parts = parts.into_iter();
        let Flowing { at: mut sum, shared } = parts.next().expect("somebody reads every layer but the last");
        if parts.len() == 0 {
            let is_fit = match self.f.kept[i] {
                Kept::Conv { .. } => sum.layout.border >= border,
                Kept::Linear { .. } => sum.layout.border == 0,
                Kept::BatchNorm { norm } if norm.is_features() => sum.layout.border == 0 && !shared,
                _ => true,
            };
            return if is_fit && factor == 1.0 { sum } else { self.sum(i, sum, None, border, factor) };
        }
        while let Some(next) = parts.next() {
            let last = parts.len() == 0;
            sum = self.sum(i, sum, Some(next.at), if last { border } else { 0 }, if last { factor } else { 1.0 });
        }
        sum
    }

    /// The sum of parts of the gradient of layer `i`'s output, times a factor.
    fn sum(&mut self, i: usize, a: Activation, b: Option<Activation>, border: u32, factor: f32) -> Activation {
        let (label, batch) = (format!("{} output gradient", self.label(i)), self.s.batch);
        let layout = ImageLayout::new(a.layout.shape, border);
        let y = Activation { buffer: self.plan.images(label.clone(), layout, batch), layout };
        self.out.push(ResidualAdd { batch, factor }.dispatch(&label, self.f.tables, a, b, y));
        y
    }
}

fn weight_kernel(s: &Setting, f: &Forward, i: usize, conv: Conv2d, dz: ImageLayout) -> Conv2dBackwardWeight {
    let input_per_slot = i == 0 && f.input_per_slot;
    Conv2dBackwardWeight { conv, batch: s.batch, input: f.inputs[i], input_per_slot, dz, tuning: s.tuning }
}

/// The loss and the backward to the input alone, or to a step of an attack on it.
pub(super) fn of_input(plan: &mut Plan, s: &Setting, f: &Forward, loss: &Loss, step: Option<conv2d::backward_data::Step>) -> Backward {
    // Batch norm's own gradients come with the sums that the input's gradient needs.
    let gradient = plan.buffer(format!("{}batch norm gradient", s.prefix), Extent::PerLane(u64::from(s.norms.stride) * 16));
    build(plan, s, f, loss, gradient, Wanted { input: true, step, ..Wanted::default() })
}
