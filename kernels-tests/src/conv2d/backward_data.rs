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
            let dx = conv2d_backward_data(&shape, &dz, &weight);
            assert_gradient("dx", &x, &dx, |x| dot(&conv2d_forward(&shape, x, &weight, &bias, 1.0), &dz));
        }
    }

    #[test]
    fn pixels_that_no_window_reaches_get_zero() {
        let shape = Conv2d {
            batch: 1,
            in_channels: 1,
            in_height: 1,
            in_width: 4,
            out_channels: 1,
            kernel_height: 1,
            kernel_width: 1,
            stride: 2,
            padding: 0,
        };
        assert_eq!(conv2d_backward_data(&shape, &[3.0, 5.0], &[2.0]), [6.0, 0.0, 10.0, 0.0]);
    }
}
