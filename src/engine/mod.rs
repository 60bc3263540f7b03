//! Running federated work on a GPU: images uploaded once, rounds and evaluations split into waves of lanes.
//!
//! [`Trainer`] and [`Evaluator`] take plain lists — which client trains which bases on which images — and submit the
//! dispatches of a [`crate::plan`]. They know nothing of budgets or aggregation rules; [`crate::fl`] decides those.
//! Results wait in one [`Staging`] buffer, which the caller reads back once a round.

mod attacker;
mod corner;
mod ensemble;
mod estimator;
mod evaluator;
mod groups;
mod images;
mod local;
mod server;
mod trainer;

pub use crate::gpu::Staging;
pub use attacker::{AttackOptions, Attacked, Attacker};
pub use corner::Corner;
pub use ensemble::{Batch, Ensemble};
pub use estimator::{EstimateOptions, estimate_statistics};
pub use evaluator::{EvaluateOptions, Evaluator};
pub use groups::{GroupSetting, GroupWork, LaneGroups};
pub use images::ImageStore;
pub use local::LocalNorms;
pub use server::Server;
pub use trainer::{Adversarial, Augment, ClientWork, Narrower, Optimizer, TrainOptions, Trainer};

use crate::gpu::Gpu;
use crate::kernels::BufferId;
use crate::plan::{Capacity, Footprint};
use crate::{Error, Result};

/// How much of the GPU a program may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Most bytes of buffers of one program, or of all that [`share`](Self::share) it; `None` is 4 GiB.
    pub memory: Option<u64>,
    /// Most lanes of a wave; `None` is as many as fit.
    pub lanes: Option<u32>,
}

/// Bytes that a program takes at most where nothing is said: no adapter tells how many it has.
const UNLIMITED: u64 = 4 << 30;

impl Limit {
    /// The same with `taken` bytes less, and of the rest so many eighths: where programs share what a user allows.
    pub fn share(self, taken: u64, eighths: u64) -> Limit {
        Limit { memory: Some(self.memory.unwrap_or(UNLIMITED).saturating_sub(taken) / 8 * eighths), ..self }
    }

    /// An equal part of it for each of so many programs.
    pub fn split(self, programs: u64) -> Limit {
        if programs <= 1 { self } else { Limit { memory: Some(self.memory.unwrap_or(UNLIMITED) / programs), ..self } }
    }
}

/// Loss, correct predictions and samples, summed over something.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Sum of the samples' cross entropies.
    pub loss: f32,
    /// Correct predictions.
    pub correct: u32,
    /// Samples seen.
    pub samples: u32,
}

impl Totals {
    /// Reads the kernels' records of four words.
    fn parse(bytes: &[u8]) -> Vec<Totals> {
        let word = |record: &[u8], i: usize| u32::from_le_bytes(record[4 * i..4 * i + 4].try_into().expect("four bytes"));
        bytes.chunks_exact(16).map(|r| Totals { loss: f32::from_bits(word(r, 0)), correct: word(r, 1), samples: word(r, 2) }).collect()
    }

    /// Share of samples predicted correctly, 0 where there were none.
    pub fn accuracy(&self) -> f64 {
        if self.samples == 0 { 0.0 } else { f64::from(self.correct) / f64::from(self.samples) }
    }
}

/// The buffers that plans are brought: images, labels and bases, by their ids in the plan.
pub(crate) fn external(
    images: &ImageStore,
    server: &Server,
    image_ids: [BufferId; 2],
    labels: BufferId,
    bases: BufferId,
) -> Vec<(BufferId, wgpu::Buffer)> {
    vec![
        (image_ids[0], images.chunks[0].clone()),
        (image_ids[1], images.chunks[1].clone()),
        (labels, images.labels.clone()),
        (bases, server.parameters.clone()),
    ]
}

/// Writes a batch's row of a schedule: its size, then its images.
///
/// # Panics
/// Where the batch is larger than the row: callers plan for the largest.
fn schedule_row(row: &mut [u32], batch: &[u32]) {
    assert!(batch.len() < row.len(), "a batch of {} images exceeds {}", batch.len(), row.len() - 1);
    row[0] = batch.len() as u32;
    row[1..=batch.len()].copy_from_slice(batch);
}

/// A schedule of one batch a slot, with room for so many slots of so many images.
fn schedule(batches: &[Batch], slots: u32, batch: u32) -> Vec<u32> {
    let row = 1 + batch as usize;
    let mut schedule = vec![0; slots as usize * row];
    schedule.chunks_exact_mut(row).zip(batches).for_each(|(row, batch)| schedule_row(row, &batch.images));
    schedule
}

/// Slots of a wave: as many as fit the adapter and the user's limit, and no more than `wanted`.
pub(crate) fn wave(gpu: &Gpu, limit: Limit, footprint: &Footprint, lanes_per_slot: u64, wanted: u64) -> Result<u32> {
    let memory = limit.memory.unwrap_or(UNLIMITED);
    let capacity = Capacity { binding: gpu.largest_binding(), memory, lanes: limit.lanes };
    let fit = footprint.slots_that_fit(capacity, lanes_per_slot);
    if fit == 0 {
        let one = footprint.fixed + footprint.per_lane * lanes_per_slot + footprint.per_slot;
        return Err(Error::Config(format!(
            "the smallest wave needs {:.1} MB with buffers of up to {:.1} MB, but the memory limit is {:.1} MB and this adapter binds {:.1} MB: \
             raise --memory-limit or lower the batch size (--batch-size in training, --eval-batch-size in tests)",
            one as f64 * 1e-6,
            (footprint.largest_per_lane * lanes_per_slot).max(footprint.largest_per_slot) as f64 * 1e-6,
            memory as f64 * 1e-6,
            capacity.binding as f64 * 1e-6
        )));
    }
    // Waves of equal size waste least.
    let waves = wanted.max(1).div_ceil(fit);
    Ok(wanted.max(1).div_ceil(waves) as u32)
}
