//! Twin of `conv2d_forward.wgsl`.

use crate::shape::{Conv2d, check_len};

/// `z = (conv(x, weight) + bias) · scale`.
///
/// `x` is N·C·H·W, `weight` O·I·H·W, `bias` `[out_channels]` (zeros for a convolution without one). `scale` is the
/// layer correction: `1/r` in training, 1 otherwise.
pub fn conv2d_forward(shape: &Conv2d, x: &[f64], weight: &[f64], bias: &[f64], scale: f64) -> Vec<f64> {
    check_len("x", x.len(), shape.input_len());
    check_len("weight", weight.len(), shape.weight_len());
    check_len("bias", bias.len(), shape.out_channels);
    let mut z: Vec<f64> = (0..shape.output_len()).map(|output| bias[shape.channel_of_output(output)]).collect();
    shape.for_each_product(|output, input, tap| z[output] += x[input] * weight[tap]);
    z.iter().map(|value| value * scale).collect()
}
