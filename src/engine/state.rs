//! What a training keeps from round to round besides the bases: that of the server's optimiser, and control variates.

use super::{ClientRows, Rows};
use crate::Result;
use crate::gpu::Gpu;
use crate::kernels::server_step::ServerOptimizer;
use crate::net::{Network, between};

/// All of it; by default nothing.
#[derive(Debug, Clone, Default)]
pub struct TrainingState {
    /// The server's optimiser; none: bases become their averages.
    pub optimizer: Option<OptimizerState>,
    /// SCAFFOLD's control variates.
    pub control: Option<ControlVariates>,
}

/// The server's optimiser and what it keeps.
#[derive(Debug, Clone)]
pub struct OptimizerState {
    /// The optimiser.
    pub optimizer: ServerOptimizer,
    /// The mean of the bases' changes, a row each.
    pub mean: Rows,
    /// Their squares, a row each; with momentum alone they are not used.
    pub square: Rows,
}

impl OptimizerState {
    /// As it is before the first round: the mean 0, and the squares τ² (Reddi et al., 2021: at least that).
    pub fn new(gpu: &Gpu, server: &Rows, optimizer: ServerOptimizer) -> OptimizerState {
        let [mean, square] = ["mean of changes", "squares of changes"].map(|label| server.like(gpu, label));
        let least = optimizer.adaptive.map_or(0.0, |a| a.tau * a.tau);
        square.write(gpu, 0, &vec![least; square.values() * square.count as usize]);
        OptimizerState { optimizer, mean, square }
    }
}

/// SCAFFOLD's control variates (Karimireddy et al., 2020): for every base, the server's c and each client's c_i, of what is trained and
/// shared.
#[derive(Debug, Clone)]
pub struct ControlVariates {
    /// c, a row a base: the mean of all clients' c_i.
    pub server: Rows,
    /// c_i.
    pub clients: ClientRows,
    /// Each client's share among all, whether they take part in a round or not: that of its c_i in c.
    pub shares: Vec<f32>,
}

impl ControlVariates {
    /// All 0, as before the first round, of as many clients as `shares`, which add up to 1. What stays with the clients (`personal`) has none.
    ///
    /// # Errors
    /// As [`Rows::new`].
    pub fn new(gpu: &Gpu, network: &Network, server: &Rows, personal: Option<&ClientRows>, shares: Vec<f32>) -> Result<ControlVariates> {
        let clients = shares.len() as u32;
        let parts = between(personal.map_or(&[], |own| &own.parts), network.trained_blocks);
        let what = format!("control variates of {clients} clients and {} bases", server.count);
        let advice = "switch scaffold off, use fewer clients, or train fewer or narrower bases";
        let clients = ClientRows::of_parts(gpu, parts, None, clients, server.count, (&what, advice))?;
        Ok(ControlVariates { server: server.like(gpu, "control variates"), clients, shares })
    }
}

impl TrainingState {
    /// The rows of bases that a next round depends on, by what they are called in checkpoints.
    pub fn of_bases(&self) -> Vec<(&'static str, &Rows)> {
        let mut rows = Vec::new();
        if let Some(state) = &self.optimizer {
            rows.push(("mean", &state.mean));
            rows.extend(state.optimizer.adaptive.map(|_| ("square", &state.square)));
        }
        rows.extend(self.control.iter().map(|control| ("control", &control.server)));
        rows
    }

    /// Those of clients.
    pub fn of_clients(&self) -> Vec<(&'static str, &ClientRows)> {
        self.control.iter().map(|control| ("control", &control.clients)).collect()
    }

    /// Bytes on the GPU, with those that are only used within a round.
    pub fn bytes(&self) -> u64 {
        let optimizer = self.optimizer.as_ref().map_or(0, |state| state.mean.bytes() + state.square.bytes());
        // The server's control variates are added up beside those of the round before.
        optimizer + self.control.as_ref().map_or(0, |control| 2 * control.server.bytes() + control.clients.rows.bytes())
    }
}
