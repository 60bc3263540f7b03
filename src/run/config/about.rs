//! What is known of an option besides its value: what depends on it, and its range.

use super::short;
use crate::fl::partition::LARGEST_ALPHA;
use crate::net::SMALLEST_BATCH;
use crate::{Error, Result};
use std::fmt::Display;

/// What an option changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What is learnt.
    Training,
    /// The result of the test alone, which comes after the last round.
    Test,
    /// Where a run lies and what it is made with, not its result.
    Machine,
    /// Where a file lies whose checksum is another option.
    Source,
}

/// What an option has to do with the images of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Nothing.
    Unrelated,
    /// It says which images are read.
    Read,
    /// It says how images are dealt to clients; no effect where a file names each client's images.
    Dealt,
    /// It changes the clients otherwise.
    Held,
}

/// What depends on an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// What it changes.
    pub effect: Effect,
    /// What it has to do with the images of the clients.
    pub images: Images,
    /// Whether runs that differ in it can be trained together: their lanes go through the same dispatches.
    pub together: bool,
    /// Whether it has a meaning in a browser, where there are no files and the device is open already.
    pub browser: bool,
}

const fn about(effect: Effect) -> About {
    About { effect, images: Images::Unrelated, together: false, browser: true }
}

pub(super) const TRAINING: About = about(Effect::Training);
pub(super) const TEST: About = about(Effect::Test);
pub(super) const MACHINE: About = about(Effect::Machine);
pub(super) const SOURCE: About = about(Effect::Source);

impl About {
    pub(super) const fn reads(self) -> About {
        About { images: Images::Read, ..self }
    }

    pub(super) const fn deals(self) -> About {
        About { images: Images::Dealt, ..self }
    }

    pub(super) const fn holds(self) -> About {
        About { images: Images::Held, ..self }
    }

    pub(super) const fn together(self) -> About {
        About { together: true, ..self }
    }

    pub(super) const fn native(self) -> About {
        About { browser: false, ..self }
    }

    /// Whether it may differ when a run is resumed, since it cannot change what is learnt.
    pub fn is_free_on_resume(&self) -> bool {
        matches!(self.effect, Effect::Test | Effect::Machine)
    }

    /// Whether runs with other values are other experiments.
    pub fn is_of_experiment(&self) -> bool {
        matches!(self.effect, Effect::Training | Effect::Test)
    }
}

pub(super) fn check(fine: bool, key: &str, value: impl Display, what: &str) -> Result<()> {
    if fine { Ok(()) } else { Err(Error::Config(format!("{key} = {value}: {what}"))) }
}

/// A check of a whole number's range.
pub(super) fn whole<T: TryInto<u64> + Display + Copy>(least: u64, most: u64) -> impl Fn(&str, T) -> Result<()> {
    move |key, value| {
        let number = value.try_into().unwrap_or(u64::MAX);
        check(number >= least, key, value, &format!("it must be at least {least}"))?;
        check(number <= most, key, value, &format!("it must be at most {most}"))
    }
}

pub(super) fn positive() -> impl Fn(&str, usize) -> Result<()> {
    whole(1, u64::MAX)
}

/// Of a number of images in a batch.
pub(super) fn batch() -> impl Fn(&str, usize) -> Result<()> {
    |key, value| {
        let what = "it must be at least 3, so that batch norm never has a batch of one image";
        check(value >= SMALLEST_BATCH, key, value, what)?;
        whole(0, 65_536)(key, value)
    }
}

/// A check of a number's range, which `what` says in words.
pub(super) fn number(allows: fn(f64) -> bool, what: &str) -> impl Fn(&str, f64) -> Result<()> {
    move |key, value| check(allows(value), key, short(value), what)
}

/// Of a weight of a term of the loss.
pub(super) fn weight() -> impl Fn(&str, f64) -> Result<()> {
    number(|v| (0.0..=1e6).contains(&v), "it must be a number of at least 0 and at most 1e6")
}

/// Of the concentration of a Dirichlet law.
pub(super) fn concentration() -> impl Fn(&str, f64) -> Result<()> {
    number(|v| v > 0.0 && v <= LARGEST_ALPHA, "it must be a number above 0 and at most 1e9, for example 0.5")
}
