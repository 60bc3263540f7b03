//! Local training of a round: every (client, base) lane of a wave advances in the same dispatches.

use super::{ImageStore, Limit, Server, Staging, Totals, external, schedule_row, wave};
use crate::gpu::{Active, Gpu, Materials, Program};
use crate::kernels::Tuning;
use crate::kernels::weighted_average;
use crate::net::Network;
use crate::plan::train::{TOTALS_BYTES, TrainPlan, TrainSetting};
use crate::{Error, Result};
use std::collections::BTreeSet;

/// Settings of local training that hold for a whole run.
#[derive(Debug, Clone, Copy)]
pub struct TrainOptions {
    /// Most images of a mini-batch.
    pub batch: u32,
    /// Factor on rescaled layers in training: 1/r with the layer correction, else 1.
    pub scale: f32,
    /// Whether the loss is the class-masked cross entropy.
    pub masked_loss: bool,
    /// SGD's momentum.
    pub momentum: f32,
    /// SGD's weight decay.
    pub weight_decay: f32,
    /// Most lanes of a round.
    pub lanes: u32,
    /// Most local steps of a client in a round.
    pub steps: u32,
    /// How much of the GPU to take.
    pub limit: Limit,
    /// Surround buffers with poison, for tests.
    pub guarded: bool,
    /// Give every activation memory of its own, so that tests can read it after a step.
    pub keep_activations: bool,
    /// Variants of the kernels other than the adapter's own, for tests and benchmarks.
    pub tuning: Option<Tuning>,
}

/// What one client does in a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientWork {
    /// Image indices of each local step's mini-batch, none empty.
    pub batches: Vec<Vec<u32>>,
    /// Bases it trains, each with its share in that base's average.
    pub bases: Vec<(u32, f32)>,
}

/// The program of local training.
pub struct Trainer {
    /// The plan's own handles.
    pub plan: TrainPlan,
    program: Program,
    options: TrainOptions,
    lanes_per_wave: u32,
    slots_per_wave: u32,
    /// Dispatches of the last round.
    pub dispatches: u64,
    /// Submits of the last round.
    pub submits: u64,
}

impl Trainer {
    /// Builds the program for waves as large as the adapter and the limit allow.
    ///
    /// # Errors
    /// [`Error::Config`] where not one lane fits, [`Error::Gpu`] where the device refuses.
    pub async fn new(gpu: &Gpu, network: &Network, server: &Server, images: &ImageStore, options: TrainOptions) -> Result<Trainer> {
        let setting = |lanes: u32, slots: u32| TrainSetting {
            network,
            bases: server.bases,
            batch: options.batch,
            images_per_chunk: images.images_per_chunk,
            slot_capacity: slots,
            lane_capacity: lanes,
            steps: options.steps,
            scale: options.scale,
            masked_loss: options.masked_loss,
            momentum: options.momentum,
            weight_decay: options.weight_decay,
            tuning: options.tuning.unwrap_or(gpu.tuning()),
            keep_gradients: options.keep_activations,
        };
        let plan_for = |lanes, slots| {
            let mut p = TrainPlan::new(&setting(lanes, slots));
            if !options.keep_activations {
                p.plan.share_memory();
            }
            p
        };
        let footprint = plan_for(options.lanes, options.lanes).plan.footprint();
        let lanes = wave(gpu, options.limit, &footprint, 1, u64::from(options.lanes))?;
        // In the worst case every lane of a wave is another client's.
        let slots = lanes;
        let plan = plan_for(lanes, slots);
        let mut external = external(images, server, plan.images, plan.labels, plan.server);
        external.push((plan.average, server.average.clone()));
        let materials = Materials { lanes, slots, steps: options.steps, external, guarded: options.guarded };
        let program = Program::new(gpu, plan.plan.clone(), materials).await?;
        Ok(Trainer { plan, program, options, lanes_per_wave: lanes, slots_per_wave: slots, dispatches: 0, submits: 0 })
    }

