//! Fully connected layer, gradient with respect to weight and bias; see `shaders/linear_backward_weight.wgsl`.

use super::{Buffers, Linear};
use crate::kernels::sgd::Sgd;
use crate::kernels::{BufferId, Dispatch, LaneTables, Over, Tuning, shader, uniforms};

/// Buffers of [`Linear::backward_weight_sgd`].
#[derive(Debug, Clone, Copy)]
pub struct SgdBuffers {
    /// Of lanes and slots.
    pub tables: LaneTables,
    /// The layer's input.
    pub input: BufferId,
    /// Gradient of the output.
    pub dz: BufferId,
    /// In and out: momentum rows of every lane.
    pub momentum: BufferId,
    /// In and out: parameter rows of every lane.
    pub parameters: BufferId,
}

/// A run of input blocks that an invocation goes through with dz of the whole batch in hand; see
/// `shaders/linear_subgroup_backward_weight.wgsl`.
struct Run {
    /// Input blocks.
    length: u32,
    /// Blocks of outputs of an invocation.
    outs: u32,
}

impl Run {
    /// `None` where the device shares nothing between invocations, the batch is too large to keep or the layer too narrow.
    fn new(linear: &Linear, tuning: Tuning) -> Option<Run> {
        let fits = |outs: u32| linear.out_blocks >= outs * tuning.subgroup && linear.batch * outs <= tuning.held;
        let outs = [2, 1].into_iter().find(|outs| fits(*outs))?;
        if tuning.subgroup < 4 || linear.batch > 8 * tuning.subgroup {
            return None;
        }
        // A few runs, so that one lane alone keeps more than one core at work.
        Some(Run { length: linear.in_blocks.div_ceil(4), outs })
    }
}

impl Linear {
    /// The backward_weight dispatch, over lanes: dw = inputᵀ · dz, db = Σ dz.
    pub fn backward_weight(&self, label: &str, tuning: Tuning, b: Buffers) -> Dispatch {
        self.bound(self.weight_gradient(label, "to_gradient", tuning, [0.0; 3]), b)
    }

    /// The backward_weight and what [`Sgd`] does with it, in one dispatch over lanes. The parameters are changed: nothing of
    /// this step may read the layer's weights afterwards.
    pub fn backward_weight_sgd(&self, label: &str, tuning: Tuning, sgd: &Sgd, b: SgdBuffers) -> Dispatch {
        let settings = [sgd.learning_rate, sgd.momentum, sgd.weight_decay];
        let values = u64::from(self.parameters().1) * 4;
        let rows = u64::from(self.batch) * u64::from(self.in_blocks + self.out_blocks) * 16;
        self.weight_gradient(label, "sgd", tuning, settings)
            .tables(b.tables)
            .reads([b.input, b.dz])
            .writes([b.momentum, b.parameters])
            .cost(self.flops() + values * 6, rows + values * 16)
    }

    /// Start and length of the layer's weights and bias in a row of parameters, in vec4.
    pub fn parameters(&self) -> (u32, u32) {
        let weights = self.in_blocks * 4 * self.out_blocks;
        assert_eq!(self.place.bias, Some(self.place.weight + weights), "a linear layer's bias follows its weights");
        (self.place.weight, weights + self.out_blocks)
    }

    fn weight_gradient(&self, label: &str, entry: &'static str, tuning: Tuning, sgd: [f32; 3]) -> Dispatch {
        let [learning_rate, momentum, weight_decay] = sgd;
        let own = uniforms! {
            bias: self.place.bias.expect("a linear layer has a bias"),
            learning_rate: learning_rate,
            momentum: momentum,
            weight_decay: weight_decay,
        };
        let (shader, constants, first, invocations) = match Run::new(self, tuning) {
            Some(run) => {
                let constants = vec![("OUT_BLOCKS", run.outs), ("SAMPLES", self.batch), ("SUBGROUP", tuning.subgroup)];
                let subgroups = self.in_blocks.div_ceil(run.length) * self.out_blocks.div_ceil(run.outs * tuning.subgroup);
                (shader::linear_subgroup_backward_weight, constants, uniforms! { run: run.length }, subgroups * tuning.subgroup)
            }
            None => {
                // Layers too narrow for a subgroup share nothing.
                let shared = self.out_blocks >= tuning.subgroup * tuning.weight_tile.1;
                let (subgroup, (ins, outs)) = if shared { (tuning.subgroup, tuning.weight_tile) } else { (1, (2, 2)) };
                let constants = vec![("IN_BLOCKS", ins), ("OUT_BLOCKS", outs), ("SUBGROUP", subgroup)];
                let invocations = self.in_blocks.div_ceil(ins) * self.out_blocks.div_ceil(outs * subgroup) * subgroup;
                (shader::linear_backward_weight, constants, uniforms! { batch: self.batch }, invocations)
            }
        };
        Dispatch::new(label, shader, entry, Over::Lanes, invocations).constants(constants).uniforms(first.with(self.uniforms()).with(own))
    }
}
