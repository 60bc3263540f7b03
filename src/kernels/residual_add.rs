//! The sum of two images, or a multiple of one; see `shaders/residual_add.wgsl`.

use super::{BufferId, Dispatch, ImageLayout, Over, shader, uniforms};

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
        let sources = 1 + u32::from(self.b.is_some());
        Dispatch::new(label, shader::residual_add, "residual_add", Over::Lanes, self.y.row_invocations(self.batch))
            .constants(vec![("SOURCES", sources)])
            .uniforms(uniforms! {
                batch: self.batch,
                blocks: self.y.blocks(),
                height: self.y.shape.height,
                width: self.y.shape.width,
                a_row: self.a.row(),
                a_image: self.a.image(),
                a_origin: self.a.origin(0),
                b_row: second.row(),
                b_image: second.image(),
                b_origin: second.origin(0),
                y_row: self.y.row(),
                y_image: self.y.image(),
                y_origin: self.y.origin(0),
                factor: self.factor,
            })
            .reads([b.lanes, b.batch_sizes, b.a, b.b])
            .writes([b.y])
            .cost(
                u64::from(self.batch) * u64::from(self.y.shape.len()) * u64::from(sources),
                self.y.payload(self.batch) * u64::from(1 + sources),
            )
    }
}
