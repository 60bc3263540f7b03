//! Attacks on the images of mixed bases, and what the mix says of the attacked images.

use super::{ImageStore, Limit, Server, Staging, Totals, wave};
use crate::fl::Attack;
use crate::gpu::{Active, Gpu, Materials, Program};
use crate::kernels::ImageLayout;
use crate::kernels::attack::AttackImages;
use crate::net::Network;
use crate::plan::attack::{AttackPlan, AttackSetting};
use crate::plan::train::TOTALS_BYTES;
use crate::{Error, Result};

/// Settings of an attack.
#[derive(Debug, Clone)]
pub struct AttackOptions {
    /// The attack.
    pub attack: Attack,
    /// Bases mixed: the first so many.
    pub bases: u32,
    /// Most images of a batch. Under batch statistics it is part of the result.
    pub batch: u32,
    /// Most batches of a call.
    pub batches: u32,
    /// Seed of the random start.
    pub seed: u32,
    /// How much of the GPU to take.
    pub limit: Limit,
    /// Surround buffers with poison, for tests.
    pub guarded: bool,
}

/// The program of an attack.
pub struct Attacker {
    program: Program,
    plan: AttackPlan,
    options: AttackOptions,
    slots_per_wave: u32,
}

const START: &str = "attack start";

impl Attacker {
    /// Builds the program.
    ///
    /// # Errors
    /// [`Error::Config`] where there are not so many bases or not one batch fits; [`Error::Gpu`] where the device refuses.
    pub async fn new(gpu: &Gpu, network: &Network, server: &Server, images: &ImageStore, options: AttackOptions) -> Result<Attacker> {
        let bases = options.bases;
        if bases == 0 || bases > server.bases {
            return Err(Error::Config(format!("{bases} bases to attack, but the model has {}: ask for 1 to {0}", server.bases)));
        }
        let plan_for = |slot_capacity| {
            let mut p = AttackPlan::new(&AttackSetting {
                network,
                bases,
                batch: options.batch,
                images_per_chunk: images.images_per_chunk,
                slot_capacity,
                seed: options.seed,
                start: options.attack.start(),
                epsilon: options.attack.epsilon(),
                alpha: options.attack.step_size(),
                tuning: gpu.tuning(),
            });
            p.plan.share_memory();
            p
        };
        let footprint = plan_for(1).plan.footprint();
        let slots = wave(gpu, options.limit, &footprint, u64::from(bases), u64::from(options.batches))?;
        let plan = plan_for(slots);
        let external = vec![
            (plan.images[0], images.chunks[0].clone()),
            (plan.images[1], images.chunks[1].clone()),
            (plan.labels, images.labels.clone()),
            (plan.server, server.parameters.clone()),
        ];
        let materials = Materials { lanes: slots * bases, slots, steps: 1, external, guarded: options.guarded };
        let program = Program::new(gpu, plan.plan.clone(), materials).await?;
        program.write(gpu, plan.widths, 0, bytemuck::bytes_of(&bases));
        let lanes: Vec<u32> = (0..slots).flat_map(|s| (0..bases).flat_map(move |b| [s, b, b, 0])).collect();
        program.write(gpu, plan.lanes, 0, bytemuck::cast_slice(&lanes));
        Ok(Attacker { program, plan, options, slots_per_wave: slots })
    }

    /// Batches of a full wave.
    pub fn slots_per_wave(&self) -> u32 {
        self.slots_per_wave
    }

    /// Chooses among random starts: another round starts at other noise, the same one at the same.
    pub fn set_round(&mut self, gpu: &Gpu, round: u32) {
        self.program.set_word(gpu, START, AttackImages::ROUND_WORD, round);
    }

    /// Attacks batches of image indices, each of one client, and returns the mix's counters of each on its attacked
    /// images. A submit a wave; nothing is awaited between steps.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn totals(&mut self, gpu: &Gpu, batches: &[Vec<u32>]) -> Result<Vec<Totals>> {
        let staging = Staging::new(gpu, batches.len().max(1) as u64 * TOTALS_BYTES);
        for (wave, batches) in batches.chunks(self.slots_per_wave as usize).enumerate() {
            let mut encoder = self.encode(gpu, batches);
            self.program.play(gpu, &mut encoder, "finish", self.active(batches));
            let at = wave as u64 * u64::from(self.slots_per_wave) * TOTALS_BYTES;
            self.program.copy_out(&mut encoder, self.plan.totals, batches.len() as u64 * TOTALS_BYTES, &staging, at);
            gpu.queue.submit([encoder.finish()]);
        }
        gpu.check()?;
        Ok(Totals::parse(&staging.read(gpu).await?)[..batches.len()].to_vec())
    }

    /// Attacks batches of image indices and returns the attacked images, `[batch][image]` of H·W·C values in [0, 1].
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn images(&mut self, gpu: &Gpu, batches: &[Vec<u32>]) -> Result<Vec<Vec<Vec<f32>>>> {
        let (id, layout) = self.plan.attacked;
        let mut out = Vec::new();
        for batches in batches.chunks(self.slots_per_wave as usize) {
            let encoder = self.encode(gpu, batches);
            gpu.queue.submit([encoder.finish()]);
            let bytes = self.program.read(gpu, &[id]).await?.remove(0);
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            for (slot, batch) in batches.iter().enumerate() {
                let first = slot * self.options.batch as usize;
                out.push((0..batch.len()).map(|n| image(&values, layout, first + n)).collect());
            }
        }
        Ok(out)
    }

    fn active(&self, batches: &[Vec<u32>]) -> Active {
        let slots = batches.len() as u32;
        Active { lanes: slots * self.options.bases, slots, step: 0 }
    }

    /// Start and steps of a wave.
    fn encode(&mut self, gpu: &Gpu, batches: &[Vec<u32>]) -> wgpu::CommandEncoder {
        let row = 1 + self.options.batch as usize;
        let mut schedule = vec![0u32; self.slots_per_wave as usize * row];
        for (slot, batch) in batches.iter().enumerate() {
            assert!(batch.len() < row, "a batch of {} images exceeds {}", batch.len(), self.options.batch);
            schedule[slot * row] = batch.len() as u32;
            schedule[slot * row + 1..slot * row + 1 + batch.len()].copy_from_slice(batch);
        }
        self.program.write(gpu, self.plan.schedule, 0, bytemuck::cast_slice(&schedule));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("attack") });
        let active = self.active(batches);
        self.program.play(gpu, &mut encoder, "start", active);
        for _ in 0..self.options.attack.steps() {
            self.program.play(gpu, &mut encoder, "step", active);
        }
        encoder
    }
}

/// H·W·C values of one stored image.
fn image(values: &[f32], layout: ImageLayout, n: usize) -> Vec<f32> {
    let shape = layout.shape;
    let start = n * layout.image() as usize + layout.origin(0) as usize;
    let pixel = |y: u32, x: u32| (start + (y * layout.row() + x * layout.blocks()) as usize) * 4;
    let pixels = (0..shape.height).flat_map(|y| (0..shape.width).map(move |x| (y, x)));
    pixels.flat_map(|(y, x)| values[pixel(y, x)..pixel(y, x) + shape.channels as usize].to_vec()).collect()
}
