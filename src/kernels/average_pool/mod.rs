//! Adaptive average pooling: what both directions are given, and their kernels.

mod backward;
mod forward;

use crate::kernels::{ImageLayout, Uniforms, uniforms};
use crate::net::Shape;

/// An adaptive average pooling layer's geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AveragePool {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Shape of an input image.
    pub input: Shape,
    /// Shape of an output image: at most as high and wide, with the same channels.
    pub output: Shape,
}

impl AveragePool {
    pub(super) fn uniforms(&self, x: ImageLayout, y: ImageLayout) -> Uniforms {
        uniforms! {
            batch: self.batch,
            blocks: x.blocks(),
            in_row: x.row(),
            in_image: x.image(),
            in_origin: x.origin(0),
            out_row: y.row(),
            out_image: y.image(),
            out_origin: y.origin(0),
        }
    }

    pub(super) fn constants(&self) -> Vec<(&'static str, u32)> {
        let (i, o) = (self.input, self.output);
        vec![("IN_HEIGHT", i.height), ("IN_WIDTH", i.width), ("OUT_HEIGHT", o.height), ("OUT_WIDTH", o.width)]
    }

    /// Values that are added for one image: every bin's.
    pub(super) fn terms(&self) -> u64 {
        let sizes = |inputs: u32, outputs: u32| {
            (0..outputs).map(|i| u64::from(((i + 1) * inputs).div_ceil(outputs) - i * inputs / outputs)).sum::<u64>()
        };
        let (i, o) = (self.input, self.output);
        sizes(i.height, o.height) * sizes(i.width, o.width) * u64::from(i.channels)
    }
}
