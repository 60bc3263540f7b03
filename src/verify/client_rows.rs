//! Cases of what stays with the clients.

use super::{Case, LANES, Noise, Trial, Want, lane_table};
use crate::kernels::client_rows::ClientRows;
use crate::kernels::{Tuning, client_rows};

/// A part of a row taken from the clients' store, or put back.
#[derive(Debug, Clone, Copy)]
pub struct ClientRowsCase {
    /// Put back, not taken.
    pub keep: bool,
    /// The store is that of the bases.
    pub by_base: bool,
    /// vec4 of the part.
    pub length: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for ClientRowsCase {
    fn op(&self) -> &'static str {
        if self.keep { "client_rows, keep" } else { "client_rows, take" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (start, stride, place, row) = (3, self.length + 5, 2, self.length + 4);
        let kernel = ClientRows { length: self.length, row, place, stride, start, by_base: self.by_base };
        let rows = LANES.len();
        let mut table = lane_table();
        // Two rows of the store belong to nobody here.
        let of_clients = [4usize, 0, 5, 2];
        table.iter_mut().skip(3).step_by(4).zip(of_clients).for_each(|(w, row)| *w = row as u32);
        let own = if self.by_base { LANES.map(|lane| lane[2] as usize) } else { of_clients };
        let mut random = |n: usize| noise.values(n * 4).into_iter().map(|v| v as f32).collect::<Vec<_>>();
        let (store, lanes) = (random(6 * row as usize), random(rows * stride as usize));
        let length = self.length as usize * 4;
        let at = |lane: usize| (lane * stride as usize + start as usize) * 4;
        let in_store = |of: usize| (of * row as usize + place as usize) * 4;
        let keep = |values: &[f32]| values.iter().map(|v| Want::Bits(v.to_bits())).collect::<Vec<_>>();
        let (mut want_store, mut want_lanes) = (keep(&store), keep(&lanes));
        for (lane, of) in own.into_iter().enumerate() {
            let (own, of_lane) = (&store[in_store(of)..][..length], &lanes[at(lane)..][..length]);
            match self.keep {
                true => want_store[in_store(of)..][..length].copy_from_slice(&keep(of_lane)),
                false => want_lanes[at(lane)..][..length].copy_from_slice(&keep(own)),
            }
        }
        let b = client_rows::Buffers { lanes: t.words("lanes", table), store: t.values("store", &store), rows: t.values("rows", &lanes) };
        t.expect(b.store, want_store);
        t.expect(b.rows, want_lanes);
        t.dispatches = vec![if self.keep { kernel.keep("case", b) } else { kernel.take("case", b) }];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    let case = |(keep, by_base)| Box::new(ClientRowsCase { keep, by_base, length: 70, seed: 380 }) as Box<dyn Case>;
    [(false, false), (false, true), (true, false)].into_iter().map(case).collect()
}
