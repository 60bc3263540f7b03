//! Attacks on the images of mixed bases, and what the mix says of the attacked images.

use super::{Batch, Ensemble, ImageStore, Limit, Rows, Staging, Totals, external, schedule, wave};
use crate::gpu::{Active, Gpu, Program, ProgramDescriptor};
use crate::kernels::ImageLayout;
use crate::net::Network;
use crate::plan::attack::{AttackPlan, AttackSetting};
use crate::plan::train::TOTALS_BYTES;
use crate::{Error, Result};

/// Projected gradient descent within an L∞ ball around each image, whose pixels lie in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pgd {
    /// Radius of the start's noise: 0 starts from the clean image.
    pub start: f32,
    /// Radius of the ball.
    pub epsilon: f32,
    /// Size of a step along the sign of the loss's gradient: below 0 where the loss is a target's.
    pub step_size: f32,
    /// Number of steps.
    pub steps: u32,
    /// Number of tries, of which each image's worst counts.
    pub restarts: u32,
    /// Whether it goes towards other classes: the one after the label, in the next try the one after that, and so on in a circle.
    pub targeted: bool,
}

impl Pgd {
    /// Places from a label to the class whose loss the try is about: 0 for the label itself.
    pub fn shift(&self, restart: u32, classes: u32) -> u32 {
        if self.targeted { 1 + restart % (classes - 1).max(1) } else { 0 }
    }
}

/// Settings of an attack.
#[derive(Debug, Clone)]
pub struct AttackOptions {
    /// The attack.
    pub attack: Pgd,
    /// Bases mixed: the first so many of the ensemble's order.
    pub bases: u32,
    /// Which bases are mixed, and through which batch norms; the attack differentiates through them.
    pub ensemble: Ensemble,
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
    bases: Vec<u32>,
    classes: u32,
    slots_per_wave: u32,
    round: u32,
}

/// What an attack did to a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Attacked {
    /// The mix's counters, each image's from its worst restart: the largest loss, and correct only where it always was.
    pub totals: Totals,
    /// Images whose gradient was 0 at every step of every restart: the attack had nothing to go by.
    pub without_gradient: u32,
}

impl Attacker {
    /// Builds the program.
    ///
    /// # Errors
    /// [`Error::Config`] where there are not so many bases or not one batch fits; [`Error::Gpu`] where the device refuses.
    pub async fn new(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, options: AttackOptions) -> Result<Attacker> {
        let (bases, slots) = Attacker::size(gpu, network, server, images, &options)?;
        let plan = Attacker::plan(gpu, network, images, &options, options.batch, slots);
        let mut external = external(images, server, plan.images, plan.labels, plan.server);
        external.extend(plan.store.zip(options.ensemble.local.as_ref().map(|l| l.rows.buffer.clone())));
        let descriptor = ProgramDescriptor { lanes: slots * options.bases, slots, steps: 1, external, guarded: options.guarded };
        let program = Program::new(gpu, plan.plan.clone(), descriptor).await?;
        program.write(gpu, plan.widths, 0, bytemuck::bytes_of(&options.bases));
        Ok(Attacker { program, plan, options, bases, classes: network.classes, slots_per_wave: slots, round: 0 })
    }

    /// Checks that the program would fit, without making it.
    ///
    /// # Errors
    /// As [`Attacker::new`].
    pub fn check(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, options: &AttackOptions) -> Result<()> {
        Attacker::size(gpu, network, server, images, options).map(|_| ())
    }

    /// The bases, and the slots of a wave.
    fn size(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, options: &AttackOptions) -> Result<(Vec<u32>, u32)> {
        let bases = options.ensemble.first(options.bases, network, server)?;
        let footprint = |batch| Attacker::plan(gpu, network, images, options, batch, 1).plan.footprint();
        let slots = wave(gpu, options.limit, &footprint, options.batch, u64::from(options.bases), u64::from(options.batches))?;
        Ok((bases, slots))
    }

    fn plan(gpu: &Gpu, network: &Network, images: &ImageStore, options: &AttackOptions, batch: u32, slot_capacity: u32) -> AttackPlan {
        let mut plan = AttackPlan::new(&AttackSetting {
            network,
            bases: options.bases,
            batch,
            images_per_chunk: images.images_per_chunk,
            slot_capacity,
            seed: options.seed,
            start: options.attack.start,
            epsilon: options.attack.epsilon,
            alpha: options.attack.step_size,
            norms: options.ensemble.norms(),
            personal: options.ensemble.personal(),
            tuning: gpu.tuning(),
        });
        plan.plan.share_memory();
        plan
    }

    /// Asks each client's own base from now on, where the ensemble has such.
    pub fn set_own(&mut self, own: &Option<Vec<u32>>) {
        self.options.ensemble.own.clone_from(own);
    }

