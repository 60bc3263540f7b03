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
mod rows;
mod state;
mod trainer;

pub use crate::gpu::Staging;
pub use attacker::{AttackOptions, Attacked, Attacker, Pgd};
pub use corner::Corner;
pub use ensemble::{Batch, Ensemble};
pub use estimator::{EstimateOptions, check_estimate, estimate_statistics};
pub use evaluator::{EvaluateOptions, Evaluator};
pub use groups::{GroupSetting, GroupWork, LaneGroups};
pub use images::ImageStore;
pub use rows::{ClientRows, Rows};
pub use state::{ControlVariates, OptimizerState, TrainingState};
pub use trainer::{
    Adaptive, Adversarial, Augment, ClientWork, Compared, Distances, LocalTraining, Narrower, Optimizer, Rule, ServerOptimizer,
    TrainOptions, Trainer,
};

use crate::error::option_name;
use crate::gpu::Gpu;
use crate::kernels::BufferId;
use crate::net::SMALLEST_BATCH;
use crate::plan::{Capacity, Footprint};
use crate::{Error, Result};

/// How much of the GPU a program may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Most bytes of buffers of one program, or of all that [`share`](Self::share) it; `None` is 4 GiB.
    pub memory: Option<u64>,
    /// Most lanes of a wave; `None` is as many as fit.
    pub lanes: Option<u32>,
    /// The key of the option that sets the images of a batch, to be advised where one does not fit.
    pub batch: &'static str,
}

impl Default for Limit {
    /// What the program takes where nothing is set, in batches of training.
    fn default() -> Limit {
        Limit { memory: None, lanes: None, batch: "batch-size" }
    }
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
    server: &Rows,
    image_ids: [BufferId; 2],
    labels: BufferId,
    bases: BufferId,
) -> Vec<(BufferId, wgpu::Buffer)> {
    vec![
        (image_ids[0], images.chunks[0].clone()),
        (image_ids[1], images.chunks[1].clone()),
        (labels, images.labels.clone()),
        (bases, server.buffer.clone()),
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

/// Slots of a wave of batches of `batch` images: as many as fit the adapter and the user's limit, and no more than `wanted`. What a
/// slot needs is asked for by the images of its batch.
pub(crate) fn wave(
    gpu: &Gpu,
    limit: Limit,
    footprint: &dyn Fn(u32) -> Footprint,
    batch: u32,
    lanes_per_slot: u64,
    wanted: u64,
) -> Result<u32> {
    let capacity = Capacity { binding: gpu.largest_binding(), memory: limit.memory.unwrap_or(UNLIMITED), lanes: limit.lanes };
    let fit = footprint(batch).slots_that_fit(capacity, lanes_per_slot);
    if fit == 0 {
        return Err(Error::Config(too_large(capacity, limit.batch, footprint, batch, lanes_per_slot)));
    }
    // Waves of equal size waste least.
    let waves = wanted.max(1).div_ceil(fit);
    Ok(wanted.max(1).div_ceil(waves) as u32)
}

/// Why not one slot fits, and what helps: the largest batch that does, or more memory.
fn too_large(capacity: Capacity, option: &str, footprint: &dyn Fn(u32) -> Footprint, batch: u32, lanes_per_slot: u64) -> String {
    let largest = |capacity: Capacity| {
        let fits = |batch: u32| footprint(batch).slots_that_fit(capacity, lanes_per_slot) > 0;
        let (mut low, mut high) = (SMALLEST_BATCH as u32, batch);
        // Memory grows with the batch.
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        Some(low).filter(|batch| fits(*batch))
    };
    let f = footprint(batch);
    let (buffer, all) = ((f.largest_per_lane * lanes_per_slot).max(f.largest_per_slot), f.bytes(lanes_per_slot, 1));
    let mb = |bytes: u64| bytes as f64 * 1e-6;
    let binds = buffer <= capacity.binding;
    let what = match binds {
        false => format!("a buffer of {:.1} MB, and this adapter binds at most {:.1} MB", mb(buffer), mb(capacity.binding)),
        true => format!("{:.1} MB, and the memory limit leaves {:.1} MB for it", mb(all), mb(capacity.memory)),
    };
    let (memory, option) = (option_name("memory-limit"), option_name(option));
    let advice = match (largest(capacity), largest(Capacity { memory: u64::MAX, ..capacity })) {
        (Some(fits), _) if binds => format!("raise {memory}, or lower {option} to {fits}"),
        (Some(fits), _) => format!("lower {option} to {fits}"),
        (None, Some(fits)) if fits == batch => format!("raise {memory}"),
        (None, Some(fits)) => format!("raise {memory}, and lower {option} to {fits}"),
        (None, None) => "no batch fits: choose narrower bases, a smaller network or another adapter".into(),
    };
    format!("a batch of {batch} images needs {what}: {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three buffers of 1 MB an image and lane, and 10 MB in all.
    fn footprint(batch: u32) -> Footprint {
        let each = u64::from(batch) * 1_000_000;
        Footprint { per_lane: 3 * each, largest_per_lane: each, per_slot: 0, largest_per_slot: 0, fixed: 10_000_000 }
    }

    #[test]
    fn advice_where_a_batch_does_not_fit_is_what_helps() {
        let told = |binding, memory, batch| {
            let capacity = Capacity { binding, memory, lanes: None };
            assert_eq!(footprint(batch).slots_that_fit(capacity, 1), 0);
            too_large(capacity, "eval-batch-size", &footprint, batch, 1)
        };
        const MB: u64 = 1_000_000;
        assert_eq!(
            told(100 * MB, u64::MAX, 128),
            "a batch of 128 images needs a buffer of 128.0 MB, and this adapter binds at most 100.0 MB: lower --eval-batch-size to 100"
        );
        assert_eq!(
            told(1000 * MB, 70 * MB, 128),
            "a batch of 128 images needs 394.0 MB, and the memory limit leaves 70.0 MB for it: raise --memory-limit, or lower \
             --eval-batch-size to 20"
        );
        assert!(told(1000 * MB, 5 * MB, 128).ends_with(": raise --memory-limit"));
        assert!(told(100 * MB, 5 * MB, 128).ends_with(": raise --memory-limit, and lower --eval-batch-size to 100"));
        assert!(told(2 * MB, u64::MAX, 128).ends_with(": no batch fits: choose narrower bases, a smaller network or another adapter"));
    }
}
