//! Shapes of the layers, one lane at a time.

/// A 2-D convolution (a cross-correlation, as in PyTorch) with square stride and zero padding.
///
/// Input `[batch][in_channels][in_height][in_width]`, weight
/// `[out_channels][in_channels][kernel_height][kernel_width]`, output
/// `[batch][out_channels][out_height][out_width]`. The padded input must hold at least one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    pub batch: usize,
    pub in_channels: usize,
    pub in_height: usize,
    pub in_width: usize,
    pub out_channels: usize,
    pub kernel_height: usize,
    pub kernel_width: usize,
    /// Step of the kernel in both directions, at least 1.
    pub stride: usize,
    /// Zeros added on each of the four sides.
    pub padding: usize,
}

impl Conv2d {
    /// Height of the output.
    pub fn out_height(&self) -> usize {
        windows(self.in_height, self.kernel_height, self.stride, self.padding)
    }

    /// Width of the output.
    pub fn out_width(&self) -> usize {
        windows(self.in_width, self.kernel_width, self.stride, self.padding)
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.in_height * self.in_width
    }

    /// Elements of the weight.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel_height * self.kernel_width
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.out_height() * self.out_width()
    }

    /// Calls `visit(output, input, weight)` with the flat indices of every product that the convolution sums:
    /// `output[o] += input[i] · weight[w]`. Products with the zero border are left out.
    pub(crate) fn for_each_product(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (out_height, out_width) = (self.out_height(), self.out_width());
        for n in 0..self.batch {
            for o in 0..self.out_channels {
                for out_y in 0..out_height {
                    for out_x in 0..out_width {
                        let output = ((n * self.out_channels + o) * out_height + out_y) * out_width + out_x;
                        for i in 0..self.in_channels {
                            for ky in 0..self.kernel_height {
                                for kx in 0..self.kernel_width {
                                    let y = source(out_y, ky, self.stride, self.padding, self.in_height);
                                    let x = source(out_x, kx, self.stride, self.padding, self.in_width);
                                    let (Some(y), Some(x)) = (y, x) else { continue };
                                    let input = ((n * self.in_channels + i) * self.in_height + y) * self.in_width + x;
                                    let weight = ((o * self.in_channels + i) * self.kernel_height + ky) * self.kernel_width + kx;
                                    visit(output, input, weight);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The output channel of a flat output index.
    pub(crate) fn channel_of_output(&self, output: usize) -> usize {
        output / (self.out_height() * self.out_width()) % self.out_channels
    }
}

/// A fully connected layer: input `[batch][in_features]`, weight `[out_features][in_features]`, output
/// `[batch][out_features]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    pub batch: usize,
    pub in_features: usize,
    pub out_features: usize,
}

/// A max pooling with a square window; the padding counts as −∞.
///
/// Input `[batch][channels][in_height][in_width]`, output `[batch][channels][out_height][out_width]`. Padding is at
/// most half of the kernel, as PyTorch demands, so that no window lies wholly in the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    pub batch: usize,
    pub channels: usize,
    pub in_height: usize,
    pub in_width: usize,
    /// Height and width of the window.
    pub kernel: usize,
    /// Step of the window in both directions, at least 1.
    pub stride: usize,
    /// Width of the border on each of the four sides, at most `kernel / 2`.
    pub padding: usize,
}

impl Pool2d {
    /// Height of the output.
    pub fn out_height(&self) -> usize {
        windows(self.in_height, self.kernel, self.stride, self.padding)
    }

    /// Width of the output.
    pub fn out_width(&self) -> usize {
        windows(self.in_width, self.kernel, self.stride, self.padding)
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.channels * self.in_height * self.in_width
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.channels * self.out_height() * self.out_width()
    }
}

/// An adaptive average pooling of `planes` planes (samples × channels) to at most their size.
///
/// Input `[planes][in_height][in_width]`, output `[planes][out_height][out_width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool2d {
    pub planes: usize,
    pub in_height: usize,
    pub in_width: usize,
    pub out_height: usize,
    pub out_width: usize,
}

impl AveragePool2d {
    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.planes * self.in_height * self.in_width
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.planes * self.out_height * self.out_width
    }
}

/// A batch norm over a tensor `[batch][channels][pixels]`, where `pixels` is height · width, or 1 after a linear layer.
///
/// `batch` is the tensor's capacity; only its first `valid` samples (at least 1) belong to the mini-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNorm {
    pub batch: usize,
    pub valid: usize,
    pub channels: usize,
    pub pixels: usize,
}

impl BatchNorm {
    /// Elements of the tensor.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Flat indices of the elements of `channel` in the first `valid` samples.
    pub(crate) fn elements(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let BatchNorm { valid, channels, pixels, .. } = *self;
        (0..valid).flat_map(move |n| (0..pixels).map(move |p| (n * channels + channel) * pixels + p))
    }

    pub(crate) fn check(&self) {
        assert!(1 <= self.valid && self.valid <= self.batch, "{self:?}: valid must be in 1..=batch");
    }
}

/// Logits `[batch][classes]`, of which the first `valid` samples (at least 1) belong to the mini-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logits {
    pub batch: usize,
    pub valid: usize,
    pub classes: usize,
}

/// The size of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Image {
    /// Values in one image.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether the image has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many windows of `kernel` fit in `size` with `padding` on both sides.
fn windows(size: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    let padded = size + 2 * padding;
    assert!(stride >= 1 && kernel >= 1 && kernel <= padded, "kernel {kernel}, stride {stride} on {padded} pixels");
    (padded - kernel) / stride + 1
}

/// The input coordinate under tap `tap` of window `window`, or `None` in the padding.
pub(crate) fn source(window: usize, tap: usize, stride: usize, padding: usize, size: usize) -> Option<usize> {
    (window * stride + tap).checked_sub(padding).filter(|&coordinate| coordinate < size)
}

/// Panics with a clear message unless a slice has the length its shape gives it.
#[track_caller]
pub(crate) fn check_len(what: &str, got: usize, want: usize) {
    assert_eq!(got, want, "{what} has {got} elements, its shape says {want}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes_are_pytorchs() {
        // AlexNet's first convolution and pool, and a "same" 5×5 convolution.
        assert_eq!(windows(256, 11, 4, 2), 63);
        assert_eq!(windows(63, 3, 2, 0), 31);
        assert_eq!(windows(28, 5, 1, 2), 28);
        assert_eq!(windows(1, 3, 2, 1), 1);
    }

    #[test]
    fn taps_in_the_padding_have_no_source() {
        let row: Vec<_> = (0..5).map(|tap| source(0, tap, 1, 2, 2)).collect();
        assert_eq!(row, [None, None, Some(0), Some(1), None]);
    }
}
