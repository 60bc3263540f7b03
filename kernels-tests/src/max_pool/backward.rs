//! Twin of `max_pool_backward.wgsl`.

use crate::max_pool::forward::window_element;
use crate::shape::{Pool2d, check_len};

/// `dx` (N·C·H·W over the input): each window's `dy` goes to its maximum; where windows overlap, the gradients add.
///
/// `indices` are those that [`max_pool_forward`](crate::max_pool::forward::max_pool_forward) gave.
pub fn max_pool_backward(shape: &Pool2d, dy: &[f64], indices: &[u32]) -> Vec<f64> {
    check_len("dy", dy.len(), shape.output_len());
    check_len("indices", indices.len(), shape.output_len());
    let mut dx = vec![0.0; shape.input_len()];
    let (out_height, out_width) = (shape.out_height(), shape.out_width());
    for (output, (gradient, &index)) in dy.iter().zip(indices).enumerate() {
        let (plane, out_y, out_x) = (output / (out_height * out_width), output / out_width % out_height, output % out_width);
        let position = window_element(shape, plane, out_y, out_x, index as usize);
        dx[position.expect("the maximum is a pixel, not padding")] += gradient;
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check::{assert_gradient, dot, random};
    use crate::max_pool::forward::{max_pool_forward, tests::shapes};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_gradient(shape in shapes(), seed: u64) {
            // Ranks of random numbers: shuffled, and no two closer than the differences' step.
            let values = random(seed, shape.input_len());
            let x: Vec<f64> =
                values.iter().map(|value| values.iter().filter(|other| *other < value).count() as f64 * 0.01).collect();
            let dy = random(seed ^ 1, shape.output_len());
            let (_, indices) = max_pool_forward(&shape, &x);
            let dx = max_pool_backward(&shape, &dy, &indices);
            assert_gradient("dx", &x, &dx, |x| dot(&max_pool_forward(&shape, x).0, &dy));
        }
    }

    #[test]
    fn overlapping_windows_add() {
        let shape = Pool2d { batch: 1, channels: 1, in_height: 1, in_width: 3, kernel: 1, stride: 1, padding: 0 };
        assert_eq!(max_pool_backward(&shape, &[1.0, 2.0, 4.0], &[0, 0, 0]), [1.0, 2.0, 4.0]);
        let shape = Pool2d { in_height: 3, kernel: 3, stride: 2, padding: 1, ..shape };
        // The four windows of a 3×3 image share its middle pixel: tap 8, 6, 2 and 0 of them.
        let dx = max_pool_backward(&shape, &[1.0, 2.0, 4.0, 8.0], &[8, 6, 2, 0]);
        assert_eq!(dx, [0.0, 0.0, 0.0, 0.0, 15.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
