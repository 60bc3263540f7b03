//! Fully connected layer, gradient with respect to the input; see `shaders/linear_backward_data.wgsl`.

use super::linear_forward::{Buffers, Linear};
use super::{Access::*, Dispatch, Kernel, Over, Tuning, WORKGROUP, shader};

impl Linear {
    /// The backward_data dispatch, over lanes: dx = dz · wᵀ.
    pub fn backward_data(&self, label: &str, tuning: Tuning, b: Buffers) -> Dispatch {
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::linear_backward_data,
                entry: "linear_backward_data",
                constants: vec![("ROWS", tuning.rows)],
                access: &[Read, Read, Read, Read, Write],
            },
            words: vec![self.batch, self.in_blocks, self.out_blocks, self.place.stride, self.place.weight],
            step_word: None,
            buffers: b.list(),
            invocations: self.batch.div_ceil(tuning.rows) * self.in_blocks,
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: self.flops(),
            bytes: self.bytes(),
        }
    }
}
