//! What a federated algorithm decides: who trains what, what is sent, and how it is averaged.
//!
//! A new one is a file beside `fed_avg.rs` with one `impl Algorithm`, and a name for it in `run/config.rs`. Everything else
//! (local training, validation, checkpoints, reports) is the same for all of them.

use super::budget::Ratio;
use super::deck::Deck;
use crate::Result;
use std::fmt;

/// What a client trains in a round, and so what it receives and sends back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// How many of the server's bases.
    pub bases: usize,
    /// The corner of each that it trains; `None`: all of it.
    pub cut: Option<Cut>,
}

/// A corner of a network: the first channels of every layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its width, as a fraction of the full network.
    pub width: Ratio,
    /// Widths of the corners of it that are trained in the same steps, gradients added; ascending.
    pub narrower: Vec<Ratio>,
}

/// What the choice of a client's bases may depend on.
pub struct Draw<'a> {
    /// The run's seed.
    pub seed: u64,
    /// 0-based number of the round.
    pub round: usize,
    /// Number of the client.
    pub client: usize,
    /// The server's deck of bases, saved in checkpoints.
    pub deck: &'a mut Deck,
}

/// What a model of some width is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Composition {
    /// The first so many bases: the mean of their logits.
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

    /// Largest width that each of so many clients can train, in client order.
    fn budgets(&self, clients: usize) -> Vec<Ratio>;

    /// Who trains what: the task of a client of that budget.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where the budget is too small for any.
    fn task(&self, budget: Ratio) -> Result<Task>;

    /// Which bases a client trains this time, `task.bases` different ones. By default the first.
    ///
    /// # Errors
    /// [`crate::Error::Config`] where there are not so many.
    fn sample(&self, task: &Task, _draw: Draw) -> Result<Vec<usize>> {
        Ok((0..task.bases).collect())
    }

    /// How it is averaged: the weight of a client among those that trained the same parameter, where `share` is its share of all
    /// training images. By default that share. Every parameter becomes the weighted mean over those that trained it; one that nobody
    /// trained keeps its value.
    fn weight(&self, _task: &Task, share: f64) -> f64 {
        share
    }

    /// What a model of that width is made of.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a width that there is not, naming those there are.
    fn model(&self, width: Ratio) -> Result<Composition>;

    /// The widths that are tested when none are asked for; ascending.
    ///
    /// # Errors
    /// As [`Algorithm::task`].
    fn widths(&self) -> Result<Vec<Ratio>>;

    /// The largest width of a model.
    ///
    /// # Errors
    /// As [`Algorithm::bases`].
    fn full_width(&self) -> Result<Ratio> {
        self.base_width().times(self.bases()?)
    }
}
