//! Where parameters live: PyTorch's tensors outside, rows of `vec4` blocks on the GPU.

use super::{Branch, Layer, Network, Norms, Shape};
use std::ops::Range;

/// What a tensor is, which decides its GPU layout and its initialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// `O·I·H·W` outside, `[ky][kx][ci][co / 4]` of vec4 on the GPU.
    ConvWeight,
    /// `[out][in]` outside with `in` flattened from channel, row, column; `[in][out / 4]` of vec4 on the GPU with `in`
    /// in row, column, channel order, channels padded to a multiple of four.
    LinearWeight {
        /// The shape that is flattened.
        from: Shape,
    },
    /// One value a channel, padded with zeros to a multiple of four: a convolution's or linear layer's bias.
    Bias,
    /// Batch norm's γ.
    NormWeight,
    /// Batch norm's β.
    NormBias,
    /// Batch norm's running mean.
    RunningMean,
    /// Batch norm's running variance, unbiased.
    RunningVariance,
}

impl TensorKind {
    /// Whether it is measured, not trained.
    pub fn is_statistic(&self) -> bool {
        matches!(self, TensorKind::RunningMean | TensorKind::RunningVariance)
    }

    /// Whether it is batch norm's.
    pub fn is_norm(&self) -> bool {
        self.is_statistic() || matches!(self, TensorKind::NormWeight | TensorKind::NormBias)
    }
}

/// Where the values of all batch norms lie in a row of parameters: arrays of [`NormRow::blocks`] each, every one with the
/// channels of all layers in their order. First γ and β, then the adversarial γ and β where there are two batch norms, then, where
/// they are tracked, running mean and variance and the adversarial ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormRow {
    /// vec4 of one array.
    pub blocks: u32,
    /// What there is.
    pub norms: Norms,
}

impl NormRow {
    /// Arrays that are trained.
    fn trained(&self) -> u32 {
        if self.norms.dual { 4 } else { 2 }
    }

    /// vec4 of all arrays.
    pub fn len(&self) -> u32 {
        self.blocks * if self.norms.tracked { 2 * self.trained() } else { self.trained() }
    }

    /// Whether the network has no batch norm.
    pub fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Start of the branch's γ; β follows.
    pub fn affine(&self, branch: Branch) -> u32 {
        if self.norms.dual && branch == Branch::Adversarial { 2 * self.blocks } else { 0 }
    }

    /// Start of the branch's running mean; the variance follows.
    ///
    /// # Panics
    /// Where nothing is tracked.
    pub fn running(&self, branch: Branch) -> u32 {
        assert!(self.norms.tracked, "no running statistics are kept");
        self.trained() * self.blocks + self.affine(branch)
    }
}

/// Which values of a row are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that are trained.
    All,
    /// The weight of the last linear layer.
    LastLayer,
}

/// One parameter tensor of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// State-dict name, as in `conv1.weight`.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: TensorKind,
    /// Start in the base's parameter row, in vec4 blocks.
    pub offset: u32,
    /// Length on the GPU, in vec4 blocks.
    pub blocks: u32,
    /// Inputs that reach one output: of the layer's own weight, also for its bias. 0 for batch norm and for a bias that starts
    /// at 0.
    pub fan_in: usize,
    /// Whether its layer reads the images themselves, which are not slimmed.
    pub first_layer: bool,
}

