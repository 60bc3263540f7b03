//! The sum of two images, or a multiple of one; see `shaders/residual_add.wgsl`.

use super::{Activation, Dispatch, LaneTables, Over, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct ResidualAdd {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Factor on the sum.
    pub factor: f32,
}

impl ResidualAdd {
    /// The dispatch, over lanes: the sum of `a` and, if any, `b` into `y`.
    ///
    /// # Panics
    /// For images of different shapes.
    pub fn dispatch(&self, label: &str, tables: LaneTables, a: Activation, b: Option<Activation>, y: Activation) -> Dispatch {
        let (first, second, sum) = (a.layout, b.unwrap_or(a).layout, y.layout);
        assert!(first.shape == sum.shape && second.shape == sum.shape, "{first:?}, {second:?} and {sum:?} are of different shapes");
        let sources = 1 + u32::from(b.is_some());
        Dispatch::new(label, shader::residual_add, "residual_add", Over::Lanes, sum.row_invocations(self.batch))
            .constants([("SOURCES", sources)])
            .uniforms(uniforms! {
                batch: self.batch,
                blocks: sum.blocks(),
                height: sum.shape.height,
                width: sum.shape.width,
                a_row: first.row(),
                a_image: first.image(),
                a_origin: first.origin(0),
                b_row: second.row(),
                b_image: second.image(),
                b_origin: second.origin(0),
                y_row: sum.row(),
                y_image: sum.image(),
                y_origin: sum.origin(0),
                factor: self.factor,
            })
            .tables(tables)
            .reads([a.buffer, b.unwrap_or(a).buffer])
            .writes([y.buffer])
            .cost(u64::from(self.batch) * u64::from(sum.shape.len()) * u64::from(sources), sum.payload(self.batch) * u64::from(1 + sources))
    }
}
