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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::forward::{conv2d_forward, tests::shapes};
    use crate::gradient_check::{assert_gradient, dot, random};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_gradient(shape in shapes(), seed: u64) {
            let x = random(seed, shape.input_len());
            let weight = random(seed ^ 1, shape.weight_len());
            let bias = random(seed ^ 2, shape.out_channels);
            let dz = random(seed ^ 3, shape.output_len());
            let (dw, db) = conv2d_backward_weight(&shape, &x, &dz);
            assert_gradient("dw", &weight, &dw, |weight| dot(&conv2d_forward(&shape, &x, weight, &bias, 1.0), &dz));
            assert_gradient("db", &bias, &db, |bias| dot(&conv2d_forward(&shape, &x, &weight, bias, 1.0), &dz));
        }

        /// The scale is a plain factor of the output, so the caller may fold it into dz.
        #[test]
        fn the_scale_folds_into_dz(shape in shapes(), seed: u64, scale in 0.5f64..8.0) {
            let x = random(seed, shape.input_len());
            let weight = random(seed ^ 1, shape.weight_len());
            let bias = random(seed ^ 2, shape.out_channels);
            let dz = random(seed ^ 3, shape.output_len());
            let scaled: Vec<f64> = dz.iter().map(|value| value * scale).collect();
            let (dw, _) = conv2d_backward_weight(&shape, &x, &scaled);
            assert_gradient("dw", &weight, &dw, |weight| dot(&conv2d_forward(&shape, &x, weight, &bias, scale), &dz));
        }
    }
}
