//! Cases of what stays with the clients.

use super::{Case, Cases, LANES, Trial, exactly, lanes_with_norms};
use crate::kernels::client_rows::{self, ClientRows};

/// A part of a row taken from the clients' store, or put back.
#[derive(Debug, Clone, Copy)]
pub struct ClientRowsCase {
    /// Put back, not taken.
    pub keep: bool,
    /// The store is that of the bases.
    pub by_base: bool,
    /// vec4 of the part.
    pub length: u32,
}

impl Case for ClientRowsCase {
    fn op(&self) -> &'static str {
        if self.keep { "client_rows, keep" } else { "client_rows, take" }
    }

    fn fill(&self, t: &mut Trial) {
        let (start, stride, place, row) = (3, self.length + 5, 2, self.length + 4);
        let kernel = ClientRows { length: self.length, row, place, stride, start, by_base: self.by_base };
        // Two rows of the store belong to nobody here.
        let of_clients = [4, 0, 5, 2];
        let own = if self.by_base { LANES.map(|lane| lane[2]) } else { of_clients };
        let (length, row, stride) = (self.length as usize * 4, row as usize * 4, stride as usize * 4);
        let (store, lanes) = (t.noise.values(6 * row), t.noise.values(LANES.len() * stride));
        let (mut store_after, mut lanes_after) = (store.clone(), lanes.clone());
        for (lane, own) in own.into_iter().enumerate() {
            let (own, of_lane) = (own as usize * row + place as usize * 4, lane * stride + start as usize * 4);
            match self.keep {
                true => store_after[own..][..length].copy_from_slice(&lanes[of_lane..][..length]),
                false => lanes_after[of_lane..][..length].copy_from_slice(&store[own..][..length]),
            }
        }
        let b = client_rows::Buffers {
            lanes: t.words("lanes", lanes_with_norms(of_clients)),
            store: t.changed("store", &store, exactly(&store_after)),
            rows: t.changed("rows", &lanes, exactly(&lanes_after)),
        };
        t.dispatches.push(if self.keep { kernel.keep("case", b) } else { kernel.take("case", b) });
    }
}

pub(super) fn standard(cases: &mut Cases) {
    let kinds = [(false, false), (false, true), (true, false)];
    kinds.into_iter().for_each(|(keep, by_base)| cases.add(380, ClientRowsCase { keep, by_base, length: 70 }));
}
