//! FeSEM: multi-centre federated learning (Long et al., "Multi-Center Federated Learning", arXiv 2005.01026 and 2108.08647).

use super::centres::{CENTRES, Centres, WEIGHTS, least};
use super::k_means::k_means;
use super::options::{Choice, MethodOption, Switch, Whole};
use super::registry::Method;
use super::{Algorithm, Assignment, Found, Round, Stage, State};
use crate::fl::budget::Ratio;
use crate::fl::partition::Client;
use crate::fl::round::RoundPlan;
use crate::net::Scope;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `K` centres, each a network of one width; a client trains and uses the one that it is assigned to.
///
/// ```text
/// for every round:
///   every client i that takes part trains its centre k(i):           W_i
///   E: k(i) becomes the centre with the smallest ‖W_i − W̃_k‖², as the centres were before the round
///   M: every centre becomes the mean of the W_i now assigned to it; one without clients keeps its value
/// ```
///
/// It is k-means on parameters, interleaved with training; its objective is the mean of the smallest squared distances. The pull
/// to the centre that the later version of the paper adds to the loss is `proximal`, as in FedProx.
#[derive(Clone, Debug, PartialEq)]
pub struct FeSem {
    /// Width of the network.
    pub width: Ratio,
    /// Number of centres, K.
    pub centres: usize,
    /// Rounds from one assignment to the next.
    pub reassign_every: usize,
    /// Which parameters distances are of.
    pub scope: Scope,
    /// Whether means are weighted by the clients' shares of the training images.
    pub by_share: bool,
    /// Rounds in which all clients train one common centre; after the last, k-means on the clients' parameters splits it.
    pub warm_up: usize,
    /// Whether all centres start with the same values.
    pub shared_start: bool,
}

impl FeSem {
    /// The round after which clients belong to different centres for the first time.
    fn first(&self) -> usize {
        self.warm_up.saturating_sub(1)
    }
}

impl Algorithm for FeSem {
    fn bases(&self) -> Result<usize> {
        Ok(self.centres)
    }

    fn base_width(&self) -> Ratio {
        self.width
    }

    fn start(&self, seed: u64, clients: usize) -> Result<State> {
        let centres = if self.warm_up > 0 { 1 } else { self.centres };
        Ok(Centres::at_random(seed, clients, centres, self.centres)?.to_state())
    }

    fn check(&self, state: &State, bases: usize) -> Result<()> {
        Centres::checked(state, bases).map(|_| ())
    }

    fn shares_start(&self) -> bool {
        self.shared_start || self.warm_up > 0
    }

    fn assign(&self, client: &Client, round: &Round, state: &mut State) -> Result<Assignment> {
        Centres::assign(state, client, round, self.by_share)
    }

