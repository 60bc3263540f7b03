//! Evaluation of mixed bases: every width from one forward of the bases.

use super::{Batch, Ensemble, ImageStore, Limit, Rows, Staging, Totals, external, schedule, wave};
use crate::Result;
use crate::gpu::{Active, Gpu, Program, ProgramDescriptor};
use crate::net::Network;
use crate::plan::PhaseId;
use crate::plan::evaluate::{EvaluatePlan, EvaluateSetting};
use crate::plan::train::TOTALS_BYTES;

/// Settings of an evaluation.
#[derive(Debug, Clone)]
pub struct EvaluateOptions {
    /// Most images of a batch. Under batch statistics it is part of the result.
    pub batch: u32,
    /// Number of bases of each width, as 1, 2, 4, 8.
    pub widths: Vec<u32>,
    /// Which bases are mixed, and through which batch norms.
    pub ensemble: Ensemble,
    /// Most batches of a call.
    pub batches: u32,
    /// How much of the GPU to take.
    pub limit: Limit,
    /// Surround buffers with poison, for tests.
    pub guarded: bool,
}

/// The program of evaluation.
pub struct Evaluator {
    program: Program,
    plan: EvaluatePlan,
    options: EvaluateOptions,
    /// The bases, in the order of their lanes.
    bases: Vec<u32>,
    classes: u32,
    slots_per_wave: u32,
    /// Dispatches of the last call.
    pub dispatches: u64,
    /// Submits of the last call of [`Evaluator::submit`]: one a wave.
    pub submits: u64,
}

impl Evaluator {
    /// Builds the program for the bases that the largest width needs.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where a width asks for no base or more than there are, or not one batch fits; [`crate::Error::Gpu`]
    /// where the device refuses.
    pub async fn new(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, options: EvaluateOptions) -> Result<Evaluator> {
        let (bases, slots) = Evaluator::size(gpu, network, server, images, &options)?;
        let plan = Evaluator::plan(gpu, network, images, &options, bases.len(), options.batch, slots);
        let mut external = external(images, server, plan.images, plan.labels, plan.server);
        external.extend(plan.store.zip(options.ensemble.local.as_ref().map(|l| l.rows.buffer.clone())));
        let descriptor = ProgramDescriptor { lanes: slots * bases.len() as u32, slots, steps: 1, external, guarded: options.guarded };
        let program = Program::new(gpu, plan.plan.clone(), descriptor).await?;
        program.write(gpu, plan.widths, 0, bytemuck::cast_slice(&options.widths));
        Ok(Evaluator { program, plan, options, bases, classes: network.classes, slots_per_wave: slots, dispatches: 0, submits: 0 })
    }

    /// Checks that the program would fit, without making it.
    ///
    /// # Errors
    /// As [`Evaluator::new`].
    pub fn check(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, options: &EvaluateOptions) -> Result<()> {
        Evaluator::size(gpu, network, server, images, options).map(|_| ())
    }

    /// The bases, and the slots of a wave.
    fn size(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, options: &EvaluateOptions) -> Result<(Vec<u32>, u32)> {
        let (least, most) = (options.widths.iter().min().copied(), options.widths.iter().max().copied());
        let bases = options.ensemble.first(most.filter(|_| least != Some(0)).unwrap_or(0), network, server)?;
        let footprint = |batch| Evaluator::plan(gpu, network, images, options, bases.len(), batch, 1).plan.footprint();
        let slots = wave(gpu, options.limit, &footprint, options.batch, bases.len() as u64, u64::from(options.batches))?;
        Ok((bases, slots))
    }

    fn plan(
        gpu: &Gpu,
        network: &Network,
        images: &ImageStore,
        options: &EvaluateOptions,
        bases: usize,
        batch: u32,
        slots: u32,
    ) -> EvaluatePlan {
        let mut plan = EvaluatePlan::new(&EvaluateSetting {
            network,
            bases: bases as u32,
            widths: options.widths.len() as u32,
            batch,
            images_per_chunk: images.images_per_chunk,
            slot_capacity: slots,
            norms: options.ensemble.norms(),
            personal: options.ensemble.personal(),
            tuning: gpu.tuning(),
        });
        plan.plan.share_memory();
        plan
    }

