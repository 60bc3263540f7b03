//! Class multipliers of the masked loss; see `shaders/class_presence.wgsl`.

use super::{Access::*, BufferId, Dispatch, Kernel, Over, WORKGROUP, shader};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct ClassPresence {
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Number of classes.
    pub classes: u32,
    /// Whether absent classes get 0; else every class gets 1.
    pub masked: bool,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// `[slot][n]` u32.
    pub batch_labels: BufferId,
    /// Out: `[slot][class]` f32, 1 or 0.
    pub multiplier: BufferId,
}

impl ClassPresence {
    /// The dispatch, over slots.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        Dispatch {
            label: label.into(),
            kernel: Kernel { shader: shader::class_presence, entry: "class_presence", constants: vec![], access: &[Read, Read, Write] },
            words: vec![self.batch, self.classes, u32::from(self.masked)],
            step_word: None,
            buffers: vec![b.batch_sizes, b.batch_labels, b.multiplier],
            invocations: self.classes,
            workgroup: WORKGROUP,
            over: Over::Slots,
            flops: 0,
            bytes: u64::from(self.batch + self.classes) * 4,
        }
    }
}
