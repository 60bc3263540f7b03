//! Convolution: its geometry, and the kernels of its three directions.

pub mod backward_data;
pub mod backward_weight;
pub mod forward;
mod strip;

use crate::kernels::{ImageLayout, Uniforms, uniforms};
use crate::net::{Shape, positions};

/// A convolution's geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Shape of an input image.
    pub input: Shape,
    /// Shape of an output image.
    pub output: Shape,
    /// Kernel height.
    pub kernel_height: u32,
    /// Kernel width.
    pub kernel_width: u32,
    /// Stride of rows and columns.
    pub stride: u32,
    /// Zero padding of every side, less than both kernel sizes.
    pub padding: u32,
}

impl Conv2d {
    /// The convolution of `input` by a kernel; `None` where not one window fits or the padding reaches the kernel's size.
    pub fn new(input: Shape, out_channels: u32, kernel: (u32, u32), stride: u32, padding: u32) -> Option<Conv2d> {
        let size = |n: u32, k: u32| positions(n, k, stride, padding);
        if padding >= kernel.0.min(kernel.1) {
            return None;
        }
        let output = Shape { channels: out_channels, height: size(input.height, kernel.0)?, width: size(input.width, kernel.1)? };
        Some(Conv2d { input, output, kernel_height: kernel.0, kernel_width: kernel.1, stride, padding })
    }

    /// Border the stored input needs, so that no tap falls outside.
    pub fn input_border(&self) -> u32 {
        self.padding
    }

    /// Border the stored output gradient needs for [`backward_data`]: as far as the taps of any input pixel reach.
    pub fn gradient_border(&self) -> u32 {
        let reach = |kernel: u32, input: u32, output: u32| {
            let before = ((kernel - 1) / self.stride).saturating_sub(self.padding / self.stride);
            before.max(((input - 1 + self.padding) / self.stride).saturating_sub(output - 1))
        };
        let (input, output) = (self.input, self.output);
        reach(self.kernel_height, input.height, output.height).max(reach(self.kernel_width, input.width, output.width))
    }

    /// Multiply–adds of `batch` images.
    pub fn macs(&self, batch: u32) -> u64 {
        u64::from(batch) * u64::from(self.output.len()) * u64::from(self.kernel_height * self.kernel_width * self.input.channels)
    }

    /// vec4 blocks of the weights on the GPU.
    pub fn weight_blocks(&self) -> u32 {
        self.kernel_height * self.kernel_width * self.input.channels.next_multiple_of(4) * self.output.channels.div_ceil(4)
    }

    /// Channels in use in each input block, for the kernels that skip the padding of a single block.
    pub(super) fn in_lanes(&self) -> u32 {
        self.input.channels.min(4)
    }

    /// What forward and backward_weight are given of the output, or of its gradient, in this layout.
    pub(super) fn output_uniforms(&self, layout: ImageLayout) -> Uniforms {
        uniforms! {
            out_blocks: layout.blocks(),
            out_height: self.output.height,
            out_width: self.output.width,
            out_row: layout.row(),
            out_image: layout.image(),
            out_origin: layout.origin(0),
        }
    }

    pub(super) fn weight_bytes(&self) -> u64 {
        u64::from(self.kernel_height * self.kernel_width * self.input.channels * self.output.channels) * 4
    }
}
