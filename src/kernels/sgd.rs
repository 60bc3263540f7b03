//! SGD with momentum and weight decay; see `shaders/sgd.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Sgd {
    /// vec4 of a lane's parameters that are trained: the first of its row.
    pub length: u32,
    /// vec4 of a lane's row.
    pub stride: u32,
    /// Start and length, in vec4, of a range to leave alone; 0 long: none.
    pub skip: (u32, u32),
    /// Learning rate of the round.
    pub learning_rate: f32,
    /// Momentum μ.
    pub momentum: f32,
    /// Weight decay, added to the gradient of every parameter.
    pub weight_decay: f32,
}

/// Its buffers: rows of every lane.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Gradients.
    pub gradient: BufferId,
    /// Gradients of a second loss, to be added.
    pub other: Option<BufferId>,
    /// In and out: momentum.
    pub momentum: BufferId,
    /// In and out: parameters.
    pub parameters: BufferId,
}

impl Sgd {
    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let count = self.length - self.skip.1;
        let values = u64::from(count) * 4;
        let entry = if b.other.is_some() { "sgd_of_two" } else { "sgd" };
        Dispatch::new(label, shader::sgd, entry, Over::Lanes, count)
            .uniforms(uniforms! {
                length: self.length,
                skip: self.skip.0,
                skipped: self.skip.1,
                learning_rate: self.learning_rate,
                momentum: self.momentum,
                weight_decay: self.weight_decay,
                stride: self.stride,
            })
            .reads([b.gradient])
            .writes([b.momentum, b.parameters])
            .reads(b.other)
            .cost(values * 6, values * 4 * (5 + u64::from(b.other.is_some())))
    }
}
