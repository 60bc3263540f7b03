//! FedProx's proximal term; see `shaders/proximal.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Proximal {
    /// First vec4 of a row that the term is on.
    pub start: u32,
    /// Number of them.
    pub length: u32,
    /// vec4 of a row.
    pub stride: u32,
    /// Weight μ of the term.
    pub mu: f32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// The server's bases.
    pub server: BufferId,
    /// Parameters of each lane.
    pub parameters: BufferId,
    /// In and out: gradients of each lane.
    pub gradient: BufferId,
}

impl Proximal {
    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let values = u64::from(self.length) * 4;
        Dispatch::new(label, shader::proximal, "proximal", Over::Lanes, self.length)
            .uniforms(uniforms! { start: self.start, length: self.length, stride: self.stride, mu: self.mu })
            .reads([b.lanes, b.server, b.parameters])
            .writes([b.gradient])
            .cost(values * 3, values * 16)
    }
}
