//! What a federated algorithm decides: who trains what, what is sent, and how it is averaged.
//!
//! A new one is a file in this folder with one `impl Algorithm` and the method's description, and a line in
//! [`registry::METHODS`]. Everything else (options, local training, validation, checkpoints, reports) is the same for all of them.

mod centres;
mod deck;
pub mod fed_avg;
pub mod fesem;
pub mod hetero_fl;
pub mod ifca;
mod k_means;
pub mod options;
#[cfg(test)]
mod probe;
pub mod registry;
pub mod split_mix;

use super::budget::Ratio;
use super::partition::Client;
use super::round::{RoundPlan, Submodel};
use crate::net::Scope;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;

/// What a client of some budget trains in a round, at most: what it receives and sends back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// How many of the server's bases.
    pub bases: usize,
    /// The corner of each that it trains; `None`: all of it.
    pub submodel: Option<Submodel>,
}

/// What an algorithm keeps from round to round besides parameters. Checkpoints save it as it is; nobody else reads it.
/// An object, empty where it keeps nothing.
pub type State = serde_json::Map<String, serde_json::Value>;

/// The round that a client is assigned its part in.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// The run's seed.
    pub seed: u64,
    /// Its 0-based number.
    pub number: usize,
    /// Training images of all clients that can train.
    pub images: usize,
}

/// A stage of a round: what is done with all lanes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before training, the mean loss of every base on each participant's training images: [`Found::Losses`].
    Losses,
    /// Local training of all lanes.
    Train,
    /// Squared distances of the trained lanes from the bases as the round began with them: [`Found::FromBases`].
    FromBases,
    /// Squared distances of the trained lanes from each other: [`Found::FromLanes`].
    FromLanes,
    /// The average of every base, over the lanes that the plan averages into it.
    Average,
}

/// What a stage found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Mean losses, `[client of the plan][base]`.
    Losses(Vec<Vec<f64>>),
    /// Squared distances, `[lane of the plan][base]`.
    FromBases(Vec<Vec<f64>>),
    /// Squared distances, `[lane of the plan][lane of the plan]`.
    FromLanes(Vec<Vec<f64>>),
}

impl Round {
    /// A client's share of all training images, in [0, 1].
    pub fn share(&self, client: &Client) -> f64 {
        client.train.len() as f64 / self.images as f64
    }
}

/// A client's part in a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The bases that it trains, each once; as many as its [`Task`] has at most.
    pub bases: Vec<usize>,
    /// The corner of each that it trains, that of its task; `None`: all of it.
    pub submodel: Option<Submodel>,
    /// Its weight among those that train the same parameter. Every parameter becomes the weighted mean over those that trained it;
    /// one that nobody trained keeps its value.
    pub weight: f64,
}

/// What a model of some width is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Composition {
    /// The first bases, as many as this: the mean of their logits.
    Mix(usize),
    /// The corner of the first base.
    Corner,
}

/// A federated algorithm.
pub trait Algorithm: fmt::Debug + Send + Sync {
    /// Number of bases that the server keeps.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where the options make none.
    fn bases(&self) -> Result<usize>;

    /// Width of each of them, as a fraction of the full network.
    fn base_width(&self) -> Ratio;

    /// Largest width that each client can train, in client order. By default that of a base.
    fn budgets(&self, clients: usize) -> Vec<Ratio> {
        vec![self.base_width(); clients]
    }

    /// The most that a client of that budget trains in a round. Memory is planned by it. By default one base.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where the budget is too small for any.
    fn task(&self, _budget: Ratio) -> Result<Task> {
        Ok(Task { bases: 1, submodel: None })
    }

    /// The state before the first round, for a given number of clients. By default an empty one.
    ///
    /// # Errors
    /// As [`Algorithm::bases`]; [`crate::Error::Config`] for too few clients.
    fn start(&self, _seed: u64, _clients: usize) -> Result<State> {
        Ok(State::new())
    }

    /// Whether a state out of a checkpoint, with its number of bases, is one of this algorithm.
    ///
    /// # Errors
    /// [`crate::Error::Data`] saying what is wrong with it.
    fn check(&self, state: &State, _bases: usize) -> Result<()> {
        match state.keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::Data(format!("its state has \"{key}\", which this method does not keep"))),
        }
    }

    /// What a client does in a round, decided anew in each. Rounds are assigned in order and their clients by number, each once.
    /// By default its whole task on the first bases, by its share of the training images.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where it asks for more than there is.
    fn assign(&self, client: &Client, round: &Round, _state: &mut State) -> Result<Assignment> {
        let task = self.task(client.budget)?;
        Ok(Assignment { bases: (0..task.bases).collect(), submodel: task.submodel, weight: round.share(client) })
    }

    /// What a round consists of, in order: training once, the average after it, and what is to be found out before either. By default
    /// training, then the average.
    fn stages(&self, _round: usize) -> Vec<Stage> {
        vec![Stage::Train, Stage::Average]
    }

    /// Whether one of a run's rounds has that stage.
    fn asks_for(&self, stage: Stage, rounds: usize) -> bool {
        (0..rounds).any(|round| self.stages(round).contains(&stage))
    }

    /// Of which values distances are.
    fn scope(&self) -> Scope {
        Scope::All
    }

    /// Draws conclusions from what a stage found: before training it may change which bases clients train
    /// ([`super::ClientPlan::bases`]), before the average which bases their lanes are averaged into
    /// ([`super::ClientPlan::into`]).
    ///
    /// # Errors
    /// [`crate::Error::Config`] where nothing can be concluded, with what helps.
    fn after(&self, _found: Found, _plan: &mut RoundPlan, _state: &mut State) -> Result<()> {
        Ok(())
    }

    /// The base that answers for each client, where each has one of its own; `None`: the same bases answer for all.
    fn own_bases(&self, _state: &State) -> Option<Vec<u32>> {
        None
    }

    /// Figures of the last round for metrics and reports, by their names.
    fn figures(&self, _state: &State) -> BTreeMap<String, f64> {
        BTreeMap::new()
    }

    /// Whether all bases start with the same values, those of the first.
    fn shares_start(&self) -> bool {
        false
    }

    /// What a model of that width is made of. By default there is one width, that of a base.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a width that there is not, naming those there are.
    fn model(&self, width: Ratio) -> Result<Composition> {
        let own = self.base_width();
        match width == own {
            true => Ok(Composition::Mix(1)),
            false => Err(Error::Config(format!("there is no width {width}: the network has width {own}"))),
        }
    }

    /// The widths that are tested when none are asked for; ascending. By default the only one.
    ///
    /// # Errors
    /// As [`Algorithm::task`].
    fn widths(&self) -> Result<Vec<Ratio>> {
        Ok(vec![self.base_width()])
    }

    /// The largest width of a model.
    ///
    /// # Errors
    /// As [`Algorithm::bases`].
    fn full_width(&self) -> Result<Ratio> {
        Ok(self.base_width())
    }
}