impl TensorSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds nothing; no tensor of a built network does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimensions in which channels are cut: PyTorch's, but a linear layer's inputs as channels and pixels.
    pub(super) fn dimensions(&self) -> Vec<usize> {
        match self.kind {
            TensorKind::LinearWeight { from } => vec![self.shape[0], from.channels as usize, (from.height * from.width) as usize],
            _ => self.shape.clone(),
        }
    }

    /// Calls `f(index outside, index in the base's GPU row)` for every value.
    pub(super) fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let start = self.offset as usize * 4;
        let padded = |n: usize| n.next_multiple_of(4);
        match self.kind {
            TensorKind::ConvWeight => {
                let [o, i, h, w] = [self.shape[0], self.shape[1], self.shape[2], self.shape[3]];
                for co in 0..o {
                    for ci in 0..i {
                        for ky in 0..h {
                            for kx in 0..w {
                                let outside = ((co * i + ci) * h + ky) * w + kx;
                                f(outside, start + ((ky * w + kx) * padded(i) + ci) * padded(o) + co);
                            }
                        }
                    }
                }
            }
            TensorKind::LinearWeight { from } => {
                let (o, i) = (self.shape[0], self.shape[1]);
                let (channels, area) = (from.channels as usize, (from.height * from.width) as usize);
                for out in 0..o {
                    for c in 0..channels {
                        for p in 0..area {
                            f(out * i + c * area + p, start + (p * padded(channels) + c) * padded(o) + out);
                        }
                    }
                }
            }
            _ => {
                for c in 0..self.shape[0] {
                    f(c, start + c);
                }
            }
        }
    }
}

impl Network {
    /// Writes one PyTorch-shaped tensor into a base's GPU row of `parameter_blocks · 4` values.
    pub fn pack(&self, tensor: &TensorSpec, values: &[f32], row: &mut [f32]) {
        tensor.for_each(|outside, inside| row[inside] = values[outside]);
    }

    /// Reads one PyTorch-shaped tensor out of a base's GPU row.
    pub fn unpack(&self, tensor: &TensorSpec, row: &[f32]) -> Vec<f32> {
        let mut values = vec![0.0; tensor.len()];
        tensor.for_each(|outside, inside| values[outside] = row[inside]);
        values
    }
}

impl Network {
    /// Where the values of batch norm lie, from [`Network::norm_start`] on.
    pub fn norm_row(&self) -> NormRow {
        NormRow { blocks: self.norm_offset(self.layers.len()), norms: self.norms }
    }

    /// Where tensors lie in a row: ascending ranges of vec4, neighbours joined.
    pub fn places(&self, is: impl Fn(&TensorSpec) -> bool) -> Vec<Range<u32>> {
        let mut all: Vec<Range<u32>> = self.tensors.iter().filter(|t| is(t)).map(|t| t.offset..t.offset + t.blocks).collect();
        all.sort_by_key(|place| place.start);
        all.into_iter().fold(Vec::new(), |mut joined: Vec<Range<u32>>, place| {
            match joined.last_mut().filter(|last| last.end == place.start) {
                Some(last) => last.end = place.end,
                None => joined.push(place),
            }
            joined
        })
    }

    /// Where the values of a scope lie in a row: first vec4, and how many.
    ///
    /// # Panics
    /// For a network without a linear layer, which is none that can be built.
    pub fn scope(&self, scope: Scope) -> (u32, u32) {
        match scope {
            Scope::All => (0, self.trained_blocks),
            Scope::LastLayer => {
                let last = self.tensors.iter().rfind(|t| matches!(t.kind, TensorKind::LinearWeight { .. }));
                last.map(|t| (t.offset, t.blocks)).expect("a network ends in a linear layer")
            }
        }
    }

    /// Place of layer `i`'s channels in each array of [`NormRow`], in vec4.
    pub fn norm_offset(&self, i: usize) -> u32 {
        let layers = self.layers[..i].iter().zip(&self.shapes);
        layers.filter(|(l, _)| matches!(l, Layer::BatchNorm { .. })).map(|(_, s)| s.channels.div_ceil(4)).sum()
    }

