//! Rectification, forward; see `shaders/relu_forward.wgsl`. Also what both directions are given.

use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, shader};

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct Relu {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Layout of the layer's input.
    pub x: ImageLayout,
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

impl Relu {
    /// Uniform words of a kernel over images in these layouts.
    pub(super) fn words(&self, layouts: &[ImageLayout]) -> Vec<u32> {
        assert!(layouts.iter().all(|l| l.shape == self.x.shape), "{layouts:?} are of different shapes");
        let mut words = vec![self.batch, self.x.blocks(), self.x.shape.height, self.x.shape.width];
        words.extend(layouts.iter().flat_map(|l| [l.row(), l.image(), l.origin(0)]));
        words
    }

    /// The forward dispatch, over lanes, writing the layout `y`.
    pub fn forward(&self, label: &str, y: ImageLayout, b: Buffers) -> Dispatch {
        Dispatch {
            label: label.into(),
            kernel: Kernel { shader: shader::relu_forward, entry: "relu_forward", constants: vec![], access: &[Read, Read, Read, Write] },
            words: self.words(&[self.x, y]),
            step_word: None,
            buffers: vec![b.lanes, b.batch_sizes, b.x, b.y],
            invocations: y.row_invocations(self.batch),
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: u64::from(self.batch) * u64::from(y.shape.len()),
            bytes: y.payload(self.batch) * 2,
        }
    }
}
