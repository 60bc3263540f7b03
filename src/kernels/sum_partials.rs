//! Second stage of a convolution's weight gradient; see `shaders/sum_partials.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// What the kernel is given, in vec4.
#[derive(Debug, Clone, Copy)]
pub struct SumPartials {
    /// Length to write.
    pub length: u32,
    /// Parts of a lane.
    pub parts: u32,
    /// Length of a part.
    pub partial_stride: u32,
    /// Length of a lane's gradient row.
    pub parameter_stride: u32,
    /// Start in that row.
    pub offset: u32,
}

impl SumPartials {
    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, partial: BufferId, gradient: BufferId) -> Dispatch {
        let values = u64::from(self.length) * 4;
        Dispatch::new(label, shader::sum_partials, "sum_partials", Over::Lanes, self.length)
            .uniforms(uniforms! {
                length: self.length,
                parts: self.parts,
                partial_stride: self.partial_stride,
                parameter_stride: self.parameter_stride,
                offset: self.offset,
            })
            .reads([partial])
            .writes([gradient])
            .cost(values * u64::from(self.parts), values * 4 * u64::from(self.parts + 1))
    }
}
