//! Twin of `max_pool_forward.wgsl`.

use crate::shape::{Pool2d, check_len, source};

/// `(y, indices)`, both N·C·H·W over the output: the maximum of each window, and where in the window it stands as
/// `row · kernel + column`.
///
/// The padding counts as −∞. Of equal maxima the first in row-major order wins, as in PyTorch. `x` must hold no NaN.
pub fn max_pool_forward(shape: &Pool2d, x: &[f64]) -> (Vec<f64>, Vec<u32>) {
    check_len("x", x.len(), shape.input_len());
    assert!(2 * shape.padding <= shape.kernel, "{shape:?}: padding must be at most half of the kernel");
    let (mut y, mut indices) = (Vec::new(), Vec::new());
    for plane in 0..shape.batch * shape.channels {
        for out_y in 0..shape.out_height() {
            for out_x in 0..shape.out_width() {
                let (mut best, mut index) = (f64::NEG_INFINITY, None);
                for tap in 0..shape.kernel * shape.kernel {
                    let Some(position) = window_element(shape, plane, out_y, out_x, tap) else {
                        continue;
                    };
                    if index.is_none() || x[position] > best {
                        (best, index) = (x[position], Some(tap as u32));
                    }
                }
                y.push(best);
                indices.push(index.expect("a window holds at least one pixel"));
            }
        }
    }
    (y, indices)
}

/// The flat input index of tap `tap` of a window, or `None` in the padding.
pub(crate) fn window_element(shape: &Pool2d, plane: usize, out_y: usize, out_x: usize, tap: usize) -> Option<usize> {
    let y = source(out_y, tap / shape.kernel, shape.stride, shape.padding, shape.in_height)?;
    let x = source(out_x, tap % shape.kernel, shape.stride, shape.padding, shape.in_width)?;
    Some((plane * shape.in_height + y) * shape.in_width + x)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn shapes() -> impl Strategy<Value = Pool2d> {
        (1usize..3, 1usize..3, 1usize..7, 1usize..7, 1usize..4, 1usize..4, 0usize..2).prop_map(
            |(batch, channels, in_height, in_width, kernel, stride, padding)| {
                let padding = padding.min(kernel / 2);
                let kernel = kernel.min(in_height.min(in_width) + 2 * padding);
                Pool2d { batch, channels, in_height, in_width, kernel, stride, padding: padding.min(kernel / 2) }
            },
        )
    }

    #[test]
    fn by_hand_with_overlap_and_padding() {
        let shape = Pool2d { batch: 1, channels: 1, in_height: 3, in_width: 3, kernel: 3, stride: 2, padding: 1 };
        // All negative, so that a padding of zeros would win.
        let x = [-5.0, -2.0, -7.0, -1.0, -3.0, -4.0, -6.0, -9.0, -8.0];
        let (y, indices) = max_pool_forward(&shape, &x);
        assert_eq!(y, [-1.0, -2.0, -1.0, -3.0]);
        assert_eq!(indices, [7, 3, 1, 0]);
    }

    #[test]
    fn the_first_of_equal_maxima_wins() {
        let shape = Pool2d { batch: 1, channels: 1, in_height: 2, in_width: 2, kernel: 2, stride: 2, padding: 0 };
        assert_eq!(max_pool_forward(&shape, &[0.0, 3.0, 3.0, 3.0]), (vec![3.0], vec![1]));
        assert_eq!(max_pool_forward(&shape, &[0.0; 4]), (vec![0.0], vec![0]));
    }
}
