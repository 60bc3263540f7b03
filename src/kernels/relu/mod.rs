//! Rectification: what both directions are given, and their kernels.

mod backward;
mod forward;

use crate::kernels::{Activation, ImageLayout, Uniforms, uniforms};

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct Relu {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// The layer's input.
    pub x: Activation,
}

impl Relu {
    /// What both directions are given of the layer and its input; `others` are of the input's shape.
    pub(super) fn uniforms(&self, others: &[ImageLayout]) -> Uniforms {
        let x = self.x.layout;
        assert!(others.iter().all(|l| l.shape == x.shape), "{others:?} are of another shape than {x:?}");
        uniforms! {
            batch: self.batch,
            blocks: x.blocks(),
            height: x.shape.height,
            width: x.shape.width,
            x_row: x.row(),
            x_image: x.image(),
            x_origin: x.origin(0),
        }
    }
}
