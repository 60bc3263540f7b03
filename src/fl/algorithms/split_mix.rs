//! Split-Mix (Hong et al., ICLR 2022): many narrow bases, of which every client trains as many as its budget allows.

use super::deck::Deck;
use super::registry::Method;
use super::{Algorithm, Assignment, Composition, Round, State, Task};
use crate::fl::budget::{Budgets, Ratio, bases};
use crate::fl::partition::Client;
use crate::{Error, Result};
use std::sync::Arc;

/// `⌊R/r⌋` bases of width `r`.
///
/// ```text
/// Algorithm 1, federated training                       Algorithm 2, sampling of bases
///   for every round, for every client k that takes part:  the server shuffles a deck of all bases, anew when it is used up
///     receive ⌊R_k/r⌋ bases, sampled by Algorithm 2        for every client of the round:
///     train each on the client's images, on its own          its first base is the next card of the deck,
///     send them back                                          the others are drawn from the rest without replacement
///   every base becomes the mean over those that
///   trained it, weighted by their numbers of images
///
/// Mixing: a model of width k·r is the mean of the logits of the first k bases.
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SplitMix {
    /// The clients' budgets `R_k`; the largest is `R`.
    pub budgets: Budgets,
    /// Width `r` of one base.
    pub base_width: Ratio,
}

impl Algorithm for SplitMix {
    fn bases(&self) -> Result<usize> {
        self.budgets.base_count(self.base_width)
    }

    fn base_width(&self) -> Ratio {
        self.base_width
    }

    fn budgets(&self, clients: usize) -> Vec<Ratio> {
        self.budgets.client_ratios(clients)
    }

    fn task(&self, budget: Ratio) -> Result<Task> {
        Ok(Task { bases: bases(budget, self.base_width)?, submodel: None })
    }

    /// The deck.
    fn start(&self, _seed: u64, _clients: usize) -> Result<State> {
        Ok(Deck::new(self.bases()?)?.to_state())
    }

    fn check(&self, state: &State, bases: usize) -> Result<()> {
        let deck = Deck::from_state(state)?;
        if deck.bases() == bases {
            return Ok(());
        }
        Err(Error::Data(format!("the deck has {} bases, the ensemble {bases}", deck.bases())))
    }

    fn assign(&self, client: &Client, round: &Round, state: &mut State) -> Result<Assignment> {
        let mut deck = Deck::from_state(state)?;
        let count = bases(client.budget, self.base_width)?;
        let bases = deck.deal(round.seed, round.number as u64, client.id as u64, count)?;
        *state = deck.to_state();
        Ok(Assignment { bases, submodel: None, weight: round.share(client) })
    }

    fn full_width(&self) -> Result<Ratio> {
        self.base_width.times(self.bases()?)
    }

    fn model(&self, width: Ratio) -> Result<Composition> {
        let (unit, full) = (self.base_width, self.full_width()?);
        let count = width.floor_div(unit);
        if count == 0 || unit.times(count)? != width || width > full {
            return Err(Error::Config(format!(
                "the width {width} cannot be mixed from bases of width {unit}: choose a multiple of {unit} up to {full}"
            )));
        }
        Ok(Composition::Mix(count))
    }

    /// The distinct budgets, each rounded down to what its clients really train, and the full width.
    fn widths(&self) -> Result<Vec<Ratio>> {
        let trained = |budget: Ratio| self.base_width.times(bases(budget, self.base_width)?);
        let mut widths = self.budgets.widths().into_iter().map(trained).collect::<Result<Vec<Ratio>>>()?;
        widths.push(self.full_width()?);
        widths.sort();
        widths.dedup();
        Ok(widths)
    }
}

/// Split-Mix.
pub const METHOD: Method = Method {
    name: "split-mix",
    help: "an ensemble of narrow bases, of which every client trains as many as its budget allows",
    reads: &["base-width", "budgets", "rescale-init", "rescale-layer"],
    options: &[],
    refuses: &[],
    hints: &[("width", "widths says which are tested")],
    check: |_| Ok(()),
    build: |settings| Arc::new(SplitMix { budgets: settings.budgets.clone(), base_width: settings.base_width }),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn split_mix(budgets: &str, base_width: &str) -> SplitMix {
        SplitMix { budgets: budgets.parse().unwrap(), base_width: base_width.parse().unwrap() }
    }

    fn shown(widths: Vec<Ratio>) -> Vec<String> {
        widths.iter().map(Ratio::to_string).collect()
    }

    #[test]
    fn by_default() {
        let algorithm = split_mix("8-4-2-1", "1/8");
        assert_eq!(algorithm.bases().unwrap(), 8);
        assert_eq!(algorithm.full_width().unwrap(), Ratio::ONE);
        let bases: Vec<usize> = algorithm.budgets(4).into_iter().map(|b| algorithm.task(b).unwrap().bases).collect();
        assert_eq!(bases, [1, 2, 4, 8]);
        assert_eq!(shown(algorithm.widths().unwrap()), ["1/8", "1/4", "1/2", "1"]);
        assert_eq!(algorithm.model("3/8".parse().unwrap()).unwrap(), Composition::Mix(3));
    }

    #[test]
    fn widths_that_do_not_divide() {
        // R = 1, r = 3/8: two bases, full width 3/4; a budget of 1/2 trains one base.
        let algorithm = split_mix("2-1", "3/8");
        assert_eq!(algorithm.bases().unwrap(), 2);
        assert_eq!(shown(vec![algorithm.full_width().unwrap()]), ["3/4"]);
        assert_eq!(shown(algorithm.widths().unwrap()), ["3/8", "3/4"]);
        for width in ["1/2", "1", "1/8"] {
            let message = algorithm.model(width.parse().unwrap()).unwrap_err().to_string();
            assert!(message.contains("multiple of 3/8 up to 3/4"), "{message}");
        }
    }

    #[test]
    fn half_the_network_is_full_width_when_nobody_trains_more() {
        let algorithm = split_mix("8-4-8d3-2", "1/8");
        assert_eq!(algorithm.bases().unwrap(), 4);
        assert_eq!(shown(algorithm.widths().unwrap()), ["1/8", "1/4", "3/8", "1/2"]);
        assert!(algorithm.model(Ratio::ONE).is_err());
    }

    #[test]
    fn a_base_wider_than_a_budget_is_an_error() {
        let algorithm = split_mix("8-4-2-1", "1/4");
        assert!(algorithm.task(Ratio::EIGHTH).is_err());
        assert!(algorithm.widths().is_err());
    }
}
