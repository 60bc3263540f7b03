//! Corners of the server's bases, as bases of their own on the GPU.

use super::Rows;
use crate::Result;
use crate::gpu::{Active, Gpu, Program, ProgramDescriptor};
use crate::net::Network;
use crate::plan::PhaseId;
use crate::plan::corner::{CornerPlan, SettlePlan};

/// The corners of all of the server's bases at one width.
pub struct Corner {
    /// The narrow network.
    pub network: Network,
    /// Its bases: what was last taken, or trained since.
    pub server: Rows,
    plan: CornerPlan,
    program: Program,
}

/// Nothing of a corner's work is by lane or slot.
const ALL: Active = Active { lanes: 0, slots: 0, step: 0 };

impl Corner {
    /// Memory and tables for the corners of `server`'s bases of the network `wide`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where `narrow` is no corner of `wide`, [`crate::Error::Gpu`] where the device refuses.
    pub async fn new(gpu: &Gpu, wide: &Network, server: &Rows, narrow: Network) -> Result<Corner> {
        Corner::merged_by(gpu, wide, server, narrow, None).await
    }

    /// The same; where it is to be merged, into the sums and masses of that average.
    pub(super) async fn merged_by(gpu: &Gpu, wide: &Network, server: &Rows, narrow: Network, settle: Option<&Settle>) -> Result<Corner> {
        let table = wide.corner_table(&narrow)?;
        let own = Rows::of_bases(gpu, &narrow, server.count)?;
        let plan = CornerPlan::new(wide, &narrow, server.count, settle.is_some());
        let mut external = vec![(plan.wide, server.buffer.clone()), (plan.narrow, own.buffer.clone())];
        if let Some((merge, settle)) = plan.merge.zip(settle) {
            external.extend([(merge.sum, settle.sum.buffer.clone()), (merge.mass, settle.mass.buffer.clone())]);
        }
        let program = Program::new(gpu, plan.plan.clone(), ProgramDescriptor { external, ..ProgramDescriptor::default() }).await?;
        program.write(gpu, plan.places, 0, bytemuck::cast_slice(&table));
        Ok(Corner { network: narrow, server: own, plan, program })
    }

    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.server.bytes() + self.program.bytes
    }

    /// Records that the corners are taken as the server's bases are then. Returns the number of dispatches.
    pub fn take(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> u64 {
        self.program.play(gpu, encoder, self.plan.take, ALL)
    }

    /// The same, submitted at once.
    pub fn take_now(&self, gpu: &Gpu) -> u64 {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("take corners") });
        let dispatches = self.take(gpu, &mut encoder);
        gpu.submit(encoder);
        dispatches
    }

    /// Records that the corners are added to the sums of their average with these weights, one a base; the weights are written at once, so
    /// there is one merge a submit. Returns the number of dispatches.
    pub(super) fn merge(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, weights: &[f32]) -> u64 {
        let merge = self.plan.merge.expect("a corner that is trained is made with its average");
        self.program.write(gpu, merge.weights, 0, bytemuck::cast_slice(weights));
        self.program.play(gpu, encoder, merge.phase, ALL)
    }
}

/// The average over the holders of every value.
pub(super) struct Settle {
    /// The weighted sum of each value over those that hold it.
    sum: Rows,
    /// The sum of their weights.
    mass: Rows,
    program: Program,
    settle: PhaseId,
}

impl Settle {
    pub(super) async fn new(gpu: &Gpu, network: &Network, server: &Rows) -> Result<Settle> {
        let plan = SettlePlan::new(network, server.count);
        let [sum, mass] = ["sum", "mass"].map(|label| server.like(gpu, label));
        let external = vec![(plan.sum, sum.buffer.clone()), (plan.mass, mass.buffer.clone()), (plan.parameters, server.buffer.clone())];
        let program = Program::new(gpu, plan.plan, ProgramDescriptor { external, ..ProgramDescriptor::default() }).await?;
        Ok(Settle { sum, mass, program, settle: plan.settle })
    }

    /// Records that sums and masses start at zero.
    pub(super) fn begin(&self, encoder: &mut wgpu::CommandEncoder) {
        self.sum.clear(encoder);
        self.mass.clear(encoder);
    }

    /// Records the average. Returns the number of dispatches.
    pub(super) fn settle(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> u64 {
        self.program.play(gpu, encoder, self.settle, ALL)
    }
}
