//! The plan of a round as data: the clients that take part, their lanes, and which base each lane is averaged into.

use super::budget::Ratio;

/// A corner of a network: the first channels of every layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodel {
    /// Its width, as a fraction of the full network.
    pub width: Ratio,
    /// Widths of the corners of it that are trained in the same steps, gradients added; ascending.
    pub narrower: Vec<Ratio>,
}

/// A client's part in a round.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientPlan {
    /// Its number.
    pub client: usize,
    /// Its weight in averages; by default `w_k = n_k / Σ n` over the training images of all clients that can train.
    pub weight: f64,
    /// The bases that it trains, ascending.
    pub bases: Vec<usize>,
    /// The bases that its lanes are averaged into, as many, where they are others.
    pub into: Option<Vec<usize>>,
    /// The corner of each that it trains; `None`: all of it.
    pub submodel: Option<Submodel>,
}

/// One (client, base) pair: a replica trained in this round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lane {
    /// The client's place in [`RoundPlan::clients`].
    pub slot: usize,
    /// The client's number.
    pub client: usize,
    /// The base that it is a replica of.
    pub base: usize,
    /// The base that it is averaged into: the same, unless the algorithm says otherwise.
    pub into: usize,
    /// The lane's part in the average of its kind, `w_k / Σ w` over the lanes of the same submodel that are averaged into this base in this round, in
    /// (0, 1].
    pub share: f64,
}

/// All that is decided before a round's training starts.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundPlan {
    /// 0-based number of the round.
    pub round: usize,
    /// Learning rate of every step.
    pub lr: f64,
    /// The clients that take part, ascending.
    pub clients: Vec<ClientPlan>,
    /// The lanes, by client and then by base; averages add in this order.
    pub lanes: Vec<Lane>,
    /// Number of bases in the ensemble.
    pub bases: usize,
    /// The submodels of this round and, for each base, the weight of their lanes that are averaged into it: that of their average among those
    /// of other submodels. Every parameter becomes the mean over the submodels that hold it.
    pub weights: Vec<(Option<Submodel>, Vec<f64>)>,
}

impl RoundPlan {
    /// The lanes that are averaged into base `base`, as (index in [`RoundPlan::lanes`], share), in client order. Without submodels the new
    /// base is the sum of `share · θ` over them; a base without lanes keeps its value.
    pub fn members(&self, base: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter(move |(_, lane)| lane.into == base).map(|(index, lane)| (index, lane.share))
    }

    /// Makes lanes, shares and weights anew from what the clients train and where their lanes are averaged.
    pub fn share_out(&mut self) {
        let mut weights: Vec<(Option<Submodel>, Vec<f64>)> = Vec::new();
        let mut kinds = Vec::new();
        for client in &self.clients {
            let kind = match weights.iter().position(|(submodel, _)| *submodel == client.submodel) {
                Some(kind) => kind,
                None => {
                    weights.push((client.submodel.clone(), vec![0.0; self.bases]));
                    weights.len() - 1
                }
            };
            for base in client.into() {
                weights[kind].1[*base] += client.weight;
            }
            kinds.push(kind);
        }
        let lanes = self.clients.iter().zip(kinds).enumerate().flat_map(|(slot, (client, kind))| {
            let totals = &weights[kind].1;
            let bases = client.bases.iter().zip(client.into());
            bases.map(move |(base, into)| Lane {
                slot,
                client: client.client,
                base: *base,
                into: *into,
                share: client.weight / totals[*into],
            })
        });
        self.lanes = lanes.collect();
        self.weights = weights;
    }
}

impl ClientPlan {
    /// The bases that its lanes are averaged into.
    pub fn into(&self) -> &[usize] {
        self.into.as_ref().unwrap_or(&self.bases)
    }
}
