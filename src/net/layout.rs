//! Where parameters live: PyTorch's tensors outside, rows of `vec4` blocks on the GPU.

use super::{Layer, Network, Shape};

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
    /// Inputs that reach one output: of the layer's own weight, also for its bias. 0 for batch norm.
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

    /// Calls `f(index outside, index in the base's GPU row)` for every value.
    fn for_each(&self, mut f: impl FnMut(usize, usize)) {
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
            TensorKind::Bias | TensorKind::NormWeight | TensorKind::NormBias => {
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

/// Tensors in state-dict order and the length of a base's row in blocks.
pub(super) fn lay_out(input: Shape, layers: &[Layer], shapes: &[Shape]) -> (Vec<TensorSpec>, u32) {
    let mut tensors = Vec::new();
    let mut offset = 0;
    let mut seen_weights = false;
    let mut add = |name: String, shape: Vec<usize>, kind, blocks: u32, fan_in, first_layer| {
        tensors.push(TensorSpec { name, shape, kind, offset, blocks, fan_in, first_layer });
        offset += blocks;
    };
    for (i, layer) in layers.iter().enumerate() {
        let from = if i == 0 { input } else { shapes[i - 1] };
        let (ci, co) = (from.channels, shapes[i].channels);
        let out_blocks = co.div_ceil(4);
        match layer {
            Layer::Conv2d { name, kernel, bias, .. } => {
                let fan_in = (ci * kernel * kernel) as usize;
                let shape = vec![co as usize, ci as usize, *kernel as usize, *kernel as usize];
                let blocks = kernel * kernel * ci.next_multiple_of(4) * out_blocks;
                add(format!("{name}.weight"), shape, TensorKind::ConvWeight, blocks, fan_in, !seen_weights);
                if *bias {
                    add(format!("{name}.bias"), vec![co as usize], TensorKind::Bias, out_blocks, fan_in, !seen_weights);
                }
                seen_weights = true;
            }
            Layer::Linear { name, .. } => {
                let fan_in = from.len() as usize;
                let blocks = from.height * from.width * ci.next_multiple_of(4) * out_blocks;
                add(format!("{name}.weight"), vec![co as usize, fan_in], TensorKind::LinearWeight { from }, blocks, fan_in, !seen_weights);
                add(format!("{name}.bias"), vec![co as usize], TensorKind::Bias, out_blocks, fan_in, !seen_weights);
                seen_weights = true;
            }
            Layer::BatchNorm { name, .. } => {
                add(format!("{name}.weight"), vec![co as usize], TensorKind::NormWeight, out_blocks, 0, false);
                add(format!("{name}.bias"), vec![co as usize], TensorKind::NormBias, out_blocks, 0, false);
            }
            Layer::MaxPool { .. } => {}
        }
    }
    (tensors, offset)
}

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;

    #[test]
    fn pack_and_unpack_are_inverse_and_touch_no_value_twice() {
        let net = digits(3, 32, 10).unwrap();
        let mut row = vec![0.0; net.parameter_blocks as usize * 4];
        let mut counted = 0;
        for tensor in &net.tensors {
            let values: Vec<f32> = (0..tensor.len()).map(|i| 1.0 + i as f32).collect();
            net.pack(tensor, &values, &mut row);
            assert_eq!(net.unpack(tensor, &row), values, "{}", tensor.name);
            counted += tensor.len();
        }
        assert_eq!(row.iter().filter(|v| **v != 0.0).count(), counted);
    }

    #[test]
    fn a_linear_layer_after_an_image_reads_it_channels_last() {
        let from = Shape { channels: 2, height: 1, width: 3 };
        let layers = vec![Layer::Linear { name: "fc".into(), out_features: 1 }];
        let net = Network::new("t", from, layers).unwrap();
        let mut row = vec![0.0; net.parameter_blocks as usize * 4];
        net.pack(&net.tensors[0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut row);
        let first_output: Vec<f32> = row.iter().step_by(4).take(12).copied().collect();
        assert_eq!(first_output, [1.0, 4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 0.0, 3.0, 6.0, 0.0, 0.0]);
    }
}
