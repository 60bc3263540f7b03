//! Cases of batch norms that stay with the clients.

use super::{Case, Cases, LANES, Trial, exactly, lanes_with_norms};
use crate::kernels::local_norms::{self, LocalNorms};

/// Batch norms taken from the clients' store, or put back.
#[derive(Debug, Clone, Copy)]
pub struct LocalNormsCase {
    /// Put back, not taken.
    pub keep: bool,
    /// vec4 of a row of the store.
    pub length: u32,
}

impl Case for LocalNormsCase {
    fn op(&self) -> &'static str {
        if self.keep { "local_norms, keep" } else { "local_norms, take" }
    }

    fn fill(&self, t: &mut Trial) {
        let (start, stride) = (3, self.length + 5);
        let kernel = LocalNorms { length: self.length, stride, start };
        // Two rows of the store belong to nobody here.
        let own = [4, 0, 5, 2];
        let (length, row) = (self.length as usize * 4, stride as usize * 4);
        let (store, lanes) = (t.noise.values(6 * length), t.noise.values(LANES.len() * row));
        let (mut store_after, mut lanes_after) = (store.clone(), lanes.clone());
        for (lane, own) in own.into_iter().enumerate() {
            let (own, of_lane) = (own as usize * length, lane * row + start as usize * 4);
            match self.keep {
                true => store_after[own..][..length].copy_from_slice(&lanes[of_lane..][..length]),
                false => lanes_after[of_lane..][..length].copy_from_slice(&store[own..][..length]),
            }
        }
        let b = local_norms::Buffers {
            lanes: t.words("lanes", lanes_with_norms(own)),
            store: t.changed("store", &store, exactly(&store_after)),
            rows: t.changed("rows", &lanes, exactly(&lanes_after)),
        };
        t.dispatches.push(if self.keep { kernel.keep("case", b) } else { kernel.take("case", b) });
    }
}

pub(super) fn standard(cases: &mut Cases) {
    [false, true].into_iter().for_each(|keep| cases.add(380, LocalNormsCase { keep, length: 70 }));
}
