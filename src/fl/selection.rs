//! Which round's ensemble is kept as the best.

use serde::{Deserialize, Serialize};

/// The best round so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// 0-based round after which it was measured.
    pub round: usize,
    /// Mean validation accuracy at full width, in [0, 1].
    pub accuracy: f64,
}

/// Keeps the round with the highest validation accuracy; of equals, the earliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// The best round so far; none before the first validation.
    pub best: Option<Best>,
}

impl Selection {
    /// Takes note of a validated round; true when it is strictly better than every one before (the first always
    /// is), that is, when its parameters are to be kept. An accuracy that is not a number is never better.
    pub fn offer(&mut self, round: usize, accuracy: f64) -> bool {
        let better = !accuracy.is_nan() && self.best.is_none_or(|best| accuracy > best.accuracy);
        if better {
            self.best = Some(Best { round, accuracy });
        }
        better
    }
}

/// The unweighted mean over the clients that have a value (a client without validation images has none), summed
/// in client order; none when no client has one.
pub fn mean(values: &[Option<f64>]) -> Option<f64> {
    let count = values.iter().flatten().count();
    (count > 0).then(|| values.iter().flatten().sum::<f64>() / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strictly_better_rounds_are_kept() {
        let mut selection = Selection::default();
        assert!(selection.offer(0, 0.5));
        assert!(!selection.offer(1, 0.5), "an equal one is not better");
        assert!(!selection.offer(2, 0.4));
        assert!(selection.offer(3, 0.6));
        assert_eq!(selection.best, Some(Best { round: 3, accuracy: 0.6 }));
    }

    #[test]
    fn the_first_round_counts_even_at_zero_and_nan_never() {
        let mut selection = Selection::default();
        assert!(!selection.offer(0, f64::NAN));
        assert!(selection.offer(1, 0.0));
        assert!(!selection.offer(2, f64::NAN));
        assert_eq!(selection.best.unwrap().round, 1);
    }

    #[test]
    fn the_mean_is_over_clients_not_images() {
        assert_eq!(mean(&[Some(1.0), Some(0.5), None, Some(0.0)]), Some(0.5));
        assert_eq!(mean(&[None, None]), None);
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn it_serialises_exactly() {
        let mut selection = Selection::default();
        selection.offer(7, 0.1 + 0.2);
        let text = serde_json::to_string(&selection).unwrap();
        assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), selection);
    }
}
