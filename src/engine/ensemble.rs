//! Which bases are mixed in an evaluation or attack, through which batch norms, and with what of the clients' own.

use super::{ClientRows, Rows};
use crate::net::{Network, NormRow};
use crate::plan::EvaluationNorms;
use crate::{Error, Result};
use std::ops::Range;

/// One batch of one client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The client, for what it keeps to itself.
    pub client: u32,
    /// Indices of its images.
    pub images: Vec<u32>,
}

impl From<Vec<u32>> for Batch {
    /// Of client 0.
    fn from(images: Vec<u32>) -> Batch {
        Batch { client: 0, images }
    }
}

/// Bases in the order in which they are mixed, and how they normalise.
#[derive(Debug, Clone, Default)]
pub struct Ensemble {
    /// The server's bases, the first to be mixed first; empty: in their own order.
    pub order: Vec<u32>,
    /// Normalise by running statistics, which network or store must keep, and not by the batch's.
    pub running: bool,
    /// Share λ of the adversarial batch norms in [0, 1], where they are dual (paper, section 3.3).
    pub lambda: f32,
    /// What each client keeps to itself.
    pub local: Option<ClientRows>,
    /// The base of each client's own, by its number; none: all are asked for the same bases. With it one base is mixed.
    pub own: Option<Vec<u32>>,
}

impl Ensemble {
    /// The first `bases` of the order.
    ///
    /// # Errors
    /// [`Error::Config`] where there are not so many, one is not there, or nothing is tracked to normalise by.
    pub(super) fn first(&self, bases: u32, network: &Network, server: &Rows) -> Result<Vec<u32>> {
        let all: Vec<u32> = if self.order.is_empty() { (0..server.count).collect() } else { self.order.clone() };
        if bases == 0 || bases as usize > all.len() {
            return Err(Error::Config(format!("{bases} bases are requested, but the model has {}: choose 1 to {0}", all.len())));
        }
        if let Some(base) = all.iter().find(|b| **b >= server.count) {
            return Err(Error::Config(format!("base {base} is in the order, but the model's bases are 0 to {}", server.count - 1)));
        }
        if let Some(own) = &self.own {
            assert!(bases == 1 && own.iter().all(|base| *base < server.count), "one base of {} for each client: {own:?}", server.count);
        }
        let row = self.stored().unwrap_or(network.norm_row());
        if self.running && !row.norms.tracked {
            return Err(Error::Config("the model keeps no running statistics to evaluate by: use those of the batch".into()));
        }
        if !(0.0..=1.0).contains(&self.lambda) {
            return Err(Error::Config(format!("lambda is a share in [0, 1], not {}", self.lambda)));
        }
        Ok(all[..bases as usize].to_vec())
    }

    /// What the plan is told of it.
    pub(super) fn norms(&self) -> EvaluationNorms {
        EvaluationNorms { running: self.running, store: self.stored(), lambda: self.lambda }
    }

    /// The batch norms in the clients' rows, where those hold nothing else.
    fn stored(&self) -> Option<NormRow> {
        self.local.as_ref().and_then(|local| local.norms)
    }

    /// The parts of a row that are each client's own, where those are not batch norms alone.
    pub(super) fn personal(&self) -> &[Range<u32>] {
        self.local.as_ref().filter(|local| local.norms.is_none()).map_or(&[], |local| &local.parts)
    }

    /// Lanes of the batches: slot, parameter row, base, the client's row.
    pub(super) fn lanes(&self, clients: impl Iterator<Item = u32>, bases: &[u32]) -> Vec<u32> {
        let mut table = Vec::new();
        let own_rows = !self.personal().is_empty();
        for (client, slot) in clients.zip(0u32..) {
            for shared in bases {
                let base = self.own.as_ref().map_or(*shared, |own| own[client as usize]);
                let row = if own_rows { table.len() as u32 / 4 } else { base };
                table.extend([slot, row, base, self.local.as_ref().map_or(base, |l| l.place(client, base))]);
            }
        }
        table
    }
}