    /// Bytes of staging that a round of so many lanes needs.
    pub fn staging_bytes(lanes: u32) -> u64 {
        u64::from(lanes) * TOTALS_BYTES
    }

    /// The program, for tests and benchmarks.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Lanes of a full wave.
    pub fn lanes_per_wave(&self) -> u32 {
        self.lanes_per_wave
    }

    /// Submits a round: local training of all clients, wave by wave, and the new average of every trained base.
    /// The lanes' counters go to `staging` at `offset`, in the order that [`Trainer::totals`] expects. Nothing is awaited.
    ///
    /// Lanes are ordered by their number of steps, longest first, so that the lanes still at work are always a prefix;
    /// clients of equal length keep their order. Averages add lanes in that order, whatever the waves.
    ///
    /// # Errors
    /// [`Error::Config`] where a client's work exceeds what the trainer was made for.
    pub fn round(
        &mut self,
        gpu: &Gpu,
        server: &Server,
        work: &[ClientWork],
        learning_rate: f32,
        staging: &Staging,
        offset: u64,
    ) -> Result<()> {
        let order = lane_order(work);
        for client in work {
            let longest = client.batches.iter().map(Vec::len).max().unwrap_or(0);
            if client.batches.len() > self.options.steps as usize || longest > self.options.batch as usize {
                return Err(Error::Config(format!(
                    "a client's {} steps of up to {longest} images exceed the {} × {} planned for",
                    client.batches.len(),
                    self.options.steps,
                    self.options.batch
                )));
            }
        }
        self.dispatches = 0;
        self.submits = 0;
        for (label, word) in &self.plan.learning_rates {
            self.program.set_word(gpu, label, *word, learning_rate.to_bits());
        }
        let mut encoder = self.encoder(gpu);
        server.begin(&mut encoder);
        let waves = order.len().div_ceil(self.lanes_per_wave as usize).max(1);
        let per_wave = order.len().div_ceil(waves).max(1);
        let mut done = 0u64;
        for lanes in order.chunks(per_wave) {
            encoder = self.wave(gpu, encoder, work, lanes);
            let bytes = lanes.len() as u64 * TOTALS_BYTES;
            self.program.copy_out(&mut encoder, self.plan.totals, bytes, staging, offset + done);
            done += bytes;
            // Tables of the next wave are written before its submit: this one must be on its way.
            self.submit(gpu, encoder);
            encoder = self.encoder(gpu);
        }
        let trained: BTreeSet<u32> = order.iter().map(|(client, i)| work[*client].bases[*i].0).collect();
        server.commit(&mut encoder, trained.into_iter());
        self.submit(gpu, encoder);
        gpu.check()
    }

    /// Counters of every client of the round, one a base it trained, out of the bytes that were read back.
    pub fn totals(work: &[ClientWork], bytes: &[u8]) -> Vec<Vec<Totals>> {
        let mut totals: Vec<Vec<Totals>> = work.iter().map(|c| vec![Totals::default(); c.bases.len()]).collect();
        for ((client, i), t) in lane_order(work).into_iter().zip(Totals::parse(bytes)) {
            totals[client][i] = t;
        }
        totals
    }

