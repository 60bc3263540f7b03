//! IFCA, the iterative federated clustering algorithm (Ghosh et al., NeurIPS 2020, arXiv 2006.04088), with model averaging.

use super::centres::{CENTRES, Centres, WEIGHTS, least};
use super::options::MethodOption;
use super::registry::Method;
use super::{Algorithm, Assignment, Found, Round, Stage, State};
use crate::Result;
use crate::fl::budget::Ratio;
use crate::fl::partition::Client;
use crate::fl::round::RoundPlan;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `K` centres, each a network of one width. In every round each client that takes part receives all of them, and trains the one with the
/// smallest mean loss on its training images; every centre becomes the mean over those that trained it. A client that has not taken part yet
/// has a centre at random.
#[derive(Clone, Debug, PartialEq)]
pub struct Ifca {
    /// Width of the network.
    pub width: Ratio,
    /// Number of centres, K.
    pub centres: usize,
    /// Whether means are weighted by the clients' shares of the training images.
    pub by_share: bool,
}

impl Algorithm for Ifca {
    fn bases(&self) -> Result<usize> {
        Ok(self.centres)
    }

    fn base_width(&self) -> Ratio {
        self.width
    }

    fn start(&self, seed: u64, clients: usize) -> Result<State> {
        Ok(Centres::at_random(seed, clients, self.centres, self.centres)?.to_state())
    }

    fn check(&self, state: &State, bases: usize) -> Result<()> {
        Centres::checked(state, bases).map(|_| ())
    }

    fn assign(&self, client: &Client, round: &Round, state: &mut State) -> Result<Assignment> {
        Centres::assign(state, client, round, self.by_share)
    }

    fn stages(&self, _round: usize) -> Vec<Stage> {
        vec![Stage::Losses, Stage::Train, Stage::Average]
    }

    fn after(&self, found: Found, plan: &mut RoundPlan, state: &mut State) -> Result<()> {
        let Found::Losses(losses) = found else {
            return Ok(());
        };
        let (chosen, costs): (Vec<usize>, Vec<f64>) = losses.iter().map(|of_client| least(of_client)).unzip();
        Centres::choose(state, plan, &chosen, &costs)?;
        plan.clients.iter_mut().zip(chosen).for_each(|(client, centre)| client.bases = vec![centre]);
        Ok(())
    }

    fn own_bases(&self, state: &State) -> Option<Vec<u32>> {
        Centres::own_bases(state)
    }

    fn figures(&self, state: &State) -> BTreeMap<String, f64> {
        Centres::figures(state)
    }
}

/// IFCA.
pub const METHOD: Method = Method {
    name: "ifca",
    help: "several centres of one width, each client trains the one with the smallest loss",
    reads: &["width"],
    options: &[MethodOption::Whole(CENTRES), MethodOption::Choice(WEIGHTS)],
    refuses: &[("scaffold", "a control variate would be of a centre that its client has left; with this method leave it out")],
    hints: &[("budgets", "its clients all train one width")],
    check: |_| Ok(()),
    build: |settings| {
        Arc::new(Ifca { width: settings.width, centres: settings.own.whole(&CENTRES), by_share: settings.own.choice(&WEIGHTS) == "share" })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::{RoundSettings, Schedule, plan_round};

    #[test]
    fn a_client_trains_the_centre_with_the_smallest_loss() {
        let algorithm = Ifca { width: Ratio::EIGHTH, centres: 3, by_share: false };
        let clients: Vec<Client> = (0..4).map(|id| Client::of(id, Ratio::EIGHTH, 10)).collect();
        let mut state = algorithm.start(1, 4).unwrap();
        let before = algorithm.own_bases(&state).unwrap();
        let settings = RoundSettings { seed: 1, rounds: 9, clients_per_round: Some(3), lr: 0.1, schedule: Schedule::None };
        let mut plan = plan_round(&settings, &algorithm, &clients, &mut state, 0).unwrap();
        algorithm.after(Found::Losses(vec![vec![3.0, 1.0, 2.0], vec![0.5, 1.0, 0.5], vec![4.0, 3.0, 0.0]]), &mut plan, &mut state).unwrap();
        plan.share_out();
        assert_eq!(plan.lanes.iter().map(|lane| (lane.base, lane.into)).collect::<Vec<_>>(), [(1, 1), (0, 0), (2, 2)]);
        assert_eq!(algorithm.figures(&state)["objective"], 0.5);
        let own = algorithm.own_bases(&state).unwrap();
        let absent = (0..4).find(|id| plan.clients.iter().all(|c| c.client != *id)).unwrap();
        assert_eq!(own[absent], before[absent]);
        plan.clients.iter().zip([1, 0, 2]).for_each(|(client, centre)| assert_eq!(own[client.client], centre));
    }
}
