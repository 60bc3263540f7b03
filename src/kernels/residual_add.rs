//! The sum of two images, or a multiple of one; see `shaders/residual_add.wgsl`.

use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, WORKGROUP, shader};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct ResidualAdd {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Layout of the first image.
    pub a: ImageLayout,
    /// Layout of the second, where there is one; of the first's shape.
    pub b: Option<ImageLayout>,
    /// Layout of the sum.
    pub y: ImageLayout,
    /// Factor on it.
    pub factor: f32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// The first image.
    pub a: BufferId,
    /// The second; the first again where there is none.
    pub b: BufferId,
    /// Out: the sum.
    pub y: BufferId,
}

impl ResidualAdd {
    /// The dispatch, over lanes.
    ///
    /// # Panics
    /// For images of different shapes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let second = self.b.unwrap_or(self.a);
        assert!(self.a.shape == self.y.shape && second.shape == self.y.shape, "{self:?} are of different shapes");
        let mut words = vec![self.batch, self.y.blocks(), self.y.shape.height, self.y.shape.width];
        words.extend([self.a, second, self.y].iter().flat_map(|l| [l.row(), l.image(), l.origin(0)]));
        words.push(self.factor.to_bits());
        let sources = 1 + u32::from(self.b.is_some());
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::residual_add,
                entry: "residual_add",
                constants: vec![("SOURCES", sources)],
                access: &[Read, Read, Read, Read, Write],
            },
            words,
            step_word: None,
            buffers: vec![b.lanes, b.batch_sizes, b.a, b.b, b.y],
            invocations: self.y.row_invocations(self.batch),
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: u64::from(self.batch) * u64::from(self.y.shape.len()) * u64::from(sources),
            bytes: self.y.payload(self.batch) * u64::from(1 + sources),
        }
    }
}