    /// Runs other bases of the server, as many as before.
    ///
    /// # Panics
    /// For another number of them, or one that is not there.
    pub fn set_bases(&mut self, server: &Rows, bases: &[u32]) {
        assert!(bases.len() == self.bases.len() && bases.iter().all(|b| *b < server.count), "{bases:?} in place of {:?}", self.bases);
        self.bases = bases.to_vec();
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

    /// Bytes of staging that so many batches need.
    pub fn staging_bytes(&self, batches: usize) -> u64 {
        batches as u64 * self.options.widths.len() as u64 * TOTALS_BYTES
    }

    /// The program, for tests and benchmarks.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its phase that evaluates a wave.
    pub fn phase(&self) -> PhaseId {
        self.plan.evaluate
    }

    /// Batches of a full wave.
    pub fn slots_per_wave(&self) -> u32 {
        self.slots_per_wave
    }

    /// Submits the evaluation of batches of image indices, each of one client. Their counters go to `staging` at
    /// `offset`, `[batch][width]`. Nothing is awaited.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] where the device was lost or refused an earlier call.
    pub fn submit(&mut self, gpu: &Gpu, batches: &[Batch], staging: &Staging, offset: u64) -> Result<()> {
        self.dispatches = 0;
        let submits = gpu.counts().submits;
        let record = self.options.widths.len() as u64 * TOTALS_BYTES;
        for (wave, batches) in batches.chunks(self.slots_per_wave as usize).enumerate() {
            let mut encoder = self.encode(gpu, batches);
            let at = offset + wave as u64 * u64::from(self.slots_per_wave) * record;
            self.program.copy_out(&mut encoder, self.plan.totals, batches.len() as u64 * record, staging, at);
            gpu.submit(encoder);
        }
        self.submits = gpu.counts().submits - submits;
        gpu.check()
    }

    /// Counters `[batch][width]` out of the bytes that were read back.
    pub fn totals(&self, bytes: &[u8]) -> Vec<Vec<Totals>> {
        Totals::parse(bytes).chunks_exact(self.options.widths.len()).map(<[Totals]>::to_vec).collect()
    }

    /// Mean logits of batches of image indices, `[width][image][class]` over all batches in order. Awaits the result.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] where the device was lost.
    pub async fn logits(&mut self, gpu: &Gpu, batches: &[Batch]) -> Result<Vec<Vec<Vec<f32>>>> {
        let widths = self.options.widths.len();
        let mut out = vec![Vec::new(); widths];
        let row = self.classes.div_ceil(4) as usize * 4;
        for batches in batches.chunks(self.slots_per_wave as usize) {
            let encoder = self.encode(gpu, batches);
            gpu.submit(encoder);
            let bytes = self.program.read(gpu, &[self.plan.mixed]).await?.remove(0);
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
            for (slot, batch) in batches.iter().enumerate() {
                for (w, rows) in out.iter_mut().enumerate() {
                    for n in 0..batch.images.len() {
                        let at = ((slot * widths + w) * self.options.batch as usize + n) * row;
                        rows.push(values[at..at + self.classes as usize].to_vec());
                    }
                }
            }
        }
        Ok(out)
    }

    fn encode(&mut self, gpu: &Gpu, batches: &[Batch]) -> wgpu::CommandEncoder {
        let schedule = schedule(batches, self.slots_per_wave, self.options.batch);
        let lanes = self.options.ensemble.lanes(batches.iter().map(|b| b.client), &self.bases);
        self.program.write(gpu, self.plan.schedule, 0, bytemuck::cast_slice(&schedule));
        self.program.write(gpu, self.plan.lanes, 0, bytemuck::cast_slice(&lanes));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("evaluation") });
        let slots = batches.len() as u32;
        let active = Active { lanes: slots * self.bases.len() as u32, slots, step: 0 };
        self.dispatches += self.program.play(gpu, &mut encoder, self.plan.evaluate, active);
        encoder
    }
}
