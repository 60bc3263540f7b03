//! Plans: the buffers of a computation and the list of dispatches over them, built from a network without a GPU.
//!
//! [`train`] is the local work of a wave of lanes, [`estimate`] that of re-estimating batch norm's statistics, [`evaluate`] a forward of every base and the mixing of their logits,
//! [`attack`] an attack on the images of mixed bases, [`input_gradient`] what one step of an attack on single bases needs.
//! A plan knows nothing of wgpu: [`crate::gpu::Program`] makes buffers and pipelines from it.

pub mod attack;
mod backward;
pub mod corner;
pub mod estimate;
pub mod evaluate;
mod forward;
mod gathered;
pub mod input_gradient;
mod memory;
pub mod train;

use crate::kernels::{BufferId, Dispatch, ImageLayout};
pub use gathered::EvaluationNorms;
pub use memory::Memory;
use std::fmt::Write as _;

/// How many bytes a buffer has, by what it is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// So many for every lane of a wave.
    PerLane(u64),
    /// So many for every client slot of a wave.
    PerSlot(u64),
    /// So many in all.
    Fixed(u64),
    /// Brought by the caller when the program is made.
    External,
}

impl Extent {
    /// Bytes a lane, a slot or in all; 0 for what the caller brings.
    pub fn bytes(&self) -> u64 {
        match *self {
            Extent::PerLane(n) | Extent::PerSlot(n) | Extent::Fixed(n) => n,
            Extent::External => 0,
        }
    }
}

/// For how long a buffer keeps what was written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// From step to step, or until the host reads it.
    Always,
    /// From its first dispatch to its last in one run of a phase; its memory may serve others before and after.
    Transient,
    /// Transient, with a zero border that nobody writes: its memory serves others of these measures only.
    Bordered {
        /// vec4 of a stored row.
        row: u32,
        /// vec4 of a stored image.
        image: u32,
        /// Width of the border.
        border: u32,
    },
}

/// A buffer of a plan.
#[derive(Debug, Clone)]
pub struct BufferSpec {
    /// What it holds, as in `conv1 z`.
    pub label: String,
    /// Its size.
    pub extent: Extent,
    /// How long it is needed.
    pub kept: Kept,
}

/// A phase of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PhaseId(usize);

impl PhaseId {
    /// Its place among the plan's phases.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Dispatches of a plan that are set something between submits, as the learning rate of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled(Vec<(usize, usize)>);

impl Labelled {
    /// The dispatches, as (phase, place in it).
    pub(crate) fn places(&self) -> &[(usize, usize)] {
        &self.0
    }
}

/// Buffers and phases of dispatches.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The buffers; a [`BufferId`] is an index here.
    pub buffers: Vec<BufferSpec>,
    /// Name and dispatches of each phase; a [`PhaseId`] is an index here.
    pub phases: Vec<(&'static str, Vec<Dispatch>)>,
    /// Where the buffers lie, once [`Plan::share_memory`] has settled it; else each has its own memory.
    pub shared: Option<Memory>,
}

/// Bytes of one lane's or slot's share of a plan, and what has a fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Sum over per-lane buffers.
    pub per_lane: u64,
    /// Largest of them.
    pub largest_per_lane: u64,
    /// Sum over per-slot buffers.
    pub per_slot: u64,
    /// Largest of them.
    pub largest_per_slot: u64,
    /// Sum over fixed buffers.
    pub fixed: u64,
}

impl Plan {
    /// Adds a buffer that keeps its contents.
    pub fn buffer(&mut self, label: impl Into<String>, extent: Extent) -> BufferId {
        self.add(label.into(), extent, Kept::Always)
    }

    /// Adds a buffer whose contents are needed within one run of a phase only, and written there before they are read.
    pub fn transient(&mut self, label: impl Into<String>, extent: Extent) -> BufferId {
        self.add(label.into(), extent, Kept::Transient)
    }

    /// Adds a transient buffer for `batch` images of every lane.
    pub fn images(&mut self, label: impl Into<String>, layout: ImageLayout, batch: u32) -> BufferId {
        let kept = match layout.border {
            0 => Kept::Transient,
            border => Kept::Bordered { row: layout.row(), image: layout.image(), border },
        };
        self.add(label.into(), Extent::PerLane(layout.bytes(batch)), kept)
    }

    /// Adds a phase: dispatches that are run in this order.
    pub fn add_phase(&mut self, name: &'static str, dispatches: Vec<Dispatch>) -> PhaseId {
        self.phases.push((name, dispatches));
        PhaseId(self.phases.len() - 1)
    }

    /// The dispatches of the phases so far that have one of these labels.
    ///
    /// # Panics
    /// If none has one of them: a mistake in this crate.
    pub fn labelled(&self, labels: &[&str]) -> Labelled {
        let mut places = Vec::new();
        for label in labels {
            let before = places.len();
            for (phase, (_, dispatches)) in self.phases.iter().enumerate() {
                places.extend(dispatches.iter().enumerate().filter(|(_, d)| d.label == *label).map(|(i, _)| (phase, i)));
            }
            assert!(places.len() > before, "no dispatch is called {label}");
        }
        Labelled(places)
    }

