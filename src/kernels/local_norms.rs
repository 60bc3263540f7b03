//! Batch norms that stay with the clients; see `shaders/local_norms.wgsl`.

use super::{Access::*, BufferId, Dispatch, Kernel, Over, WORKGROUP, shader, uniforms};

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct LocalNorms {
    /// vec4 of a row of the store.
    pub length: u32,
    /// vec4 of a lane's row.
    pub stride: u32,
    /// Where its batch norms begin.
    pub start: u32,
}

/// Their buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// Batch norms of every client and base.
    pub store: BufferId,
    /// Rows of the lanes.
    pub rows: BufferId,
}

impl LocalNorms {
    /// From the store into the lanes' rows; over lanes.
    pub fn take(&self, label: &str, b: Buffers) -> Dispatch {
        self.dispatch(label, "take", vec![b.lanes, b.store, b.rows])
    }

    /// From the lanes' rows into the store; over lanes, of which no two share a row of the store.
    pub fn keep(&self, label: &str, b: Buffers) -> Dispatch {
        self.dispatch(label, "keep", vec![b.lanes, b.rows, b.store])
    }

    fn dispatch(&self, label: &str, entry: &'static str, buffers: Vec<BufferId>) -> Dispatch {
        Dispatch {
            label: label.into(),
            kernel: Kernel { shader: shader::local_norms, entry, constants: vec![], access: &[Read, Read, Write] },
            uniforms: uniforms! { length: self.length, stride: self.stride, start: self.start },
            step: None,
            buffers,
            invocations: self.length,
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: 0,
            bytes: u64::from(self.length) * 32,
        }
    }
}