    /// Tensors in state-dict order and their places: convolutions and linear layers first, then batch norm's arrays.
    pub(super) fn lay_out(&mut self) {
        let row = self.norm_row();
        let mut tensors: Vec<TensorSpec> = Vec::new();
        let mut end = 0;
        let mut first_layer = true;
        // Offsets of batch norm's tensors count from the row's start until that is known.
        let norm = |i: usize, name: String, kind, array: u32| {
            let channels = self.shapes[i].channels;
            let (shape, blocks) = (vec![channels as usize], channels.div_ceil(4));
            TensorSpec { name, shape, kind, offset: array + self.norm_offset(i), blocks, fan_in: 0, first_layer: false }
        };
        for (i, layer) in self.layers.iter().enumerate() {
            let from = self.input_of(i);
            let (ci, co) = (from.channels, self.shapes[i].channels);
            let out_blocks = co.div_ceil(4);
            let mut zero = false;
            let (name, weight, bias) = match layer {
                Layer::Conv2d { name, kernel, bias, .. } => {
                    let shape = vec![co as usize, ci as usize, *kernel as usize, *kernel as usize];
                    (name, (shape, TensorKind::ConvWeight, kernel * kernel * ci.next_multiple_of(4) * out_blocks), *bias)
                }
                Layer::Linear { name, zero_bias, .. } => {
                    zero = *zero_bias;
                    let blocks = from.height * from.width * ci.next_multiple_of(4) * out_blocks;
                    (name, (vec![co as usize, from.len() as usize], TensorKind::LinearWeight { from }, blocks), true)
                }
                Layer::BatchNorm { name, .. } => {
                    let affine = row.affine(Branch::Clean);
                    tensors.push(norm(i, format!("{name}.weight"), TensorKind::NormWeight, affine));
                    tensors.push(norm(i, format!("{name}.bias"), TensorKind::NormBias, affine + row.blocks));
                    continue;
                }
                Layer::Relu | Layer::MaxPool { .. } | Layer::AveragePool { .. } | Layer::Residual { .. } => continue,
            };
            let fan_in = weight.0[1..].iter().product();
            let bias = bias.then(|| ("bias", (vec![co as usize], TensorKind::Bias, out_blocks)));
            for (suffix, (shape, kind, blocks)) in [("weight", weight)].into_iter().chain(bias) {
                let fan_in = if zero && kind == TensorKind::Bias { 0 } else { fan_in };
                tensors.push(TensorSpec { name: format!("{name}.{suffix}"), shape, kind, offset: end, blocks, fan_in, first_layer });
                end += blocks;
            }
            first_layer = false;
        }
        let layers = || self.layers.iter().enumerate().filter(|(_, l)| matches!(l, Layer::BatchNorm { .. }));
        if self.norms.dual {
            for (i, layer) in layers() {
                let (name, affine) = (layer.name(), row.affine(Branch::Adversarial));
                tensors.push(norm(i, format!("{name}.adversarial.weight"), TensorKind::NormWeight, affine));
                tensors.push(norm(i, format!("{name}.adversarial.bias"), TensorKind::NormBias, affine + row.blocks));
            }
        }
        let branches = [(Branch::Clean, ""), (Branch::Adversarial, ".adversarial")];
        let tracked = branches.into_iter().filter(|(b, _)| self.norms.tracked && (self.norms.dual || *b == Branch::Clean));
        for (branch, infix) in tracked {
            for (i, layer) in layers() {
                let (name, running) = (layer.name(), row.running(branch));
                tensors.push(norm(i, format!("{name}{infix}.running_mean"), TensorKind::RunningMean, running));
                tensors.push(norm(i, format!("{name}{infix}.running_var"), TensorKind::RunningVariance, running + row.blocks));
            }
        }
        tensors.iter_mut().filter(|t| t.kind.is_norm()).for_each(|t| t.offset += end);
        self.norm_start = end;
        self.trained_blocks = end + row.trained() * row.blocks;
        self.parameter_blocks = end + row.len();
        self.tensors = tensors;
    }
}

