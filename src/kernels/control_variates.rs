//! SCAFFOLD's control variates; see `shaders/control_variates.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};
use std::ops::Range;

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct ControlVariates {
    /// First vec4 of a row that is corrected.
    pub start: u32,
    /// Number of them.
    pub length: u32,
    /// vec4 of a row.
    pub stride: u32,
    /// Where the part begins in a row of the clients' store.
    pub place: u32,
    /// vec4 of a row of that store.
    pub row: u32,
}

/// Buffers of both kernels.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, the client's row.
    pub lanes: BufferId,
    /// c of every base.
    pub server: BufferId,
    /// c_i of every client and base.
    pub clients: BufferId,
}

/// Further buffers of the update.
#[derive(Debug, Clone, Copy)]
pub struct UpdateBuffers {
    /// f32 of each slot: 1 / (K · η), with its number of local steps K and their learning rate η.
    pub scales: BufferId,
    /// The server's bases, as the round began with them.
    pub bases: BufferId,
    /// Parameters of each lane.
    pub parameters: BufferId,
    /// Out: how much c_i of each lane changed.
    pub change: BufferId,
}

impl ControlVariates {
    /// One for each part of a row of `stride` vec4, where a row of the clients' store holds these parts one after the other.
    pub fn of_parts(parts: &[Range<u32>], stride: u32) -> Vec<ControlVariates> {
        let row = parts.iter().map(ExactSizeIterator::len).sum::<usize>() as u32;
        let mut place = 0;
        let of_part = |part: &Range<u32>| {
            let length = part.len() as u32;
            place += length;
            ControlVariates { start: part.start, length, stride, place: place - length, row }
        };
        parts.iter().map(of_part).collect()
    }

    /// The correction of gradients, over lanes.
    pub fn correct(&self, label: &str, b: Buffers, gradient: BufferId) -> Dispatch {
        let values = u64::from(self.length) * 4;
        self.dispatch(label, "correct").reads([b.lanes, b.server, b.clients]).writes([gradient]).cost(values * 2, values * 16)
    }

    /// What the local steps make of c_i, over lanes, of which no two share a row of the store.
    pub fn update(&self, label: &str, b: Buffers, own: UpdateBuffers) -> Dispatch {
        let values = u64::from(self.length) * 4;
        let dispatch = self.dispatch(label, "update").reads([b.lanes, b.server, own.scales, own.bases, own.parameters]);
        dispatch.writes([b.clients, own.change]).cost(values * 4, values * 24)
    }

    fn dispatch(&self, label: &str, entry: &'static str) -> Dispatch {
        Dispatch::new(label, shader::control_variates, entry, Over::Lanes, self.length).uniforms(uniforms! {
            start: self.start,
            length: self.length,
            stride: self.stride,
            place: self.place,
            row: self.row,
        })
    }
}
