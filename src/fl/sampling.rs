//! Who takes part in a round (the paper's "contact rate").

use super::random::{Purpose, rng};
use rand::seq::SliceRandom;

/// The clients of round `round`: `per_round` of `clients`, uniform without replacement, ascending, so that lanes
/// and sums are in client order. All of them when `per_round` is at least their number.
pub fn participants(seed: u64, round: u64, clients: &[usize], per_round: usize) -> Vec<usize> {
    let mut chosen = clients.to_vec();
    if per_round < clients.len() {
        let (drawn, _) = chosen.partial_shuffle(&mut rng(seed, Purpose::Participants, round, 0, 0), per_round);
        chosen = drawn.to_vec();
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_when_all_are_asked_for() {
        let clients: Vec<usize> = (0..50).collect();
        assert_eq!(participants(1, 0, &clients, 50), clients);
        assert_eq!(participants(1, 0, &clients, 80), clients);
        assert!(participants(1, 0, &[], 3).is_empty());
        assert!(participants(1, 0, &clients, 0).is_empty());
    }

    #[test]
    fn distinct_ascending_and_keyed_by_round_and_seed() {
        let clients: Vec<usize> = (0..50).map(|client| 2 * client).collect();
        let draw = |seed, round| participants(seed, round, &clients, 10);
        for round in 0..50 {
            let drawn = draw(1, round);
            assert_eq!(drawn.len(), 10);
            assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(drawn.iter().all(|client| clients.contains(client)));
        }
        assert_eq!(draw(1, 3), draw(1, 3));
        assert_ne!(draw(1, 3), draw(1, 4));
        assert_ne!(draw(1, 3), draw(2, 3));
    }

    #[test]
    fn uniform() {
        // 2000 rounds of 5 out of 20: 500 each, standard deviation √(2000·¼·¾) = 19.4; 5 of them is 97.
        let clients: Vec<usize> = (0..20).collect();
        let mut counts = [0i32; 20];
        for round in 0..2000 {
            for client in participants(4, round, &clients, 5) {
                counts[client] += 1;
            }
        }
        assert!(counts.iter().all(|count| (count - 500).abs() < 97), "{counts:?}");
    }
}
