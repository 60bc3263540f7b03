//! Start of a round: lanes download their bases; see `shaders/copy_bases.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct CopyBases {
    /// vec4 of a base's parameters.
    pub length: u32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// The server's bases.
    pub server: BufferId,
    /// Out: parameters of the lanes.
    pub parameters: BufferId,
    /// Out: momentum of the lanes, zero.
    pub momentum: BufferId,
}

impl CopyBases {
    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        Dispatch::new(label, shader::copy_bases, "copy_bases", Over::Lanes, self.length)
            .uniforms(uniforms! { length: self.length })
            .reads([b.lanes, b.server])
            .writes([b.parameters, b.momentum])
            .cost(0, u64::from(self.length) * 48)
    }
}