    /// Chooses another share of the adversarial batch norms, in [0, 1].
    ///
    /// # Panics
    /// For a share outside.
    pub fn set_lambda(&mut self, gpu: &Gpu, lambda: f32) {
        assert!((0.0..=1.0).contains(&lambda), "lambda {lambda}");
        self.program.set(gpu, &self.plan.norms, "lambda", lambda);
    }

    /// Batches of a full wave.
    pub fn slots_per_wave(&self) -> u32 {
        self.slots_per_wave
    }

    /// Chooses among random starts: another round starts at other noise, the same one at the same.
    pub fn set_round(&mut self, round: u32) {
        self.round = round;
    }

    /// Attacks batches of images, each of one client. Nothing is awaited between steps.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn attack(&mut self, gpu: &Gpu, batches: &[Batch]) -> Result<Vec<Attacked>> {
        self.run(gpu, batches, self.options.attack.steps, self.options.attack.restarts).await
    }

    /// What the mix says where the first restart's steps begin: before the attack but for its random start.
    ///
    /// # Errors
    /// As [`Attacker::attack`].
    pub async fn start(&mut self, gpu: &Gpu, batches: &[Batch]) -> Result<Vec<Attacked>> {
        self.run(gpu, batches, 0, 1).await
    }

    async fn run(&mut self, gpu: &Gpu, batches: &[Batch], steps: u32, restarts: u32) -> Result<Vec<Attacked>> {
        let staging = Staging::new(gpu, self.staging_bytes(batches.len()));
        self.submit_steps(gpu, batches, steps, restarts, &staging, 0)?;
        Ok(self.results(batches, &staging.read(gpu).await?))
    }

    /// Bytes of staging that an attack on so many batches needs.
    pub fn staging_bytes(&self, batches: usize) -> u64 {
        batches.max(1) as u64 * TOTALS_BYTES + batches as u64 * self.moved_bytes()
    }

    fn moved_bytes(&self) -> u64 {
        u64::from(self.options.batch) * 4
    }

    /// Submits an attack on batches of images; what it finds goes to `staging` at `offset`.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub fn submit(&mut self, gpu: &Gpu, batches: &[Batch], staging: &Staging, offset: u64) -> Result<()> {
        self.submit_steps(gpu, batches, self.options.attack.steps, self.options.attack.restarts, staging, offset)
    }

    fn submit_steps(&mut self, gpu: &Gpu, batches: &[Batch], steps: u32, restarts: u32, staging: &Staging, offset: u64) -> Result<()> {
        let moved_bytes = self.moved_bytes();
        let moved = offset + batches.len().max(1) as u64 * TOTALS_BYTES;
        for (wave, batches) in batches.chunks(self.slots_per_wave as usize).enumerate() {
            let first = wave as u64 * u64::from(self.slots_per_wave);
            let slots = batches.len() as u64;
            for restart in 0..restarts {
                let mut encoder = self.encode(gpu, batches, steps, restart);
                self.program.play(gpu, &mut encoder, self.plan.finish, self.active(batches));
                if restart + 1 == restarts {
                    self.program.copy_out(&mut encoder, self.plan.totals, slots * TOTALS_BYTES, staging, offset + first * TOTALS_BYTES);
                    self.program.copy_out(&mut encoder, self.plan.moved, slots * moved_bytes, staging, moved + first * moved_bytes);
                }
                gpu.submit(encoder);
            }
        }
        gpu.check()
    }

    /// What an attack on these batches found, out of the bytes that were read back.
    pub fn results(&self, batches: &[Batch], bytes: &[u8]) -> Vec<Attacked> {
        let (totals, moved) = bytes[..self.staging_bytes(batches.len()) as usize].split_at(batches.len().max(1) * TOTALS_BYTES as usize);
        let moved: Vec<u32> = bytemuck::pod_collect_to_vec(moved);
        let of_batch = |(i, totals): (usize, Totals)| {
            let own = &moved[i * self.options.batch as usize..][..batches[i].images.len()];
            Attacked { totals, without_gradient: own.iter().filter(|m| **m == 0).count() as u32 }
        };
        Totals::parse(totals).into_iter().take(batches.len()).enumerate().map(of_batch).collect()
    }

    /// Attacks batches of images once and returns the attacked images, `[batch][image]` of H·W·C values in [0, 1].
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost.
    pub async fn images(&mut self, gpu: &Gpu, batches: &[Batch]) -> Result<Vec<Vec<Vec<f32>>>> {
        let mut out = Vec::new();
        for batches in batches.chunks(self.slots_per_wave as usize) {
            let encoder = self.encode(gpu, batches, self.options.attack.steps, 0);
            gpu.submit(encoder);
            out.extend(self.read_images(gpu, batches).await?);
        }
        Ok(out)
    }

    /// Takes so many steps from given images on, `[batch][image]` of H·W·C values, each in the ball around the batch's image.
    ///
    /// # Errors
    /// [`Error::Config`] where a batch has other images than indices or an image another size, [`Error::Gpu`] where the device
    /// was lost.
    pub async fn advance(&mut self, gpu: &Gpu, batches: &[Batch], from: &[Vec<Vec<f32>>], steps: u32) -> Result<Vec<Vec<Vec<f32>>>> {
        let (id, layout) = self.plan.attacked;
        let fits = |(b, images): (&Batch, &Vec<Vec<f32>>)| {
            b.images.len() == images.len() && images.iter().all(|i| i.len() == layout.shape.len() as usize)
        };
        if batches.len() != from.len() || !batches.iter().zip(from).all(fits) {
            return Err(Error::Config(format!("images to advance must be those of the batches, of {} values each", layout.shape.len())));
        }
        let mut out = Vec::new();
        let per_wave = self.slots_per_wave as usize;
        for (batches, from) in batches.chunks(per_wave).zip(from.chunks(per_wave)) {
            let start = self.encode(gpu, batches, 0, 0);
            gpu.submit(start);
            let each = layout.bytes(self.options.batch);
            for (slot, images) in (0..).zip(from) {
                let mut values = vec![0f32; each as usize / 4];
                images.iter().enumerate().for_each(|(n, image)| places(layout, n).zip(image).for_each(|(at, v)| values[at] = *v));
                self.program.write(gpu, id, slot * each, bytemuck::cast_slice(&values));
            }
            let mut encoder = self.encoder(gpu);
            self.steps(gpu, &mut encoder, self.active(batches), steps);
            gpu.submit(encoder);
            out.extend(self.read_images(gpu, batches).await?);
        }
        Ok(out)
    }

    async fn read_images(&self, gpu: &Gpu, batches: &[Batch]) -> Result<Vec<Vec<Vec<f32>>>> {
        let (id, layout) = self.plan.attacked;
        let bytes = self.program.read(gpu, &[id]).await?.remove(0);
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let image = |n| places(layout, n).map(|at| values[at]).collect();
        let of_slot = |(slot, b): (usize, &Batch)| (0..b.images.len()).map(|n| image(slot * self.options.batch as usize + n)).collect();
        Ok(batches.iter().enumerate().map(of_slot).collect())
    }

    fn active(&self, batches: &[Batch]) -> Active {
        let slots = batches.len() as u32;
        Active { lanes: slots * self.options.bases, slots, step: 0 }
    }

    /// Start and steps of a wave.
    fn encode(&mut self, gpu: &Gpu, batches: &[Batch], steps: u32, restart: u32) -> wgpu::CommandEncoder {
        let shift = self.options.attack.shift(restart, self.classes);
        let noise = self.round.wrapping_mul(self.options.attack.restarts).wrapping_add(restart);
        self.program.set(gpu, &self.plan.noise, "round", noise);
        self.program.set(gpu, &self.plan.restarts, "restart", restart);
        self.program.set(gpu, &self.plan.loss, "shift", shift);
        let schedule = schedule(batches, self.slots_per_wave, self.options.batch);
        let lanes = self.options.ensemble.lanes(batches.iter().map(|b| b.client), &self.bases);
        self.program.write(gpu, self.plan.schedule, 0, bytemuck::cast_slice(&schedule));
        self.program.write(gpu, self.plan.lanes, 0, bytemuck::cast_slice(&lanes));
        let mut encoder = self.encoder(gpu);
        let active = self.active(batches);
        self.program.play(gpu, &mut encoder, self.plan.start, active);
        self.steps(gpu, &mut encoder, active, steps);
        encoder
    }

    fn encoder(&self, gpu: &Gpu) -> wgpu::CommandEncoder {
        gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("attack") })
    }

    fn steps(&self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, active: Active, steps: u32) {
        for _ in 0..steps {
            self.program.play(gpu, encoder, self.plan.step, active);
        }
    }
}

/// Places of an image's H·W·C values in a buffer of stored images.
fn places(layout: ImageLayout, n: usize) -> impl Iterator<Item = usize> {
    let shape = layout.shape;
    let start = n * layout.image() as usize + layout.origin(0) as usize;
    let pixel = move |y: u32, x: u32| (start + (y * layout.row() + x * layout.blocks()) as usize) * 4;
    let pixels = (0..shape.height).flat_map(move |y| (0..shape.width).map(move |x| (y, x)));
    pixels.flat_map(move |(y, x)| (0..shape.channels as usize).map(move |c| pixel(y, x) + c))
}
