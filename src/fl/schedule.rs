//! The learning rate of each round.

use crate::text::names;

names! {
    /// How the learning rate falls from round to round. A function of the round alone, so a resumed run goes on
    /// where it was.
    Schedule, "a learning-rate schedule" {
        /// Constant.
        None = "none",
        /// `½·lr·(1 + cos(π·t/T))` in round `t = 0 … T−1`.
        Cos = "cos",
        /// ×0.1 from (0-based) round 150 on and again from 250.
        MultiStep = "multi_step",
        /// The same at 200 and 300.
        MultiStep50 = "multi_step50",
        /// The same at 250 and 350.
        MultiStep100 = "multi_step100",
    }
}

impl Schedule {
    /// The learning rate of (0-based) round `round` of `rounds`, from the initial rate `lr`.
    pub fn rate(self, lr: f64, round: usize, rounds: usize) -> f64 {
        let steps = |milestones: [usize; 2]| {
            let passed = milestones.iter().filter(|&&milestone| round >= milestone).count();
            [lr, lr * 0.1, lr * 0.1 * 0.1][passed]
        };
        match self {
            Schedule::None => lr,
            // By `libm`, so that every platform trains with the same rates. The `max` covers a run of no rounds.
            Schedule::Cos => 0.5 * lr * (1.0 + libm::cos(std::f64::consts::PI * round as f64 / rounds.max(1) as f64)),
            Schedule::MultiStep => steps([150, 250]),
            Schedule::MultiStep50 => steps([200, 300]),
            Schedule::MultiStep100 => steps([250, 350]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn none_is_constant() {
        for round in [0, 150, 999] {
            assert_eq!(Schedule::None.rate(0.01, round, 1000), 0.01);
        }
    }

    #[test]
    fn cosine_by_hand() {
        let rate = |round| Schedule::Cos.rate(0.01, round, 300);
        assert_eq!(rate(0), 0.01);
        assert_relative_eq!(rate(100), 0.0075, max_relative = 1e-12); // ½(1 + ½)
        assert_relative_eq!(rate(150), 0.005, max_relative = 1e-12);
        assert_relative_eq!(rate(200), 0.0025, max_relative = 1e-12);
        // The last round is not zero: ½(1 + cos(299π/300)) = sin²(π/600).
        assert_relative_eq!(rate(299), 0.01 * (std::f64::consts::PI / 600.0).sin().powi(2), max_relative = 1e-9);
    }

    #[test]
    fn steps_fall_at_their_rounds() {
        let cases = [(Schedule::MultiStep, 150, 250), (Schedule::MultiStep50, 200, 300), (Schedule::MultiStep100, 250, 350)];
        for (schedule, first, second) in cases {
            let rate = |round| schedule.rate(0.1, round, 400);
            assert_eq!(rate(0), 0.1);
            assert_eq!(rate(first - 1), 0.1);
            assert_relative_eq!(rate(first), 0.01, max_relative = 1e-12);
            assert_relative_eq!(rate(second - 1), 0.01, max_relative = 1e-12);
            assert_relative_eq!(rate(second), 0.001, max_relative = 1e-12);
            assert_relative_eq!(rate(399), 0.001, max_relative = 1e-12);
        }
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        use Schedule::{Cos, MultiStep, MultiStep50, MultiStep100, None};
        for schedule in [None, Cos, MultiStep, MultiStep50, MultiStep100] {
            assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
            let json = serde_json::to_string(&schedule).unwrap();
            assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
        }
        let message = "cosine".parse::<Schedule>().unwrap_err().to_string();
        assert!(message.contains("none, cos, multi_step, multi_step50 or multi_step100"), "{message}");
    }

    #[test]
    fn no_rounds_is_no_panic() {
        assert_eq!(Schedule::Cos.rate(0.1, 0, 0), 0.1);
    }
}
