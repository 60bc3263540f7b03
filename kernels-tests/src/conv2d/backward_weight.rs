//! Twin of `conv2d_backward_weight.wgsl`.

use crate::shape::{Conv2d, check_len};

/// `(dw, db)`, the gradients with respect to the weight (O·I·H·W) and the bias (`[out_channels]`), summed over the
/// batch.
///
/// `dz` (N·O·H·W) is the gradient with respect to the *un-scaled* output. Samples past the valid ones must have
/// `dz = 0`, as the batch norm's backward leaves them.
pub fn conv2d_backward_weight(shape: &Conv2d, x: &[f64], dz: &[f64]) -> (Vec<f64>, Vec<f64>) {
    check_len("x", x.len(), shape.input_len());
    check_len("dz", dz.len(), shape.output_len());
    let mut dw = vec![0.0; shape.weight_len()];
    shape.for_each_product(|output, input, tap| dw[tap] += dz[output] * x[input]);
    let mut db = vec![0.0; shape.out_channels];
    for (output, gradient) in dz.iter().enumerate() {
        db[shape.channel_of_output(output)] += gradient;
    }
    (dw, db)
}
