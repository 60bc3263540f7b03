//! What methods with several centres keep: which of them each client belongs to.

use super::options::{Choice, Whole};
use super::{Assignment, Round, State};
use crate::fl::partition::Client;
use crate::fl::random::{Purpose, rng};
use crate::fl::round::RoundPlan;
use crate::{Error, Result};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many centres there are.
pub(super) const CENTRES: Whole =
    Whole { key: "centres", help: "Centres that clients are assigned to, K.", least: 1, most: 1024, default: 4 };

/// How much each client counts in the mean of its centre.
pub(super) const WEIGHTS: Choice = Choice {
    key: "cluster-weights",
    help: "Weights in the mean of a centre: equal, or the clients' shares of the training images.",
    names: &["equal", "share"],
    default: "equal",
};

/// The centre of each client, and what the last assignment was like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Centres {
    /// By the client's number.
    pub of_client: Vec<u32>,
    /// Clients that changed their centre in the last round.
    pub moves: usize,
    /// The mean over the clients of the last assignment of what it minimised; none before the first.
    pub objective: Option<f64>,
}

impl Centres {
    /// Clients dealt to the centres at random, to each as many, where there may be up to `most` centres.
    ///
    /// # Errors
    /// [`Error::Config`] for more centres than clients.
    pub fn at_random(seed: u64, clients: usize, centres: usize, most: usize) -> Result<Centres> {
        if most > clients {
            return Err(Error::Config(format!("centres = {most}: there are {clients} clients: choose at most as many centres")));
        }
        let mut of_client: Vec<u32> = (0..clients).map(|client| (client % centres) as u32).collect();
        of_client.shuffle(&mut rng(seed, Purpose::Centres, 0, 0, 0));
        Ok(Centres { of_client, ..Centres::default() })
    }

    /// Out of what was kept.
    ///
    /// # Errors
    /// [`Error::Data`] if that is something else.
    pub fn from_state(state: &State) -> Result<Centres> {
        serde_json::from_value(state.clone().into()).map_err(|error| Error::Data(format!("its state is not one of centres: {error}")))
    }

    /// The same, with a given number of centres.
    ///
    /// # Errors
    /// As [`Centres::from_state`], and for a centre beyond them.
    pub fn checked(state: &State, centres: usize) -> Result<Centres> {
        let own = Centres::from_state(state)?;
        match own.of_client.iter().find(|centre| **centre as usize >= centres) {
            None => Ok(own),
            Some(other) => Err(Error::Data(format!("its state has a client in centre {other} of {centres}"))),
        }
    }

    /// As it is kept between rounds.
    pub fn to_state(&self) -> State {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(state)) => state,
            _ => State::new(),
        }
    }

    /// What a client does in a round: it trains its centre, with its share of the images or 1 as its weight.
    ///
    /// # Errors
    /// As [`Centres::from_state`].
    pub fn assign(state: &State, client: &Client, round: &Round, by_share: bool) -> Result<Assignment> {
        let own = Centres::from_state(state)?.of_client[client.id] as usize;
        Ok(Assignment { bases: vec![own], submodel: None, weight: if by_share { round.share(client) } else { 1.0 } })
    }

    /// Gives each client of the round the centre chosen for it. Counts moves; `costs` are what the choices minimised.
    ///
    /// # Errors
    /// As [`Centres::from_state`].
    pub fn choose(state: &mut State, plan: &RoundPlan, chosen: &[usize], costs: &[f64]) -> Result<()> {
        let mut own = Centres::from_state(state)?;
        own.moves = 0;
        for (client, chosen) in plan.clients.iter().zip(chosen) {
            let centre = &mut own.of_client[client.client];
            own.moves += usize::from(*centre != *chosen as u32);
            *centre = *chosen as u32;
        }
        own.objective = Some(costs.iter().sum::<f64>() / costs.len().max(1) as f64);
        *state = own.to_state();
        Ok(())
    }

    /// The centre of each client; none if the state is something else.
    pub fn own_bases(state: &State) -> Option<Vec<u32>> {
        Centres::from_state(state).ok().map(|own| own.of_client)
    }

    /// Figures for metrics and reports; none if the state is something else.
    pub fn figures(state: &State) -> BTreeMap<String, f64> {
        let Ok(own) = Centres::from_state(state) else {
            return BTreeMap::new();
        };
        let moves = ("moves".to_string(), own.moves as f64);
        own.objective.map(|objective| ("objective".to_string(), objective)).into_iter().chain([moves]).collect()
    }
}

/// The place of the smallest of some costs, and that cost; of equal ones the first.
pub(super) fn least(costs: &[f64]) -> (usize, f64) {
    let smaller = |best: (usize, f64), (i, cost): (usize, &f64)| if *cost < best.1 { (i, *cost) } else { best };
    costs.iter().enumerate().fold((0, f64::INFINITY), smaller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_dealt_evenly_and_by_the_seed() {
        let own = Centres::at_random(3, 11, 4, 4).unwrap();
        let counts: Vec<usize> = (0..4).map(|k| own.of_client.iter().filter(|c| **c == k).count()).collect();
        assert_eq!(counts, [3, 3, 3, 2]);
        assert_eq!(own, Centres::at_random(3, 11, 4, 4).unwrap());
        assert_ne!(own, Centres::at_random(4, 11, 4, 4).unwrap());
        assert!(Centres::at_random(1, 3, 1, 4).unwrap_err().to_string().contains("centres = 4: there are 3 clients"));
        assert!(Centres::at_random(1, 5, 1, 4).unwrap().of_client.iter().all(|c| *c == 0));
    }

    #[test]
    fn the_state_is_read_back_and_checked() {
        let own = Centres { of_client: vec![2, 0, 1], moves: 1, objective: Some(0.25) };
        assert_eq!(Centres::checked(&own.to_state(), 3).unwrap(), own);
        assert!(Centres::checked(&own.to_state(), 2).unwrap_err().to_string().contains("centre 2 of 2"));
        assert!(Centres::from_state(&State::new()).unwrap_err().to_string().contains("not one of centres"));
    }

    #[test]
    fn of_equal_costs_the_first_is_least() {
        assert_eq!(least(&[3.0, 1.0, 1.0]), (1, 1.0));
        assert_eq!(least(&[f64::NAN, 2.0]), (1, 2.0));
    }
}
