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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Small convolutions of every kind: single pixels, single channels, strides, paddings, oblong kernels.
    pub(crate) fn shapes() -> impl Strategy<Value = Conv2d> {
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
}
