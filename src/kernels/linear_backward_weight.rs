//! Fully connected layer, gradient with respect to weight and bias; see `shaders/linear_backward_weight.wgsl`.

use super::linear_forward::{Buffers, Linear};
use super::{Access::*, Dispatch, Kernel, Over, Tuning, WORKGROUP, shader};

impl Linear {
    /// The backward_weight dispatch, over lanes: dw = inputᵀ · dz, db = Σ dz.
    pub fn backward_weight(&self, label: &str, tuning: Tuning, b: Buffers) -> Dispatch {
        // Layers too narrow for a subgroup share nothing.
        let shared = self.in_blocks >= tuning.subgroup * tuning.weight_tile.0;
        let (subgroup, (ins, outs)) = if shared { (tuning.subgroup, tuning.weight_tile) } else { (1, (2, 2)) };
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::linear_backward_weight,
                entry: "linear_backward_weight",
                constants: vec![("IN_BLOCKS", ins), ("OUT_BLOCKS", outs), ("SUBGROUP", subgroup)],
                access: &[Read, Read, Read, Read, Write],
            },
            words: vec![
                self.batch,
                self.in_blocks,
                self.out_blocks,
                self.place.stride,
                self.place.weight,
                self.place.bias.expect("a linear layer has a bias"),
            ],
            step_word: None,
            buffers: b.list(),
            invocations: self.in_blocks.div_ceil(ins).next_multiple_of(subgroup) * self.out_blocks.div_ceil(outs),
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: self.flops(),
            bytes: self.bytes(),
        }
    }
}