    fn stages(&self, round: usize) -> Vec<Stage> {
        let between = match round.checked_sub(self.first()) {
            Some(0) if self.warm_up > 0 => vec![Stage::FromLanes],
            Some(since) if since > 0 && since.is_multiple_of(self.reassign_every) => vec![Stage::FromBases],
            _ => vec![],
        };
        [vec![Stage::Train], between, vec![Stage::Average]].concat()
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn after(&self, found: Found, plan: &mut RoundPlan, state: &mut State) -> Result<()> {
        let (chosen, costs): (Vec<usize>, Vec<f64>) = match found {
            Found::FromBases(distances) => distances.iter().map(|of_lane| least(of_lane)).unzip(),
            Found::FromLanes(distances) if distances.len() < self.centres => {
                return Err(Error::Config(format!(
                    "centres = {}: {} clients take part in round {}, which splits them: choose fewer centres, or raise clients-per-round",
                    self.centres,
                    distances.len(),
                    plan.round + 1
                )));
            }
            Found::FromLanes(distances) => k_means(&distances, self.centres).into_iter().unzip(),
            Found::Losses(_) => return Ok(()),
        };
        Centres::choose(state, plan, &chosen, &costs)?;
        plan.clients.iter_mut().zip(chosen).for_each(|(client, centre)| client.into = Some(vec![centre]));
        Ok(())
    }

    fn own_bases(&self, state: &State) -> Option<Vec<u32>> {
        Centres::own_bases(state)
    }

    fn figures(&self, state: &State) -> BTreeMap<String, f64> {
        Centres::figures(state)
    }
}

const REASSIGN: Whole =
    Whole { key: "reassign-every", help: "Assign clients to centres anew every N rounds.", least: 1, most: 1_000_000, default: 1 };
const CLUSTER_ON: Choice = Choice {
    key: "cluster-on",
    help: "Parameters whose distances decide: all, or the weight of the last layer.",
    names: &["all", "last"],
    default: "all",
};
const WARM_UP: Whole = Whole {
    key: "warm-up",
    help: "Rounds in which all clients train one common centre, which is then split by k-means on their parameters.",
    least: 0,
    most: 1_000_000,
    default: 0,
};
const SHARED: Switch = Switch { key: "shared-start", help: "Start all centres with the same values, as warm-up does.", default: false };

/// FeSEM.
pub const METHOD: Method = Method {
    name: "fesem",
    help: "several centres of one width, each client assigned to the nearest",
    reads: &["width"],
    options: &[
        MethodOption::Whole(CENTRES),
        MethodOption::Whole(REASSIGN),
        MethodOption::Choice(CLUSTER_ON),
        MethodOption::Choice(WEIGHTS),
        MethodOption::Whole(WARM_UP),
        MethodOption::Switch(SHARED),
    ],
    refuses: &[
        ("personal", "its distances are of all that is trained; with this method leave it out"),
        ("scaffold", "a control variate would be of a centre that its client has left; with this method leave it out"),
    ],
    hints: &[("budgets", "its clients all train one width")],
    check: |_| Ok(()),
    build: |settings| {
        Arc::new(FeSem {
            width: settings.width,
            centres: settings.own.whole(&CENTRES),
            reassign_every: settings.own.whole(&REASSIGN),
            scope: if settings.own.choice(&CLUSTER_ON) == "last" { Scope::LastLayer } else { Scope::All },
            by_share: settings.own.choice(&WEIGHTS) == "share",
            warm_up: settings.own.whole(&WARM_UP),
            shared_start: settings.own.switch(&SHARED),
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::{RoundSettings, Schedule, plan_round};

    fn fesem(centres: usize) -> FeSem {
        let scope = Scope::All;
        FeSem { width: Ratio::EIGHTH, centres, reassign_every: 1, scope, by_share: false, warm_up: 0, shared_start: false }
    }

    /// The plan of a round of four clients with 10, 20, 30 and 40 images, assigned to these centres.
    fn planned(algorithm: &FeSem, round: usize, centres: [u32; 4]) -> (RoundPlan, State) {
        let clients: Vec<Client> = (0..4).map(|id| Client::of(id, Ratio::EIGHTH, 10 * (id + 1))).collect();
        let mut state = Centres { of_client: centres.to_vec(), ..Centres::default() }.to_state();
        let settings = RoundSettings { seed: 1, rounds: 9, clients_per_round: None, lr: 0.1, schedule: Schedule::None };
        (plan_round(&settings, algorithm, &clients, &mut state, round).unwrap(), state)
    }

    #[test]
    fn the_hand_case() {
        // W = 0, 1, 10, 12 and centres 0, 10.
        let w = [0.0, 1.0, 10.0, 12.0f64];
        let distances = |centres: [f64; 2]| w.iter().map(|w| centres.iter().map(|c| (w - c).powi(2)).collect()).collect();
        let algorithm = fesem(2);
        let (mut plan, mut state) = planned(&algorithm, 1, [1, 0, 1, 0]);
        assert_eq!(plan.lanes.iter().map(|lane| lane.base).collect::<Vec<_>>(), [1, 0, 1, 0]);
        algorithm.after(Found::FromBases(distances([0.0, 10.0])), &mut plan, &mut state).unwrap();
        plan.share_out();
        assert_eq!(algorithm.own_bases(&state).unwrap(), [0, 0, 1, 1]);
        assert_eq!(algorithm.figures(&state), BTreeMap::from([("moves".into(), 2.0), ("objective".into(), 1.25)]));
        let centre = |k: usize| plan.members(k).map(|(lane, share)| share * w[lane]).sum::<f64>();
        assert_eq!([centre(0), centre(1)], [0.5, 11.0]);
        algorithm.after(Found::FromBases(distances([0.5, 11.0])), &mut plan, &mut state).unwrap();
        assert_eq!(algorithm.figures(&state), BTreeMap::from([("moves".into(), 0.0), ("objective".into(), 0.625)]));
        // By their images: 10 and 20 of 30, 30 and 40 of 70.
        let by_share = FeSem { by_share: true, ..algorithm };
        let (plan, _) = planned(&by_share, 1, [0, 0, 1, 1]);
        let shares: Vec<f64> = plan.lanes.iter().map(|lane| lane.share * 210.0).collect();
        assert_eq!(shares.iter().map(|s| s.round()).collect::<Vec<_>>(), [70.0, 140.0, 90.0, 120.0]);
    }

    #[test]
    fn centres_have_no_order() {
        let distances = [[1.0, 5.0, 2.0], [4.0, 0.5, 3.0], [2.0, 2.5, 1.0], [9.0, 8.0, 7.0]];
        let permuted = [2, 0, 1];
        let algorithm = fesem(3);
        let chosen = |columns: [usize; 3], centres: [u32; 4]| {
            let (mut plan, mut state) = planned(&algorithm, 1, centres);
            let rows = distances.iter().map(|row| columns.iter().map(|c| row[*c]).collect()).collect();
            algorithm.after(Found::FromBases(rows), &mut plan, &mut state).unwrap();
            (algorithm.own_bases(&state).unwrap(), algorithm.figures(&state))
        };
        let (own, figures) = chosen([0, 1, 2], [0, 1, 2, 0]);
        let place = |k: u32| permuted.iter().position(|c| *c == k as usize).unwrap() as u32;
        let expected: Vec<u32> = own.iter().map(|k| place(*k)).collect();
        assert_eq!(chosen(permuted, [place(0), place(1), place(2), place(0)]), (expected, figures));
    }

    #[test]
    fn rounds_assign_as_often_as_they_are_to() {
        let of = |algorithm: &FeSem| -> Vec<Option<Stage>> {
            (0..6).map(|r| Some(algorithm.stages(r)).filter(|s| s.len() == 3).map(|s| s[1])).collect()
        };
        let (e, split) = (Some(Stage::FromBases), Some(Stage::FromLanes));
        assert_eq!(of(&fesem(2)), [None, e, e, e, e, e]);
        assert_eq!(of(&FeSem { reassign_every: 2, ..fesem(2) }), [None, None, e, None, e, None]);
        assert_eq!(of(&FeSem { warm_up: 2, reassign_every: 3, ..fesem(2) }), [None, split, None, None, e, None]);
    }

    #[test]
    fn a_round_that_splits_needs_as_many_clients_as_centres() {
        let algorithm = FeSem { warm_up: 1, ..fesem(5) };
        assert_eq!(algorithm.own_bases(&algorithm.start(1, 7).unwrap()).unwrap(), [0; 7]);
        let (mut plan, mut state) = planned(&algorithm, 0, [0; 4]);
        let error = algorithm.after(Found::FromLanes(vec![vec![0.0; 4]; 4]), &mut plan, &mut state).unwrap_err().to_string();
        assert!(error.contains("centres = 5: 4 clients take part in round 1"), "{error}");
    }
}
