//! The plan of a round: who trains which base, and how the results are averaged (paper, Algorithm 1).

use super::algorithms::{Algorithm, Round, State};
use super::partition::{Client, Warning, none_can_train};
use super::round::{ClientPlan, RoundPlan};
use super::sampling::participants;
use super::schedule::Schedule;
use crate::{Error, Result};

/// What the plan of a round depends on, besides the clients and the state.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundSettings {
    /// The run's seed.
    pub seed: u64,
    /// Rounds of the whole run.
    pub rounds: usize,
    /// Clients drawn for each round; all when none, or more than there are.
    pub clients_per_round: Option<usize>,
    /// Initial learning rate.
    pub lr: f64,
    /// How it falls.
    pub schedule: Schedule,
}

/// Plans round `round`: draws its clients and assigns each of them its part.
///
/// `clients` are all clients of the run, by number. The rounds of a run must be planned in order, each once, as a plan may change the
/// state.
///
/// # Errors
/// [`Error::Config`] when `clients_per_round` is 0 or a client has more bases than the ensemble; [`Error::Data`] when
/// no client can train.
pub fn plan_round(
    settings: &RoundSettings,
    algorithm: &dyn Algorithm,
    clients: &[Client],
    state: &mut State,
    round: usize,
) -> Result<RoundPlan> {
    if settings.clients_per_round == Some(0) {
        return Err(Error::Config("clients-per-round must be at least 1".into()));
    }
    let able: Vec<usize> = (0..clients.len()).filter(|&index| clients[index].can_train()).collect();
    let images: usize = able.iter().map(|&index| clients[index].train.len()).sum();
    if able.is_empty() {
        return Err(none_can_train());
    }
    let bases = algorithm.bases()?;
    let per_round = settings.clients_per_round.unwrap_or(able.len());

    let mut plans = Vec::new();
    for index in participants(settings.seed, round as u64, &able, per_round) {
        let client = &clients[index];
        let mut own = algorithm.assign(client, &Round { seed: settings.seed, number: round, images }, state)?;
        own.bases.sort_unstable();
        plans.push(ClientPlan { client: client.id, weight: own.weight, bases: own.bases, into: None, submodel: own.submodel });
    }
    let lr = settings.schedule.rate(settings.lr, round, settings.rounds);
    let mut plan = RoundPlan { round, lr, clients: plans, lanes: Vec::new(), bases, weights: Vec::new() };
    plan.share_out();
    Ok(plan)
}

