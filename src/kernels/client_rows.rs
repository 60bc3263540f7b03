//! What stays with the clients, taken from and put back to their rows; see `shaders/client_rows.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};
use std::ops::Range;

/// What the kernels are given.
#[derive(Debug, Clone, Copy)]
pub struct ClientRows {
    /// vec4 of the part that is copied.
    pub length: u32,
    /// vec4 of a row of the store.
    pub row: u32,
    /// Where the part begins in it.
    pub place: u32,
    /// vec4 of a lane's row.
    pub stride: u32,
    /// Where the part begins in it.
    pub start: u32,
    /// Whether the store's rows are those of the bases, not of clients.
    pub by_base: bool,
}

/// Their buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, the client's row.
    pub lanes: BufferId,
    /// Rows of every client and base, or of every base.
    pub store: BufferId,
    /// Rows of the lanes.
    pub rows: BufferId,
}

impl ClientRows {
    /// One for each part of a lane's row of `stride` vec4, where a row of the store holds these parts one after the other.
    pub fn of_parts(parts: &[Range<u32>], stride: u32) -> Vec<ClientRows> {
        let row = parts.iter().map(ExactSizeIterator::len).sum::<usize>() as u32;
        let mut place = 0;
        let of_part = |part: &Range<u32>| {
            let length = part.len() as u32;
            place += length;
            ClientRows { length, row, place: place - length, stride, start: part.start, by_base: false }
        };
        parts.iter().map(of_part).collect()
    }

    /// One for each part of a base's row, as long as a lane's.
    pub fn of_bases(parts: &[Range<u32>], stride: u32) -> Vec<ClientRows> {
        let of_part = |part: &Range<u32>| ClientRows {
            length: part.len() as u32,
            row: stride,
            place: part.start,
            stride,
            start: part.start,
            by_base: true,
        };
        parts.iter().map(of_part).collect()
    }

    /// From the store into the lanes' rows; over lanes.
    pub fn take(&self, label: &str, b: Buffers) -> Dispatch {
        self.dispatch(label, "take").reads([b.lanes, b.store]).writes([b.rows])
    }

    /// From the lanes' rows into the store; over lanes, of which no two share a row of the store.
    pub fn keep(&self, label: &str, b: Buffers) -> Dispatch {
        self.dispatch(label, "keep").reads([b.lanes, b.rows]).writes([b.store])
    }

    fn dispatch(&self, label: &str, entry: &'static str) -> Dispatch {
        Dispatch::new(label, shader::client_rows, entry, Over::Lanes, self.length)
            .uniforms(uniforms! {
                length: self.length,
                row: self.row,
                place: self.place,
                stride: self.stride,
                start: self.start,
                by_base: self.by_base,
            })
            .cost(0, u64::from(self.length) * 32)
    }
}
