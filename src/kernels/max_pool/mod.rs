//! Max-pooling: what both directions are given, and their kernels.

mod backward;
mod forward;

use crate::kernels::{ImageLayout, Uniforms, uniforms};
use crate::net::{Shape, positions};

/// A max-pooling layer's geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Shape of an input image.
    pub input: Shape,
    /// Shape of an output image.
    pub output: Shape,
    /// Height and width of the window; at most 15 each, so that a place in it fits a byte.
    pub kernel: (u32, u32),
    /// Stride of rows and columns.
    pub stride: u32,
    /// Padding of every side, at most half the window.
    pub padding: u32,
}

impl MaxPool {
    /// The pooling of `input`; `None` where not one window fits, or window and padding are out of range.
    pub fn new(batch: u32, input: Shape, kernel: (u32, u32), stride: u32, padding: u32) -> Option<MaxPool> {
        let size = |n: u32, k: u32| positions(n, k, stride, padding);
        if kernel.0 > 15 || kernel.1 > 15 || padding > kernel.0.min(kernel.1) / 2 {
            return None;
        }
        let output = Shape { height: size(input.height, kernel.0)?, width: size(input.width, kernel.1)?, ..input };
        Some(MaxPool { batch, input, output, kernel, stride, padding })
    }

    /// Bytes of one lane's indices.
    pub fn index_bytes(&self) -> u64 {
        u64::from(ImageLayout::new(self.output, 0).dense_blocks(self.batch)) * 4
    }

    pub(super) fn uniforms(&self, x: ImageLayout, y: ImageLayout) -> Uniforms {
        uniforms! {
            batch: self.batch,
            blocks: x.blocks(),
            in_height: self.input.height,
            in_width: self.input.width,
            in_row: x.row(),
            in_image: x.image(),
            in_origin: x.origin(0),
            out_height: self.output.height,
            out_width: self.output.width,
            out_row: y.row(),
            out_image: y.image(),
            out_origin: y.origin(0),
            padding: self.padding,
        }
    }

    pub(super) fn constants(&self) -> Vec<(&'static str, u32)> {
        vec![("KERNEL_HEIGHT", self.kernel.0), ("KERNEL_WIDTH", self.kernel.1), ("STRIDE", self.stride)]
    }
}
