//! Plans: the buffers of a computation and the list of dispatches over them, built from a network without a GPU.
//!
//! [`train`] is the local work of a wave of lanes, [`evaluate`] a forward of every base and the mixing of their logits,
//! [`input_gradient`] what one step of an attack on the images needs.
//! A plan knows nothing of wgpu: [`crate::gpu::Program`] makes buffers and pipelines from it.

mod backward;
pub mod evaluate;
mod forward;
pub mod input_gradient;
pub mod train;

use crate::kernels::{BufferId, Dispatch, Over};
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

/// A buffer of a plan.
#[derive(Debug, Clone)]
pub struct BufferSpec {
    /// What it holds, as in `conv1 z`.
    pub label: String,
    /// Its size.
    pub extent: Extent,
}

/// Buffers and named phases of dispatches.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The buffers; a [`BufferId`] is an index here.
    pub buffers: Vec<BufferSpec>,
    /// Dispatches of each phase, in order.
    pub phases: Vec<(&'static str, Vec<Dispatch>)>,
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
    /// Adds a buffer.
    pub fn buffer(&mut self, label: impl Into<String>, extent: Extent) -> BufferId {
        self.buffers.push(BufferSpec { label: label.into(), extent });
        BufferId(self.buffers.len() - 1)
    }

    /// The dispatches of a phase; none where there is no such phase.
    pub fn phase(&self, name: &str) -> &[Dispatch] {
        self.phases.iter().find(|(n, _)| *n == name).map_or(&[], |(_, d)| d)
    }

    /// What the buffers cost.
    pub fn footprint(&self) -> Footprint {
        let mut f = Footprint::default();
        for buffer in &self.buffers {
            match buffer.extent {
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

    /// The plan as a table for `lanes` lanes of `slots` slots: a line a dispatch with its operations and bytes.
    pub fn describe(&self, lanes: u64, slots: u64) -> String {
        let mut out = String::new();
        for (name, dispatches) in &self.phases {
            let _ = writeln!(out, "{name}: {} dispatches", dispatches.len());
            for d in dispatches {
                let z = match d.over {
                    Over::Lanes => lanes,
                    Over::Slots => slots,
                    Over::Fixed(n) => u64::from(n),
                };
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
        let f = self.footprint();
        let total = f.per_lane * lanes + f.per_slot * slots + f.fixed;
        let _ = writeln!(out, "memory: {:.1} MB in {} buffers", total as f64 * 1e-6, self.buffers.len());
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
