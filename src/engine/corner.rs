//! Corners of the server's bases, as bases of their own on the GPU.

use super::Server;
use crate::Result;
use crate::gpu::{Active, Gpu, Materials, Program};
use crate::net::Network;
use crate::plan::corner::{CornerPlan, SettlePlan};

/// The corners of all of the server's bases at one width.
pub struct Corner {
    /// The narrow network.
    pub network: Network,
    /// Its bases: what was last taken, or trained since.
    pub server: Server,
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
    pub async fn new(gpu: &Gpu, wide: &Network, server: &Server, narrow: Network) -> Result<Corner> {
        Corner::with_mass(gpu, wide, server, narrow, None).await
    }

    /// The same; where it is to be merged, with the masses of all values.
    pub(super) async fn with_mass(
        gpu: &Gpu,
        wide: &Network,
        server: &Server,
        narrow: Network,
        mass: Option<&wgpu::Buffer>,
    ) -> Result<Corner> {
        let table = wide.corner_table(&narrow)?;
        let own = Server::new(gpu, &narrow, server.bases)?;
        let mut plan = CornerPlan::new(wide, &narrow, server.bases);
        if mass.is_none() {
            plan.plan.phases.retain(|(phase, _)| *phase == "take");
        }
        let external = vec![
            (plan.wide, server.parameters.clone()),
            (plan.narrow, own.parameters.clone()),
            (plan.sum, server.average.clone()),
            (plan.mass, mass.unwrap_or(&server.average).clone()),
        ];
        let program = Program::new(gpu, plan.plan.clone(), Materials { external, ..Materials::default() }).await?;
        program.write(gpu, plan.places, 0, bytemuck::cast_slice(&table));
        Ok(Corner { network: narrow, server: own, plan, program })
    }

    /// Bytes on the GPU.
    pub fn bytes(&self) -> u64 {
        self.server.bytes() + self.program.bytes
    }

    /// Records that the corners are taken as the server's bases are then. Returns the number of dispatches.
    pub fn take(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> u64 {
        self.program.play(gpu, encoder, "take", ALL)
    }

    /// The same, submitted at once.
    pub fn take_now(&self, gpu: &Gpu) -> u64 {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("take corners") });
        let dispatches = self.take(gpu, &mut encoder);
        gpu.submit(encoder);
        dispatches
    }

    /// Records that the corners are added to the server's sums with these weights, one a base; the weights are written at once, so
    /// there is one merge a submit. Returns the number of dispatches.
    pub(super) fn merge(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, weights: &[f32]) -> u64 {
        self.program.write(gpu, self.plan.weights, 0, bytemuck::cast_slice(weights));
        self.program.play(gpu, encoder, "merge", ALL)
    }
}

/// The average over the holders of every value.
pub(super) struct Settle {
    /// The sum of the weights of those that hold each value.
    pub mass: wgpu::Buffer,
    program: Program,
}

impl Settle {
    pub(super) async fn new(gpu: &Gpu, network: &Network, server: &Server) -> Result<Settle> {
        let plan = SettlePlan::new(network, server.bases);
        let mass = gpu.storage("mass", server.average.size());
        let external = vec![(plan.sum, server.average.clone()), (plan.mass, mass.clone()), (plan.parameters, server.parameters.clone())];
        let program = Program::new(gpu, plan.plan, Materials { external, ..Materials::default() }).await?;
        Ok(Settle { mass, program })
    }

    /// Records that sums and masses start at zero.
    pub(super) fn begin(&self, server: &Server, encoder: &mut wgpu::CommandEncoder) {
        server.begin(encoder);
        encoder.clear_buffer(&self.mass, 0, None);
    }

    /// Records the average. Returns the number of dispatches.
    pub(super) fn settle(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder) -> u64 {
        self.program.play(gpu, encoder, "settle", ALL)
    }
}
