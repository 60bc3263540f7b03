//! Twin of `average_pool_forward.wgsl`.

use crate::shape::{AveragePool2d, check_len};
use std::ops::Range;

/// Pixels of bin `i` along one side: `⌊i·inputs/outputs⌋ … ⌈(i + 1)·inputs/outputs⌉ − 1`.
pub(crate) fn bin(i: usize, inputs: usize, outputs: usize) -> Range<usize> {
    i * inputs / outputs..((i + 1) * inputs).div_ceil(outputs)
}

/// `y` (N·C·H·W over the output): the mean of each bin.
pub fn average_pool_forward(shape: &AveragePool2d, x: &[f64]) -> Vec<f64> {
    check_len("x", x.len(), shape.input_len());
    let AveragePool2d { planes, in_height, in_width, out_height, out_width } = *shape;
    let mut y = Vec::with_capacity(shape.output_len());
    for plane in 0..planes {
        for out_y in 0..out_height {
            for out_x in 0..out_width {
                let (rows, columns) = (bin(out_y, in_height, out_height), bin(out_x, in_width, out_width));
                let pixels = (rows.len() * columns.len()) as f64;
                let of_row = |row| columns.clone().map(move |column| x[(plane * in_height + row) * in_width + column]).sum::<f64>();
                y.push(rows.map(of_row).sum::<f64>() / pixels);
            }
        }
    }
    y
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn shapes() -> impl Strategy<Value = AveragePool2d> {
        (1..3usize, 1..8usize, 1..8usize, 1..8usize, 1..8usize).prop_map(|(planes, in_height, in_width, out_height, out_width)| {
            AveragePool2d { planes, in_height, in_width, out_height: out_height.min(in_height), out_width: out_width.min(in_width) }
        })
    }

    #[test]
    fn seven_pixels_become_six_overlapping_pairs() {
        let shape = AveragePool2d { planes: 1, in_height: 1, in_width: 7, out_height: 1, out_width: 6 };
        let x: Vec<f64> = (0..7).map(f64::from).collect();
        assert_eq!(average_pool_forward(&shape, &x), [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]);
    }

    #[test]
    fn one_pixel_is_the_mean_and_all_pixels_are_the_image() {
        let shape = |out_height, out_width| AveragePool2d { planes: 2, in_height: 2, in_width: 2, out_height, out_width };
        let x = [1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 0.0, 4.0];
        assert_eq!(average_pool_forward(&shape(1, 1), &x), [3.0, 1.0]);
        assert_eq!(average_pool_forward(&shape(2, 2), &x), x);
    }
}