/// The warning where nobody trains the outermost channels of the network.
///
/// # Errors
/// [`Error::Config`] for a budget that is too small for anything.
pub fn untrained(algorithm: &dyn Algorithm, clients: &[Client]) -> Result<Option<Warning>> {
    let network = algorithm.base_width();
    let mut trained = None;
    for client in clients {
        let width = algorithm.task(client.budget)?.submodel.map_or(network, |submodel| submodel.width);
        trained = trained.max(Some(width).filter(|_| client.can_train()));
    }
    Ok(trained.filter(|trained| *trained < network).map(|trained| Warning::Untrained { trained, network }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::Submodel;
    use crate::fl::budget::Ratio;
    use crate::fl::{FedAvg, HeteroFl, SplitMix};
    use approx::assert_relative_eq;

    /// A client that affords so many bases of 1/8.
    fn client(id: usize, bases: usize, images: usize) -> Client {
        Client::of(id, Ratio::EIGHTH.times(bases).unwrap(), images)
    }

    /// So many bases of 1/8.
    fn split_mix(bases: usize) -> SplitMix {
        SplitMix { budgets: format!("8d{bases}").parse().unwrap(), base_width: Ratio::EIGHTH }
    }

    fn first_round(algorithm: &dyn Algorithm, clients: &[Client]) -> Result<RoundPlan> {
        plan_round(&settings(), algorithm, clients, &mut algorithm.start(1, clients.len())?, 0)
    }

    fn settings() -> RoundSettings {
        RoundSettings { seed: 1, rounds: 300, clients_per_round: None, lr: 0.01, schedule: Schedule::Cos }
    }

    #[test]
    fn a_full_round_of_the_paper_has_185_lanes() {
        let bases = [1, 2, 4, 8];
        let clients: Vec<Client> = (0..50).map(|id| client(id, bases[4 * id / 50], 111)).collect();
        let mut state = split_mix(8).start(1, 50).unwrap();
        let plan = plan_round(&settings(), &split_mix(8), &clients, &mut state, 150).unwrap();
        assert_eq!((plan.clients.len(), plan.lanes.len(), plan.bases), (50, 185, 8));
        assert_relative_eq!(plan.lr, 0.005, max_relative = 1e-12);
        assert!(plan.lanes.is_sorted_by_key(|lane| (lane.client, lane.base)));
        assert_eq!(state["dealt"], 50);
        for base in 0..8 {
            // Equal clients: the share is one over the number of lanes, and shares sum to one.
            let shares: Vec<f64> = plan.members(base).map(|(_, share)| share).collect();
            assert!(shares.iter().all(|&share| (share * shares.len() as f64 - 1.0).abs() < 1e-12));
        }
        assert_relative_eq!(plan.clients.iter().map(|client| client.weight).sum::<f64>(), 1.0, max_relative = 1e-12);
    }

    #[test]
    fn weights_and_shares_by_hand() {
        // Images 10, 20, 70 of 100; the first two clients train both bases, the third one of them.
        let clients = [client(0, 2, 10), client(1, 2, 20), client(2, 1, 70)];
        let plan = first_round(&split_mix(2), &clients).unwrap();
        assert_eq!(plan.clients.iter().map(|client| client.weight).collect::<Vec<_>>(), [0.1, 0.2, 0.7]);
        let third = plan.lanes[4];
        assert_eq!((third.slot, third.client), (2, 2));
        let expect = |base: usize, shares: &[f64]| {
            let got: Vec<f64> = plan.members(base).map(|(_, share)| share).collect();
            assert_eq!(got.len(), shares.len());
            for (got, wanted) in got.iter().zip(shares) {
                assert_relative_eq!(*got, *wanted, max_relative = 1e-12);
            }
        };
        expect(third.base, &[0.1, 0.2, 0.7]);
        expect(1 - third.base, &[1.0 / 3.0, 2.0 / 3.0]);
    }

    #[test]
    fn a_base_may_go_untrained() {
        let plan = first_round(&split_mix(4), &[client(0, 1, 5)]).unwrap();
        let trained: Vec<usize> = (0..4).filter(|&base| plan.members(base).count() > 0).collect();
        assert_eq!(trained.len(), 1);
        assert_eq!(plan.lanes[0].share, 1.0);
    }

    #[test]
    fn drawn_clients_only_and_their_numbers_kept() {
        let clients: Vec<Client> = (0..10).map(|id| client(id, 1, 8)).collect();
        let some = RoundSettings { clients_per_round: Some(3), ..settings() };
        let plan = plan_round(&some, &split_mix(2), &clients, &mut split_mix(2).start(1, 10).unwrap(), 4).unwrap();
        assert_eq!(plan.clients.len(), 3);
        for (slot, lane) in plan.lanes.iter().enumerate() {
            assert_eq!((lane.slot, lane.client), (slot, plan.clients[slot].client));
            // The weight is over all clients, whoever takes part.
            assert_relative_eq!(plan.clients[slot].weight, 0.1);
        }
    }

    #[test]
    fn clients_that_cannot_train_have_no_lane_and_no_weight() {
        let clients = [client(0, 1, 1), client(1, 1, 30), client(2, 1, 0), client(3, 1, 10)];
        let plan = first_round(&split_mix(1), &clients).unwrap();
        let weights: Vec<(usize, f64)> = plan.clients.iter().map(|plan| (plan.client, plan.weight)).collect();
        assert_eq!(weights, [(1, 0.75), (3, 0.25)]);
        assert!(first_round(&split_mix(1), &clients[..1]).is_err());
        assert!(first_round(&split_mix(1), &[]).is_err());
    }

    #[test]
    fn fedavg_is_one_base_that_all_train() {
        let clients: Vec<Client> = (0..5).map(|id| client(id, 1, 10)).collect();
        let algorithm = FedAvg { width: Ratio::ONE };
        let plan = first_round(&algorithm, &clients).unwrap();
        assert_eq!(plan.members(0).count(), 5);
        assert!(plan.lanes.iter().all(|lane| (lane.share - 0.2).abs() < 1e-12));
    }

    #[test]
    fn corners_are_averaged_among_themselves_and_weighed_against_each_other() {
        let images = [10, 30, 20, 40];
        let of = |count_widths| {
            let algorithm = HeteroFl { budgets: "2-1".parse().unwrap(), slimmable: true, count_widths };
            let budgets = algorithm.budgets(4).into_iter().zip(images).enumerate();
            let clients: Vec<Client> = budgets.map(|(id, (budget, images))| Client::of(id, budget, images)).collect();
            first_round(&algorithm, &clients).unwrap()
        };
        let widths = |plan: &RoundPlan| {
            let of = |(submodel, weights): &(Option<Submodel>, Vec<f64>)| (submodel.as_ref().unwrap().width.to_string(), weights.clone());
            plan.weights.iter().map(of).collect::<Vec<_>>()
        };
        let plan = of(false);
        for (lane, share) in plan.lanes.iter().zip([0.25, 0.75, 1.0 / 3.0, 2.0 / 3.0]) {
            assert_relative_eq!(lane.share, share, max_relative = 1e-12);
        }
        let close = |got: Vec<(String, Vec<f64>)>, want: [f64; 2]| {
            assert_eq!(got.iter().map(|g| g.0.as_str()).collect::<Vec<_>>(), ["1/2", "1"]);
            got.iter().zip(want).for_each(|(g, w)| assert_relative_eq!(g.1[0], w, max_relative = 1e-12));
        };
        close(widths(&plan), [0.4, 0.6]);
        // Those of full width train two widths, and count twice.
        close(widths(&of(true)), [0.4, 1.2]);
    }

    #[test]
    fn channels_that_nobody_trains_are_reported() {
        let hetero_fl = HeteroFl { budgets: "8-4-2-1".parse().unwrap(), slimmable: false, count_widths: false };
        let mut clients: Vec<Client> = (1..=4).map(|n| Client::of(n, Ratio::EIGHTH.times(1 << (n - 1)).unwrap(), 4)).collect();
        assert_eq!(untrained(&hetero_fl, &clients).unwrap(), None);
        clients[3].train.truncate(1);
        let told = untrained(&hetero_fl, &clients).unwrap().unwrap().to_string();
        assert!(told.contains("above 1/2 trains") && told.contains("of width 1,"), "{told}");
        // Bases are trained whole, by whomever.
        assert_eq!(untrained(&split_mix(8), &clients).unwrap(), None);
        let wide = SplitMix { budgets: "1".parse().unwrap(), base_width: "1/4".parse().unwrap() };
        assert!(untrained(&wide, &clients).is_err());
    }

    #[test]
    fn a_resumed_run_plans_the_same_rounds() {
        let clients: Vec<Client> = (0..10).map(|id| client(id, id % 4 + 1, 8)).collect();
        let some = RoundSettings { clients_per_round: Some(4), ..settings() };
        let algorithm = split_mix(4);
        let mut state = algorithm.start(1, clients.len()).unwrap();
        let mut saved = None;
        let whole: Vec<RoundPlan> = (0..12)
            .map(|round| {
                if round == 5 {
                    saved = Some(serde_json::to_string(&state).unwrap());
                }
                plan_round(&some, &algorithm, &clients, &mut state, round).unwrap()
            })
            .collect();
        let mut state: State = serde_json::from_str(&saved.unwrap()).unwrap();
        for (round, wanted) in whole.iter().enumerate().skip(5) {
            assert_eq!(plan_round(&some, &algorithm, &clients, &mut state, round).unwrap(), *wanted);
        }
    }

    #[test]
    fn impossible_settings_are_refused() {
        let none = RoundSettings { clients_per_round: Some(0), ..settings() };
        assert!(plan_round(&none, &split_mix(1), &[client(0, 1, 5)], &mut State::new(), 0).is_err());
        assert!(first_round(&split_mix(2), &[client(0, 3, 5)]).is_err());
    }
}