    fn add(&mut self, label: String, extent: Extent, kept: Kept) -> BufferId {
        self.buffers.push(BufferSpec { label, extent, kept });
        BufferId(self.buffers.len() - 1)
    }

    /// Lets transient buffers that are never needed at once share memory. Their contents cannot be read afterwards.
    pub fn share_memory(&mut self) {
        self.shared = Some(Memory::shared(&self.buffers, &self.phases));
    }

    /// Where the buffers lie.
    pub fn memory(&self) -> Memory {
        self.shared.clone().unwrap_or_else(|| Memory::unshared(&self.buffers))
    }

    /// The dispatches of a phase.
    pub fn phase(&self, phase: PhaseId) -> &[Dispatch] {
        &self.phases[phase.0].1
    }

    /// The name of a phase.
    pub fn name(&self, phase: PhaseId) -> &'static str {
        self.phases[phase.0].0
    }

    /// Floating-point operations of a phase over so many lanes and slots.
    pub fn flops(&self, phase: PhaseId, lanes: u64, slots: u64) -> u64 {
        self.phase(phase).iter().map(|d| d.flops * d.over.count(lanes, slots)).sum()
    }

    /// What the buffers' memory costs.
    pub fn footprint(&self) -> Footprint {
        Footprint::of(&self.memory())
    }

    /// The plan as a table for `lanes` lanes of `slots` slots: a line a dispatch with its operations and bytes.
    pub fn describe(&self, lanes: u64, slots: u64) -> String {
        let mut out = String::new();
        for (name, dispatches) in &self.phases {
            let _ = writeln!(out, "{name}: {} dispatches", dispatches.len());
            for d in dispatches {
                let z = d.over.count(lanes, slots);
                let _ = writeln!(
                    out,
                    "  {:38} {:24} {:>10} × {:<5} {:>9.3} GFLOP {:>9.3} MB",
                    d.label,
                    format!("{}::{}", d.kernel.shader.name, d.kernel.entry),
                    d.invocations,
                    z,
                    (d.flops * z) as f64 * 1e-9,
                    (d.bytes * z) as f64 * 1e-6,
                );
            }
        }
        let (memory, own) = (self.memory(), Footprint::of(&Memory::unshared(&self.buffers)));
        let _ = writeln!(
            out,
            "memory: {:.1} MB in {} blocks for {} buffers, which without sharing were {:.1} MB",
            Footprint::of(&memory).bytes(lanes, slots) as f64 * 1e-6,
            memory.blocks.len(),
            self.buffers.len(),
            own.bytes(lanes, slots) as f64 * 1e-6,
        );
        out
    }
}

/// How many lanes a wave holds, so that every buffer fits one binding and all of them fit the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Largest storage buffer binding, in bytes.
    pub binding: u64,
    /// All buffers together, in bytes.
    pub memory: u64,
    /// Most lanes that the user allows in a wave.
    pub lanes: Option<u32>,
}

impl Footprint {
    /// Sums over blocks of memory.
    fn of(memory: &Memory) -> Footprint {
        let mut f = Footprint::default();
        for block in &memory.blocks {
            match *block {
                Extent::PerLane(n) => {
                    f.per_lane += n;
                    f.largest_per_lane = f.largest_per_lane.max(n);
                }
                Extent::PerSlot(n) => {
                    f.per_slot += n;
                    f.largest_per_slot = f.largest_per_slot.max(n);
                }
                Extent::Fixed(n) => f.fixed += n,
                Extent::External => {}
            }
        }
        f
    }

    /// Bytes for so many lanes and slots.
    pub fn bytes(&self, lanes: u64, slots: u64) -> u64 {
        self.per_lane * lanes + self.per_slot * slots + self.fixed
    }

    /// Most slots of `lanes_per_slot` lanes each that fit, or 0.
    pub fn slots_that_fit(&self, capacity: Capacity, lanes_per_slot: u64) -> u64 {
        let fits = |budget: u64, each: u64| budget.checked_div(each).unwrap_or(u64::MAX);
        let binding = fits(capacity.binding, self.largest_per_lane * lanes_per_slot).min(fits(capacity.binding, self.largest_per_slot));
        let memory = fits(capacity.memory.saturating_sub(self.fixed), self.per_lane * lanes_per_slot + self.per_slot);
        // The z axis of a dispatch ends at 65 535.
        let most = capacity.lanes.map_or(65_535, |n| u64::from(n).clamp(1, 65_535)) / lanes_per_slot;
        let most = if capacity.lanes.is_some() { most.max(1) } else { most };
        binding.min(memory).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_what_binding_memory_and_user_allow() {
        let f = Footprint { per_lane: 100, largest_per_lane: 40, per_slot: 10, largest_per_slot: 10, fixed: 50 };
        let c = |binding, memory, lanes| Capacity { binding, memory, lanes };
        assert_eq!(f.slots_that_fit(c(400, u64::MAX, None), 1), 10);
        assert_eq!(f.slots_that_fit(c(u64::MAX, 50 + 330, None), 1), 3);
        assert_eq!(f.slots_that_fit(c(u64::MAX, u64::MAX, Some(4)), 2), 2);
        assert_eq!(f.slots_that_fit(c(u64::MAX, 40, None), 1), 0);
    }
}
