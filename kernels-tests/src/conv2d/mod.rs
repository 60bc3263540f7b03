//! Convolution, in three directions.

mod backward_data;
mod backward_weight;
mod forward;

pub use backward_data::conv2d_backward_data;
pub use backward_weight::conv2d_backward_weight;
pub use forward::conv2d_forward;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check::{assert_gradient, dot, random};
    use crate::shape::Conv2d;
    use proptest::prelude::*;

    /// Small convolutions of every kind: single pixels, single channels, strides, paddings, oblong kernels.
    fn shapes() -> impl Strategy<Value = Conv2d> {
        (1usize..3, 1usize..4, 1usize..6, 1usize..6, 1usize..4, 1usize..4, 1usize..4, 1usize..4, 0usize..3)
            .prop_map(|(batch, in_channels, in_height, in_width, out_channels, kh, kw, stride, padding)| Conv2d {
                batch,
                in_channels,
                in_height,
                in_width,
                out_channels,
                kernel_height: kh.min(in_height + 2 * padding),
                kernel_width: kw.min(in_width + 2 * padding),
                stride,
                padding,
            })
            .boxed()
    }

    fn square(size: usize, kernel: usize, stride: usize, padding: usize) -> Conv2d {
        Conv2d {
            batch: 1,
            in_channels: 1,
            in_height: size,
            in_width: size,
            out_channels: 1,
            kernel_height: kernel,
            kernel_width: kernel,
            stride,
            padding,
        }
    }

    #[test]
    fn by_hand() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        // A correlation, not a flipped convolution: 1·1 + 2·10 + 4·100 + 5·1000.
        let z = conv2d_forward(&square(3, 2, 1, 0), &x, &[1.0, 10.0, 100.0, 1000.0], &[0.0], 1.0);
        assert_eq!(z, [5421.0, 6532.0, 8754.0, 9865.0]);
        // The border is zero: the first of the strided windows sees x's first pixel under its last tap.
        let z = conv2d_forward(&square(3, 2, 2, 1), &x, &[1.0, 10.0, 100.0, 1000.0], &[0.5], 2.0);
        assert_eq!(z, [2001.0, 2.0 * (200.0 + 3000.0) + 1.0, 2.0 * (40.0 + 7000.0) + 1.0, 2.0 * 9865.0 + 1.0]);
    }

    #[test]
    fn channels_are_summed_and_samples_kept_apart() {
        let shape = Conv2d { batch: 2, in_channels: 2, out_channels: 2, ..square(1, 1, 1, 0) };
        let z = conv2d_forward(&shape, &[1.0, 2.0, 3.0, 4.0], &[1.0, 10.0, 100.0, 1000.0], &[0.1, 0.2], 1.0);
        assert_eq!(z, [21.1, 2100.2, 43.1, 4300.2]);
    }

    proptest! {
        #[test]
        fn both_backwards_are_the_gradients(shape in shapes(), seed: u64, scale in 0.5f64..8.0) {
            let x = random(seed, shape.input_len());
            let weight = random(seed ^ 1, shape.weight_len());
            let bias = random(seed ^ 2, shape.out_channels);
            let dz = random(seed ^ 3, shape.output_len());
            let dx = conv2d_backward_data(&shape, &dz, &weight);
            assert_gradient("dx", &x, &dx, |x| dot(&conv2d_forward(&shape, x, &weight, &bias, 1.0), &dz));
            let (dw, db) = conv2d_backward_weight(&shape, &x, &dz);
            assert_gradient("dw", &weight, &dw, |weight| dot(&conv2d_forward(&shape, &x, weight, &bias, 1.0), &dz));
            assert_gradient("db", &bias, &db, |bias| dot(&conv2d_forward(&shape, &x, &weight, bias, 1.0), &dz));
            // The scale is a plain factor of the output, so the caller may fold it into dz.
            let scaled: Vec<f64> = dz.iter().map(|value| value * scale).collect();
            let (dw, _) = conv2d_backward_weight(&shape, &x, &scaled);
            assert_gradient("dw", &weight, &dw, |weight| dot(&conv2d_forward(&shape, &x, weight, &bias, scale), &dz));
        }
    }

    #[test]
    fn pixels_that_no_window_reaches_get_zero() {
        let shape = Conv2d { in_height: 1, ..square(4, 1, 2, 0) };
        assert_eq!(conv2d_backward_data(&shape, &[3.0, 5.0], &[2.0]), [6.0, 0.0, 10.0, 0.0]);
    }
}
