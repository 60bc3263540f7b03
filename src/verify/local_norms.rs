//! Cases of batch norms that stay with the clients.

use super::{Case, LANES, Noise, Trial, Want, lane_table};
use crate::kernels::local_norms::LocalNorms;
use crate::kernels::{Tuning, local_norms};

/// Batch norms taken from the clients' store, or put back.
#[derive(Debug, Clone, Copy)]
pub struct LocalNormsCase {
    /// Put back, not taken.
    pub keep: bool,
    /// vec4 of a row of the store.
    pub length: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for LocalNormsCase {
    fn op(&self) -> &'static str {
        if self.keep { "local_norms, keep" } else { "local_norms, take" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let (start, stride) = (3, self.length + 5);
        let kernel = LocalNorms { length: self.length, stride, start };
        let rows = LANES.len();
        let mut table = lane_table();
        // Two rows of the store belong to nobody here.
        let own = [4usize, 0, 5, 2];
        table.iter_mut().skip(3).step_by(4).zip(own).for_each(|(w, row)| *w = row as u32);
        let mut random = |n: usize| noise.values(n * 4).into_iter().map(|v| v as f32).collect::<Vec<_>>();
        let (store, lanes) = (random(6 * self.length as usize), random(rows * stride as usize));
        let length = self.length as usize * 4;
        let at = |lane: usize| (lane * stride as usize + start as usize) * 4;
        let keep = |values: &[f32]| values.iter().map(|v| Want::Bits(v.to_bits())).collect::<Vec<_>>();
        let (mut want_store, mut want_lanes) = (keep(&store), keep(&lanes));
        for (lane, row) in own.into_iter().enumerate() {
            let (own, of_lane) = (&store[row * length..][..length], &lanes[at(lane)..][..length]);
            match self.keep {
                true => want_store[row * length..][..length].copy_from_slice(&keep(of_lane)),
                false => want_lanes[at(lane)..][..length].copy_from_slice(&keep(own)),
            }
        }
        let b = local_norms::Buffers { lanes: t.words("lanes", table), store: t.values("store", &store), rows: t.values("rows", &lanes) };
        t.expect(b.store, want_store);
        t.expect(b.rows, want_lanes);
        t.dispatches = vec![if self.keep { kernel.keep("case", b) } else { kernel.take("case", b) }];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    [false, true].into_iter().map(|keep| Box::new(LocalNormsCase { keep, length: 70, seed: 380 }) as Box<dyn Case>).collect()
}
