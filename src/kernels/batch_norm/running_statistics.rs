//! Running statistics of all batch norms after a training forward; see `shaders/running_statistics.wgsl`.

use crate::kernels::{BufferId, Dispatch, Over, shader, uniforms};

/// Share of the newest batch in the running statistics of mode `tracked`: PyTorch's default.
pub const MOMENTUM: f32 = 0.1;

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct RunningStatistics {
    /// Channel blocks of all layers.
    pub blocks: u32,
    /// vec4 of a lane's row.
    pub stride: u32,
    /// Start of the running means in it; the variances follow.
    pub mean: u32,
    /// Share of the newest batch; `None`: the mean over all steps so far.
    pub momentum: Option<f32>,
}

impl RunningStatistics {
    /// The dispatch, over lanes, from the `moments` of a forward into the lanes' `rows`.
    pub fn dispatch(&self, label: &str, moments: BufferId, rows: BufferId) -> Dispatch {
        let values = u64::from(self.blocks) * 4;
        Dispatch::new(label, shader::running_statistics, "running_statistics", Over::Lanes, self.blocks)
            .uniforms(uniforms! {
                blocks: self.blocks,
                stride: self.stride,
                mean: self.mean,
                variance: self.mean + self.blocks,
                momentum: self.momentum.unwrap_or(-1.0),
                step: 0,
            })
            .step("step")
            .reads([moments])
            .writes([rows])
            .cost(values * 6, values * 24)
    }
}
