//! Which buffers of a plan may share memory: those whose lifetimes never meet.
//!
//! WebGPU lets a dispatch bind a buffer either to be read or to be written, never both, whatever the ranges. So memory is
//! not one arena with offsets but a set of blocks, each a buffer of the device, taken in turn by buffers of the plan.

use super::{BufferSpec, Extent, Kept};
use crate::kernels::{Access, Dispatch};

/// Blocks of memory, and the block of every buffer of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Size of each block.
    pub blocks: Vec<Extent>,
    /// Block of each buffer, in the plan's order.
    pub of: Vec<usize>,
}

impl Memory {
    /// A block for every buffer.
    pub(super) fn unshared(buffers: &[BufferSpec]) -> Memory {
        Memory { blocks: buffers.iter().map(|b| b.extent).collect(), of: (0..buffers.len()).collect() }
    }

    /// Blocks shared by transient buffers of the same kind of extent that are never alive at once. Images with a stored
    /// zero border share with their like alone: nobody writes the borders, so they stay zero. Largest buffers first, each
    /// in the first block that is free while it lives.
    ///
    /// # Panics
    /// Where a phase reads a transient buffer before it writes it: a mistake in this crate.
    pub(super) fn shared(buffers: &[BufferSpec], phases: &[(&'static str, Vec<Dispatch>)]) -> Memory {
        let lives: Vec<Vec<Life>> = (0..buffers.len()).map(|i| lives(i, &buffers[i], phases)).collect();
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].extent.bytes()), *i));
        let mut memory = Memory { blocks: Vec::new(), of: vec![0; buffers.len()] };
        let mut tenants: Vec<Vec<usize>> = Vec::new();
        for i in order {
            let fits = |others: &Vec<usize>| {
                let alike = |j: &usize| {
                    buffers[*j].kept == buffers[i].kept
                        && std::mem::discriminant(&buffers[*j].extent) == std::mem::discriminant(&buffers[i].extent)
                        && !lives[*j].is_empty()
                        && !lives[i].is_empty()
                        && !lives[*j].iter().any(|a| lives[i].iter().any(|b| a.meets(b)))
                };
                others.iter().all(alike)
            };
            memory.of[i] = match tenants.iter().position(fits) {
                Some(block) => block,
                None => {
                    memory.blocks.push(buffers[i].extent);
                    tenants.push(Vec::new());
                    tenants.len() - 1
                }
            };
            tenants[memory.of[i]].push(i);
        }
        memory
    }
}

/// First and last dispatch of a phase that use a buffer.
struct Life {
    phase: usize,
    first: usize,
    last: usize,
}

impl Life {
    fn meets(&self, other: &Life) -> bool {
        self.phase == other.phase && self.first <= other.last && other.first <= self.last
    }
}

/// The lives of a transient buffer, one a phase that uses it; none for what is kept.
fn lives(i: usize, spec: &BufferSpec, phases: &[(&'static str, Vec<Dispatch>)]) -> Vec<Life> {
    if spec.kept == Kept::Always {
        return Vec::new();
    }
    let life = |(phase, (name, dispatches)): (usize, &(&'static str, Vec<Dispatch>))| {
        let access = |d: &Dispatch| d.buffers.iter().position(|b| b.0 == i).map(|at| d.kernel.access[at]);
        let first = dispatches.iter().position(|d| access(d).is_some())?;
        let last = dispatches.iter().rposition(|d| access(d).is_some())?;
        assert!(access(&dispatches[first]) == Some(Access::Write), "{} is transient and read before it is written in {name}", spec.label);
        Some(Life { phase, first, last })
    };
    phases.iter().enumerate().filter_map(life).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{BufferId, Over, shader};
    use proptest::prelude::*;

    fn dispatch(reads: &[usize], writes: &[usize]) -> Dispatch {
        let ids = |list: &[usize]| list.iter().map(|b| BufferId(*b)).collect::<Vec<_>>();
        Dispatch::new("", shader::sgd, "sgd", Over::Lanes, 1).reads(ids(reads)).writes(ids(writes))
    }

    fn buffer(bytes: u64, kept: Kept) -> BufferSpec {
        BufferSpec { label: format!("{bytes} bytes"), extent: Extent::PerLane(bytes), kept }
    }

    #[test]
    fn a_chain_takes_two_blocks() {
        let buffers: Vec<_> = [40, 30, 20, 10].map(|n| buffer(n, Kept::Transient)).into();
        let chain = vec![dispatch(&[], &[0]), dispatch(&[0], &[1]), dispatch(&[1], &[2]), dispatch(&[2], &[3])];
        let memory = Memory::shared(&buffers, &[("step", chain)]);
        assert_eq!(memory, Memory { blocks: vec![Extent::PerLane(40), Extent::PerLane(30)], of: vec![0, 1, 0, 1] });
    }

    #[test]
    fn what_is_kept_or_bordered_otherwise_shares_nothing() {
        let border = |n| Kept::Bordered { row: n, image: 2 * n, border: 1 };
        let buffers =
            [buffer(40, Kept::Always), buffer(40, border(3)), buffer(40, border(4)), buffer(40, border(3)), buffer(40, Kept::Transient)];
        let chain = (0..5).map(|i| dispatch(&[], &[i])).collect();
        let memory = Memory::shared(&buffers, &[("step", chain)]);
        assert_eq!(memory.of, [0, 1, 2, 1, 3]);
    }

    #[test]
    #[should_panic(expected = "read before it is written")]
    fn a_transient_buffer_must_be_written_first() {
        Memory::shared(&[buffer(4, Kept::Transient)], &[("step", vec![dispatch(&[0], &[]), dispatch(&[], &[0])])]);
    }

    #[test]
    fn phases_do_not_meet() {
        let buffers: Vec<_> = [40, 30, 20].map(|n| buffer(n, Kept::Transient)).into();
        let phases = [("a", vec![dispatch(&[], &[0]), dispatch(&[0], &[1])]), ("b", vec![dispatch(&[], &[2]), dispatch(&[2], &[1])])];
        assert_eq!(Memory::shared(&buffers, &phases).of, [0, 1, 0]);
    }

    proptest! {
        #[test]
        fn no_two_tenants_of_a_block_are_ever_alive_at_once(lives in prop::collection::vec((0usize..20, 0usize..8, 1u64..9), 1..30)) {
            let buffers: Vec<_> = lives.iter().map(|(_, _, n)| buffer(*n, Kept::Transient)).collect();
            let alive = |t: usize, i: usize| lives[i].0 <= t && t <= lives[i].0 + lives[i].1;
            let steps = (0..28).map(|t| dispatch(&[], &(0..lives.len()).filter(|i| alive(t, *i)).collect::<Vec<_>>()));
            let memory = Memory::shared(&buffers, &[("step", steps.collect())]);
            for t in 0..28 {
                let mut used: Vec<_> = (0..lives.len()).filter(|i| alive(t, *i)).map(|i| memory.of[i]).collect();
                used.sort_unstable();
                prop_assert!(used.windows(2).all(|w| w[0] != w[1]));
            }
            for (i, b) in buffers.iter().enumerate() {
                prop_assert!(memory.blocks[memory.of[i]].bytes() >= b.extent.bytes());
            }
        }
    }
}