/// What ascending `parts` leave of a row's first `end` vec4, as ascending ranges.
pub fn between(parts: &[Range<u32>], end: u32) -> Vec<Range<u32>> {
    let starts = std::iter::once(0).chain(parts.iter().map(|part| part.end));
    let ends = parts.iter().map(|part| part.start.min(end)).chain([end]);
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
}

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;

    #[test]
    fn pack_and_unpack_are_inverse_and_touch_no_value_twice() {
        for norms in [(false, false), (false, true), (true, false), (true, true)].map(|(dual, tracked)| Norms { dual, tracked }) {
            let net = digits(3, 32, 10).unwrap().with_norms(norms);
            let mut row = vec![0.0; net.parameter_blocks as usize * 4];
            let mut counted = 0;
            for tensor in &net.tensors {
                let values: Vec<f32> = (0..tensor.len()).map(|i| 1.0 + i as f32).collect();
                net.pack(tensor, &values, &mut row);
                assert_eq!(net.unpack(tensor, &row), values, "{}", tensor.name);
                counted += tensor.len();
                assert_eq!(tensor.offset >= net.trained_blocks, tensor.kind.is_statistic(), "{}", tensor.name);
            }
            assert_eq!(row.iter().filter(|v| **v != 0.0).count(), counted);
        }
    }

    #[test]
    fn other_batch_norms_add_tensors_after_those_of_a_single_one() {
        let names = |norms| digits(1, 8, 10).unwrap().with_norms(norms).tensors.into_iter().map(|t| t.name).collect::<Vec<_>>();
        let single = names(Norms::default());
        let all = names(Norms { dual: true, tracked: true });
        assert_eq!(all[..single.len()], single);
        assert_eq!(single[..4], ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias"]);
        assert_eq!(all.len(), single.len() + 5 * 6);
        assert_eq!(all[single.len()..][..2], ["bn1.adversarial.weight", "bn1.adversarial.bias"]);
        assert_eq!(all[all.len() - 2..], ["bn5.adversarial.running_mean", "bn5.adversarial.running_var"]);
        let parameters = |norms| digits(1, 8, 10).unwrap().with_norms(norms).parameters();
        assert_eq!(parameters(Norms { dual: false, tracked: true }), 224_194);
        assert_eq!(parameters(Norms { dual: true, tracked: true }), 224_194 + 2 * (8 + 8 + 16 + 256 + 64));
    }

    #[test]
    fn places_of_tensors_and_what_lies_between_them_are_a_row() {
        let net = digits(1, 8, 10).unwrap().with_norms(Norms { dual: true, tracked: true });
        let all = net.parameter_blocks;
        let one = |start: u32, end: u32| -> Vec<Range<u32>> { std::iter::once(start..end).collect() };
        assert_eq!(net.places(|t| t.kind.is_norm()), one(net.norm_start, all));
        assert_eq!(net.places(|_| true), one(0, all));
        assert_eq!(net.places(|_| false), []);
        let fc = net.places(|t| t.name.starts_with("fc1."));
        let weight = net.tensor("fc1.weight").unwrap();
        assert_eq!(fc, one(weight.offset, weight.offset + weight.blocks + 64));
        let bn2 = net.places(|t| t.name.starts_with("bn2."));
        assert_eq!(bn2.len(), 8, "γ, β, mean and variance of either");
        for parts in [fc, bn2, vec![], one(0, all), one(0, 3), one(all - 3, all)] {
            let rest = between(&parts, all);
            let mut both = [parts.clone(), rest].concat();
            both.sort_by_key(|range| range.start);
            assert!(both[0].start == 0 && both[both.len() - 1].end == all, "{both:?}");
            assert!(both.windows(2).all(|pair| pair[0].end == pair[1].start), "{both:?}");
            assert!(between(&parts, net.trained_blocks).iter().all(|range| range.end <= net.trained_blocks));
        }
    }

    #[test]
    fn a_linear_layer_after_an_image_reads_it_channels_last() {
        let from = Shape { channels: 2, height: 1, width: 3 };
        let conv = Layer::Conv2d { name: "conv".into(), out_channels: 2, kernel: 1, stride: 1, padding: 0, bias: false };
        let layers = vec![conv, Layer::Linear { name: "fc".into(), out_features: 1, zero_bias: false }];
        let net = Network::new("t", from, layers).unwrap();
        let mut row = vec![0.0; net.parameter_blocks as usize * 4];
        let weight = net.tensor("fc.weight").unwrap();
        net.pack(weight, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut row);
        let first_output: Vec<f32> = row[weight.offset as usize * 4..].iter().step_by(4).take(12).copied().collect();
        assert_eq!(first_output, [1.0, 4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 0.0, 3.0, 6.0, 0.0, 0.0]);
    }
}
