//! The metrics of a run: one JSON object a round.

use crate::fl::Ratio;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of `metrics.jsonl`. It holds only what the configuration, the data and the adapter decide, so two runs of
/// one configuration, or a resumed and an uninterrupted one, can be compared byte for byte; what a round cost is in
/// [`RoundCost`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoundMetrics {
    /// 0-based number of the round.
    pub round: usize,
    /// Learning rate of the round.
    pub lr: f64,
    /// Clients that took part.
    pub clients: usize,
    /// (client, base) pairs trained.
    pub lanes: usize,
    /// Cross entropy (natural logarithm) during training, mean over the images of all lanes and steps; in adversarial training, of
    /// clean and attacked images in their shares.
    pub train_loss: f64,
    /// Share of right answers during training, in [0, 1], over the same; in adversarial training, of clean images.
    pub train_accuracy: f64,
    /// The same of attacked images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust_train_accuracy: Option<f64>,
    /// Validation at each width, ascending; empty in a round without validation.
    pub validation: Vec<WidthMetrics>,
    /// Validation at full width of images attacked as in training, through the adversarial batch norms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust_validation: Option<WidthMetrics>,
    /// Whether this round's ensemble became the best so far.
    pub best: bool,
    /// The base that answers for each client after the round, where each has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_bases: Option<Vec<u32>>,
    /// Figures of the method's own, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
}

/// Validation accuracy of the first `k` bases mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WidthMetrics {
    /// The width.
    pub width: Ratio,
    /// Unweighted mean of the accuracies of all clients that have validation images, in [0, 1]; none when none has.
    pub accuracy: Option<f64>,
    /// The same over the clients of each domain, by domain name.
    pub domains: BTreeMap<String, Option<f64>>,
}

/// One line of `timing.jsonl`: what a round cost on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoundCost {
    /// 0-based number of the round.
    pub round: usize,
    /// Wall time from the plan of the round to its counters being read back, in seconds.
    pub seconds: f64,
    /// Waves that the round's lanes were trained in.
    pub waves: usize,
    /// Dispatches recorded for training and validation.
    pub dispatches: u64,
    /// Command buffers submitted for the training.
    pub submits: u64,
    /// Runs that were trained together in this round; all figures are of all of them.
    #[serde(default = "alone", skip_serializing_if = "is_alone")]
    pub together: usize,
}

fn alone() -> usize {
    1
}

fn is_alone(together: &usize) -> bool {
    *together == 1
}

/// Mean accuracy at one width over all clients and per domain. `clients` are (domain name, accuracy) in client order;
/// the accuracy is none for a client without images.
pub fn width_metrics(width: Ratio, clients: &[(&str, Option<f64>)]) -> WidthMetrics {
    let mut domains: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for &(domain, accuracy) in clients {
        domains.entry(domain).or_default().push(accuracy);
    }
    let all: Vec<Option<f64>> = clients.iter().map(|client| client.1).collect();
    let mean = crate::fl::selection::mean;
    WidthMetrics {
        width,
        accuracy: mean(&all),
        domains: domains.into_iter().map(|(domain, values)| (domain.to_string(), mean(&values))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_by_hand() {
        let clients = [("b", Some(1.0)), ("b", Some(0.5)), ("a", None), ("a", Some(0.0)), ("c", None)];
        let metrics = width_metrics(Ratio::ONE, &clients);
        assert_eq!(metrics.accuracy, Some(0.5));
        let domains: Vec<(&str, Option<f64>)> = metrics.domains.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(domains, [("a", Some(0.0)), ("b", Some(0.75)), ("c", None)]);
    }

    #[test]
    fn a_line_is_read_back_exactly() {
        let line = RoundMetrics {
            round: 3,
            lr: 0.1 + 0.2,
            clients: 2,
            lanes: 5,
            train_loss: 1.0 / 3.0,
            train_accuracy: 2.0 / 3.0,
            robust_train_accuracy: Some(1.0 / 3.0),
            robust_validation: Some(width_metrics(Ratio::ONE, &[("a", None)])),
            validation: vec![width_metrics("1/8".parse().unwrap(), &[("a", Some(1.0 / 7.0))])],
            best: true,
            own_bases: Some(vec![1, 0]),
            figures: BTreeMap::from([("moves".into(), 1.0)]),
        };
        let text = serde_json::to_string(&line).unwrap();
        assert!(!text.contains('\n') && text.contains("\"train-loss\":0.333"), "{text}");
        assert_eq!(serde_json::from_str::<RoundMetrics>(&text).unwrap(), line);
    }
}
