//! HeteroFL (Diao, Ding, Tarokh, ICLR 2021) and SHeteroFL (the Split-Mix paper's slimmable variant of it).

use super::registry::Method;
use super::{Algorithm, Assignment, Composition, Round, State, Task};
use crate::fl::budget::{Budgets, Ratio};
use crate::fl::partition::Client;
use crate::fl::round::Submodel;
use crate::{Error, Result};
use std::sync::Arc;

/// One network, of which every client trains the corner that its budget allows: the first `⌈width · channels⌉` channels of every
/// layer. Every parameter becomes the mean over the clients that hold it. A model of a width is the corner of that width.
#[derive(Clone, Debug, PartialEq)]
pub struct HeteroFl {
    /// The clients' budgets; the largest is the network's width.
    pub budgets: Budgets,
    /// SHeteroFL: every client trains all the widths of the budgets up to its own in each step, their gradients added.
    pub slimmable: bool,
    /// A client counts once for every width that it trains, as in the Split-Mix authors' program; else once.
    pub count_widths: bool,
}

impl Algorithm for HeteroFl {
    fn bases(&self) -> Result<usize> {
        Ok(1)
    }

    fn base_width(&self) -> Ratio {
        self.budgets.max()
    }

    fn budgets(&self, clients: usize) -> Vec<Ratio> {
        self.budgets.client_ratios(clients)
    }

    fn task(&self, budget: Ratio) -> Result<Task> {
        let mut narrower: Vec<Ratio> = self.budgets.widths().into_iter().filter(|w| self.slimmable && *w < budget).collect();
        narrower.sort();
        narrower.dedup();
        Ok(Task { bases: 1, submodel: Some(Submodel { width: budget, narrower }) })
    }

    fn assign(&self, client: &Client, round: &Round, _state: &mut State) -> Result<Assignment> {
        let (submodel, share) = (self.task(client.budget)?.submodel, round.share(client));
        let widths = submodel.as_ref().map_or(1, |submodel| 1 + submodel.narrower.len());
        Ok(Assignment { bases: vec![0], submodel, weight: if self.count_widths { share * widths as f64 } else { share } })
    }

    fn model(&self, width: Ratio) -> Result<Composition> {
        let full = self.base_width();
        if width > full {
            return Err(Error::Config(format!("the width {width} is more than the largest budget: choose one up to {full}")));
        }
        Ok(Composition::Corner)
    }

    fn widths(&self) -> Result<Vec<Ratio>> {
        let mut widths = self.budgets.widths();
        widths.sort();
        widths.dedup();
        Ok(widths)
    }
}

/// HeteroFL.
pub const METHOD: Method = Method {
    name: "hetero-fl",
    help: "one network, of which every client trains the corner of its budget",
    reads: &["budgets"],
    options: &[],
    refuses: &[
        ("bn-mode", "corners have no statistics of their own to keep; with this method choose batch"),
        ("local-bn", "a client has batch norms of its corner only; with this method leave it out"),
        ("scaffold", "control variates are of whole networks; with this method leave it out"),
        ("server-optimizer", "values have different holders in each round; with this method leave it out"),
        ("personal", "a client has only its corner of a layer; with this method leave it out"),
        ("lambda-train", "adversarial training is for methods whose clients train whole networks, such as split-mix and fedavg"),
    ],
    hints: &[("width", "widths says which are tested")],
    check: |_| Ok(()),
    build: |settings| Arc::new(HeteroFl { budgets: settings.budgets.clone(), slimmable: false, count_widths: false }),
};

/// SHeteroFL.
pub const SLIMMABLE: Method = Method {
    name: "shetero-fl",
    help: "the same, and all narrower budgets' corners with it",
    reads: &["budgets", "count-widths"],
    build: |settings| Arc::new(HeteroFl { budgets: settings.budgets.clone(), slimmable: true, count_widths: settings.count_widths }),
    ..METHOD
};

#[cfg(test)]
mod tests {
    use super::*;

    fn hetero_fl(slimmable: bool, count_widths: bool) -> HeteroFl {
        HeteroFl { budgets: "8-4-2-1".parse().unwrap(), slimmable, count_widths }
    }

    fn tasks(algorithm: &HeteroFl) -> Vec<(String, usize, f64)> {
        let of = |budget| {
            let client = Client::of(0, budget, 5);
            let round = Round { seed: 1, number: 0, images: 20 };
            let Assignment { bases, submodel, weight } = algorithm.assign(&client, &round, &mut State::new()).unwrap();
            assert_eq!((bases, &submodel), (vec![0], &algorithm.task(budget).unwrap().submodel));
            let submodel = submodel.unwrap();
            (submodel.width.to_string(), submodel.narrower.len(), weight)
        };
        algorithm.budgets(4).into_iter().map(of).collect()
    }

    #[test]
    fn every_client_trains_the_corner_of_its_budget() {
        let (algorithm, own) = (hetero_fl(false, false), |w: &str| (w.to_string(), 0, 0.25));
        assert_eq!(tasks(&algorithm), ["1/8", "1/4", "1/2", "1"].map(own));
        assert_eq!((algorithm.bases().unwrap(), algorithm.full_width().unwrap()), (1, Ratio::ONE));
        assert_eq!(algorithm.widths().unwrap().iter().map(Ratio::to_string).collect::<Vec<_>>(), ["1/8", "1/4", "1/2", "1"]);
        // Any width is a corner, not those of the budgets only.
        assert_eq!(algorithm.model("3/7".parse().unwrap()).unwrap(), Composition::Corner);
        let half = HeteroFl { budgets: "8-4-8d3-2".parse().unwrap(), ..algorithm };
        assert!(half.model(Ratio::ONE).unwrap_err().to_string().contains("1/2"));
    }

    #[test]
    fn slimmable_clients_train_all_widths_up_to_theirs() {
        let of = |weights: [f64; 4]| {
            let row = |(i, w): (usize, &str)| (w.to_string(), i, weights[i]);
            ["1/8", "1/4", "1/2", "1"].into_iter().enumerate().map(row).collect::<Vec<_>>()
        };
        assert_eq!(tasks(&hetero_fl(true, false)), of([0.25; 4]));
        assert_eq!(tasks(&hetero_fl(true, true)), of([0.25, 0.5, 0.75, 1.0]));
        let narrower = hetero_fl(true, false).task(Ratio::ONE).unwrap().submodel.unwrap().narrower;
        assert_eq!(narrower.iter().map(Ratio::to_string).collect::<Vec<_>>(), ["1/8", "1/4", "1/2"]);
    }
}
