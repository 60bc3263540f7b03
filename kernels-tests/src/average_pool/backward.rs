//! Twin of `average_pool_backward.wgsl`.

use crate::average_pool::forward::bin;
use crate::shape::{AveragePool2d, check_len};

/// `dx` (N·C·H·W over the input): each bin's `dy` goes to its pixels in equal shares; where bins overlap, they add.
pub fn average_pool_backward(shape: &AveragePool2d, dy: &[f64]) -> Vec<f64> {
    check_len("dy", dy.len(), shape.output_len());
    let AveragePool2d { in_height, in_width, out_height, out_width, .. } = *shape;
    let mut dx = vec![0.0; shape.input_len()];
    for (output, gradient) in dy.iter().enumerate() {
        let (plane, out_y, out_x) = (output / (out_height * out_width), output / out_width % out_height, output % out_width);
        let (rows, columns) = (bin(out_y, in_height, out_height), bin(out_x, in_width, out_width));
        let share = gradient / (rows.len() * columns.len()) as f64;
        for row in rows {
            for column in columns.clone() {
                dx[(plane * in_height + row) * in_width + column] += share;
            }
        }
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::average_pool::forward::{average_pool_forward, tests::shapes};
    use crate::gradient_check::{assert_gradient, dot, random};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_gradient(shape in shapes(), seed: u64) {
            let (x, dy) = (random(seed, shape.input_len()), random(seed ^ 1, shape.output_len()));
            let dx = average_pool_backward(&shape, &dy);
            assert_gradient("dx", &x, &dx, |x| dot(&average_pool_forward(&shape, x), &dy));
        }
    }
}
