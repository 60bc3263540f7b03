//! Adaptive average pooling, forward; see `shaders/average_pool_forward.wgsl`. Also the geometry that both directions share.

use super::{BufferId, Dispatch, ImageLayout, Over, Uniforms, shader, uniforms};
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

/// Buffers of the forward.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The layer's input.
    pub x: BufferId,
    /// Out: the layer's output.
    pub y: BufferId,
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

    /// The forward dispatch, over lanes, between the given layouts.
    pub fn forward(&self, label: &str, x: ImageLayout, y: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::average_pool_forward, "average_pool_forward", Over::Lanes, y.row_invocations(self.batch))
            .constants(self.constants())
            .uniforms(self.uniforms(x, y))
            .reads([b.lanes, b.batch_sizes, b.x])
            .writes([b.y])
            .cost(u64::from(self.batch) * self.terms(), x.payload(self.batch) + y.payload(self.batch))
    }
}
