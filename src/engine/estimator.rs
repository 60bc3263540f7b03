//! Statistics of batch norm, estimated anew by every client.

use super::{ClientRows, ImageStore, Limit, Rows, external, schedule_row, wave};
use crate::Result;
use crate::gpu::{Active, Gpu, Program, ProgramDescriptor};
use crate::net::Network;
use crate::plan::estimate::{EstimatePlan, EstimateSetting};

/// Settings of an estimation.
#[derive(Debug, Clone, Copy)]
pub struct EstimateOptions {
    /// Most images of a batch.
    pub batch: u32,
    /// How much of the GPU to take.
    pub limit: Limit,
    /// Surround buffers with poison, for tests.
    pub guarded: bool,
}

/// Checks that [`estimate_statistics`] would fit, without doing it.
///
/// # Errors
/// [`crate::Error::Config`] where not one client fits.
pub fn check_estimate(
    gpu: &Gpu,
    network: &Network,
    server: &Rows,
    images: &ImageStore,
    store: &ClientRows,
    batches: &[Vec<Vec<u32>>],
    options: &EstimateOptions,
) -> Result<()> {
    Estimation::size(gpu, network, server, images, store, batches, options).map(|_| ())
}

/// The size of an estimation.
struct Estimation {
    /// Clients with more batches first, so that those still at work are always a prefix.
    clients: Vec<usize>,
    /// Most batches of a client.
    steps: usize,
    /// Clients of a wave.
    slots: u32,
}

impl Estimation {
    /// None where no client has a batch.
    fn size(
        gpu: &Gpu,
        network: &Network,
        server: &Rows,
        images: &ImageStore,
        store: &ClientRows,
        batches: &[Vec<Vec<u32>>],
        options: &EstimateOptions,
    ) -> Result<Option<Estimation>> {
        let mut clients: Vec<usize> = (0..batches.len()).filter(|c| !batches[*c].is_empty()).collect();
        clients.sort_by_key(|c| std::cmp::Reverse(batches[*c].len()));
        let Some(steps) = clients.first().map(|c| batches[*c].len()) else { return Ok(None) };
        let footprint = |batch| Estimation::plan(gpu, network, images, store, batch, steps, 1).plan.footprint();
        let slots = wave(gpu, options.limit, &footprint, options.batch, u64::from(server.count), clients.len() as u64)?;
        Ok(Some(Estimation { clients, steps, slots }))
    }

    fn plan(
        gpu: &Gpu,
        network: &Network,
        images: &ImageStore,
        store: &ClientRows,
        batch: u32,
        steps: usize,
        slot_capacity: u32,
    ) -> EstimatePlan {
        let (images_per_chunk, tuning) = (images.images_per_chunk, gpu.tuning());
        let setting = EstimateSetting {
            network,
            store: store.norms.expect("rows of batch norms"),
            batch,
            images_per_chunk,
            slot_capacity,
            steps: steps as u32,
            tuning,
        };
        let mut plan = EstimatePlan::new(&setting);
        plan.plan.share_memory();
        plan
    }
}

/// Sets the running statistics of every client and base in `store`, whose rows are single tracked batch norms and nothing else, to
/// the mean over the client's batches, `[client][batch]` of image indices; a client without batches keeps what it has. Nothing is
/// awaited but the program.
///
/// # Errors
/// [`crate::Error::Config`] where not one client fits, [`crate::Error::Gpu`] where the device refuses or was lost.
pub async fn estimate_statistics(
    gpu: &Gpu,
    network: &Network,
    server: &Rows,
    images: &ImageStore,
    store: &ClientRows,
    batches: &[Vec<Vec<u32>>],
    options: &EstimateOptions,
) -> Result<()> {
    let Some(estimation) = Estimation::size(gpu, network, server, images, store, batches, options)? else { return Ok(()) };
    let Estimation { clients, steps, slots } = estimation;
    let plan = Estimation::plan(gpu, network, images, store, options.batch, steps, slots);
    let mut external = external(images, server, plan.images, plan.labels, plan.server);
    external.push((plan.store, store.rows.buffer.clone()));
    let descriptor = ProgramDescriptor { lanes: slots * server.count, slots, steps: steps as u32, external, guarded: options.guarded };
    let program = Program::new(gpu, plan.plan.clone(), descriptor).await?;
    let encoder = || gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("statistics") });
    for clients in clients.chunks(slots as usize) {
        let lane = |(slot, client): (u32, &usize)| {
            let client = *client as u32;
            (0..server.count).flat_map(move |b| [slot, b, b, store.place(client, b)]).collect::<Vec<_>>()
        };
        let lanes: Vec<u32> = (0..).zip(clients).flat_map(lane).collect();
        let row = 1 + options.batch as usize;
        let mut schedule = vec![0u32; steps * slots as usize * row];
        for (slot, client) in clients.iter().enumerate() {
            for (step, batch) in batches[*client].iter().enumerate() {
                schedule_row(&mut schedule[(step * slots as usize + slot) * row..][..row], batch);
            }
        }
        program.write(gpu, plan.lanes, 0, bytemuck::cast_slice(&lanes));
        program.write(gpu, plan.schedule, 0, bytemuck::cast_slice(&schedule));
        let active = |slots: usize, step: usize| {
            let slots = slots as u32;
            Active { lanes: slots * server.count, slots, step: step as u32 }
        };
        let all = active(clients.len(), 0);
        let mut commands = encoder();
        program.play(gpu, &mut commands, plan.start, all);
        for step in 0..batches[clients[0]].len() {
            let at_work = clients.iter().take_while(|c| batches[**c].len() > step).count();
            program.play(gpu, &mut commands, plan.step, active(at_work, step));
        }
        program.play(gpu, &mut commands, plan.finish, all);
        gpu.submit(commands);
    }
    gpu.check()
}
