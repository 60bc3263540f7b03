//! Adam with weight decay; see `shaders/adam.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// What the kernel is given. β₁, β₂ and ε are PyTorch's defaults.
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    /// vec4 of a lane's parameters that are trained: the first of its row.
    pub length: u32,
    /// vec4 of a lane's row.
    pub stride: u32,
    /// Learning rate of the round.
    pub learning_rate: f32,
    /// Weight decay, added to the gradient of every parameter.
    pub weight_decay: f32,
}

/// Its buffers: rows of every lane, and a table.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Gradients.
    pub gradient: BufferId,
    /// Gradients of a second loss, to be added.
    pub other: Option<BufferId>,
    /// [`Adam::corrections`] of every step.
    pub corrections: BufferId,
    /// In and out: running mean of the gradients.
    pub mean: BufferId,
    /// In and out: running mean of their squares.
    pub square: BufferId,
    /// In and out: parameters.
    pub parameters: BufferId,
}

const FIRST: f64 = 0.9;
const SECOND: f64 = 0.999;
const EPSILON: f32 = 1e-8;

impl Adam {
    /// The table of bias corrections of so many steps: `1 / (1 − β₁ᵗ)` and `1 / √(1 − β₂ᵗ)`.
    pub fn corrections(steps: u32) -> Vec<[f32; 2]> {
        let of_step = |t: i32| [1.0 / (1.0 - FIRST.powi(t)), 1.0 / (1.0 - SECOND.powi(t)).sqrt()].map(|v| v as f32);
        (1..=steps.max(1) as i32).map(of_step).collect()
    }

    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let values = u64::from(self.length) * 4;
        let entry = if b.other.is_some() { "adam_of_two" } else { "adam" };
        let [first_rest, second_rest] = [1.0 - FIRST, 1.0 - SECOND].map(|v| v as f32);
        Dispatch::new(label, shader::adam, entry, Over::Lanes, self.length)
            .uniforms(uniforms! {
                length: self.length,
                stride: self.stride,
                step: 0,
                learning_rate: self.learning_rate,
                first: FIRST as f32,
                first_rest: first_rest,
                second: SECOND as f32,
                second_rest: second_rest,
                epsilon: EPSILON,
                weight_decay: self.weight_decay,
            })
            .step("step")
            .reads([b.gradient, b.corrections])
            .writes([b.mean, b.square, b.parameters])
            .reads(b.other)
            .cost(values * 14, values * 4 * (7 + u64::from(b.other.is_some())))
    }
}
