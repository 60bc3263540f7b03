//! Batch norms that stay with the clients; see `shaders/local_norms.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

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
        self.dispatch(label, "take").reads([b.lanes, b.store]).writes([b.rows])
    }

    /// From the lanes' rows into the store; over lanes, of which no two share a row of the store.
    pub fn keep(&self, label: &str, b: Buffers) -> Dispatch {
        self.dispatch(label, "keep").reads([b.lanes, b.rows]).writes([b.store])
    }

    fn dispatch(&self, label: &str, entry: &'static str) -> Dispatch {
        Dispatch::new(label, shader::local_norms, entry, Over::Lanes, self.length)
            .uniforms(uniforms! { length: self.length, stride: self.stride, start: self.start })
            .cost(0, u64::from(self.length) * 32)
    }
}
