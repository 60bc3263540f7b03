//! Twin of `conv2d_backward_data.wgsl`.

use crate::shape::{Conv2d, check_len};

/// `dx`, the gradient with respect to the input, N·C·H·W.
///
/// `dz` (N·O·H·W) is the gradient with respect to the *un-scaled* output: the batch norm's backward has already
/// multiplied it by the layer correction.
pub fn conv2d_backward_data(shape: &Conv2d, dz: &[f64], weight: &[f64]) -> Vec<f64> {
    check_len("dz", dz.len(), shape.output_len());
    check_len("weight", weight.len(), shape.weight_len());
    let mut dx = vec![0.0; shape.input_len()];
    shape.for_each_product(|output, input, tap| dx[input] += dz[output] * weight[tap]);
    dx
}
