//! The server's optimiser; see `shaders/server_step.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// How v follows the squares of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Their sum.
    Adagrad = 0,
    /// Their decaying mean.
    Adam = 1,
    /// Towards them, by a share of their size.
    Yogi = 2,
}

/// The second moment of an adaptive optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adaptive {
    /// Its rule.
    pub rule: Rule,
    /// Its decay β₂ in [0, 1), of no effect with Adagrad.
    pub second: f32,
    /// What is added to its root, τ, above 0.
    pub tau: f32,
}

/// The server's optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerOptimizer {
    /// Step size η, above 0.
    pub learning_rate: f32,
    /// Momentum, or the decay of the mean of the changes: β₁ in [0, 1).
    pub first: f32,
    /// None: momentum alone.
    pub adaptive: Option<Adaptive>,
}

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct ServerStep {
    /// First vec4 of a row that is moved.
    pub start: u32,
    /// Number of them.
    pub length: u32,
    /// vec4 of a row.
    pub stride: u32,
    /// Number of bases.
    pub bases: u32,
    /// The optimiser.
    pub optimizer: ServerOptimizer,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// u32 of each base: 1 where somebody trained it.
    pub trained: BufferId,
    /// The round's averages.
    pub average: BufferId,
    /// In and out: m of every base.
    pub mean: BufferId,
    /// In and out: v of every base, where the optimiser is adaptive.
    pub square: BufferId,
    /// In and out: the server's bases.
    pub parameters: BufferId,
}

impl ServerStep {
    /// The dispatch, over bases.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let ServerOptimizer { learning_rate, first, adaptive } = self.optimizer;
        let Adaptive { rule, second, tau } = adaptive.unwrap_or(Adaptive { rule: Rule::Adagrad, second: 0.0, tau: 0.0 });
        let entry = if adaptive.is_some() { "adaptive" } else { "momentum" };
        let values = u64::from(self.length) * 4;
        let dispatch = Dispatch::new(label, shader::server_step, entry, Over::Fixed(self.bases), self.length)
            .uniforms(uniforms! {
                start: self.start,
                length: self.length,
                stride: self.stride,
                rule: rule as u32,
                learning_rate: learning_rate,
                first: first,
                first_rest: 1.0 - first,
                second: second,
                second_rest: 1.0 - second,
                tau: tau,
            })
            .reads([b.trained, b.average])
            .writes([b.mean, b.parameters]);
        match adaptive {
            Some(_) => dispatch.writes([b.square]).cost(values * 9, values * 28),
            None => dispatch.cost(values * 5, values * 20),
        }
    }
}