    fn encoder(&self, gpu: &Gpu) -> wgpu::CommandEncoder {
        gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("round") })
    }

    fn submit(&mut self, gpu: &Gpu, encoder: wgpu::CommandEncoder) {
        gpu.queue.submit([encoder.finish()]);
        self.submits += 1;
    }

    /// Records one wave, several local steps a submit. `lanes` are (client, index of its base).
    fn wave(&mut self, gpu: &Gpu, encoder: wgpu::CommandEncoder, work: &[ClientWork], lanes: &[(usize, usize)]) -> wgpu::CommandEncoder {
        let mut clients: Vec<usize> = Vec::new();
        let mut table = Vec::with_capacity(lanes.len() * 4);
        let mut members = Vec::with_capacity(lanes.len());
        for (lane, (client, i)) in lanes.iter().enumerate() {
            // Lanes of a client are neighbours.
            if clients.last() != Some(client) {
                clients.push(*client);
            }
            let (base, weight) = work[*client].bases[*i];
            table.extend([clients.len() as u32 - 1, lane as u32, base, 0]);
            members.push((base, weight));
        }
        let steps = clients.iter().map(|c| work[*c].batches.len()).max().unwrap_or(0);
        let row = 1 + self.options.batch as usize;
        let mut schedule = vec![0u32; steps * self.slots_per_wave as usize * row];
        for (slot, client) in clients.iter().enumerate() {
            for (step, batch) in work[*client].batches.iter().enumerate() {
                let at = (step * self.slots_per_wave as usize + slot) * row;
                schedule_row(&mut schedule[at..at + row], batch);
            }
        }
        let bases = self.server_bases();
        self.program.write(gpu, self.plan.lanes, 0, bytemuck::cast_slice(&table));
        self.program.write(gpu, self.plan.members, 0, bytemuck::cast_slice(&weighted_average::members(bases, &members)));
        self.program.write(gpu, self.plan.schedule, 0, bytemuck::cast_slice(&schedule));

        let mut encoder = encoder;
        let all = Active { lanes: lanes.len() as u32, slots: clients.len() as u32, step: 0 };
        self.program.clear(&mut encoder, self.plan.totals);
        self.dispatches += self.program.play(gpu, &mut encoder, "start", all);
        let flops = self.program.plan.flops("step", lanes.len() as u64, clients.len() as u64);
        let per_submit = steps_per_submit(gpu.info.device_type, flops);
        for step in 0..steps {
            let still = |c: &usize| work[*c].batches.len() > step;
            let active = Active {
                lanes: lanes.iter().take_while(|(c, _)| still(c)).count() as u32,
                slots: clients.iter().take_while(|c| still(c)).count() as u32,
                step: step as u32,
            };
            self.dispatches += self.program.play(gpu, &mut encoder, "step", active);
            if (step + 1) % per_submit == 0 && step + 1 < steps {
                self.submit(gpu, std::mem::replace(&mut encoder, self.encoder(gpu)));
            }
        }
        self.dispatches += self.program.play(gpu, &mut encoder, "finish", all);
        encoder
    }

    fn server_bases(&self) -> u32 {
        match self.program.plan.phase("finish")[0].over {
            crate::kernels::Over::Fixed(bases) => bases,
            _ => unreachable!("aggregation runs over bases"),
        }
    }
}

/// Local steps recorded for one submit, so that none runs near a second: systems take a device that works on one longer
/// for hung, and a display that shares it stands still.
fn steps_per_submit(kind: wgpu::DeviceType, flops_per_step: u64) -> usize {
    let at_most: u64 = match kind {
        wgpu::DeviceType::Cpu => 5_000_000_000,
        wgpu::DeviceType::DiscreteGpu => 500_000_000_000,
        _ => 50_000_000_000,
    };
    (at_most / flops_per_step.max(1)).clamp(1, 1000) as usize
}

/// All lanes as (client, index of its base), clients with more steps first.
fn lane_order(work: &[ClientWork]) -> Vec<(usize, usize)> {
    let mut clients: Vec<usize> = (0..work.len()).collect();
    clients.sort_by_key(|c| std::cmp::Reverse(work[*c].batches.len()));
    clients.into_iter().flat_map(|c| (0..work[c].bases.len()).map(move |i| (c, i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_devices_are_given_little_at_a_time() {
        let paper = 37_000_000_000; // 190 lanes × 32 of the Digits base
        assert_eq!(steps_per_submit(wgpu::DeviceType::Cpu, paper), 1);
        assert_eq!(steps_per_submit(wgpu::DeviceType::IntegratedGpu, paper), 1);
        assert_eq!(steps_per_submit(wgpu::DeviceType::DiscreteGpu, paper), 13);
        assert_eq!(steps_per_submit(wgpu::DeviceType::Cpu, 1_000_000), 1000);
    }
}
