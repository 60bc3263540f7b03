//! Cases of the server's optimiser.

use super::{Case, Cases, Trial, near_where};
use crate::kernels::server_step::{self, Adaptive, Rule, ServerOptimizer, ServerStep};
use kernels_tests::server_step as twin;

/// A step of the server's optimiser on three bases, one of which nobody trained.
#[derive(Debug, Clone, Copy)]
pub struct ServerStepCase {
    /// The rule; none: momentum alone.
    pub rule: Option<Rule>,
    /// vec4 of a row that are moved.
    pub length: u32,
}

impl Case for ServerStepCase {
    fn op(&self) -> &'static str {
        match self.rule {
            None => "server_step, momentum",
            Some(Rule::Adagrad) => "server_step, adagrad",
            Some(Rule::Adam) => "server_step, adam",
            Some(Rule::Yogi) => "server_step, yogi",
        }
    }

    fn fill(&self, t: &mut Trial) {
        let (start, stride) = (2, self.length + 5);
        let row = stride as usize * 4;
        let trained = [1u32, 0, 1];
        let [theta, mean, average] = std::array::from_fn(|_| t.noise.values(3 * row));
        // Not near 0, where the root would magnify rounding.
        let square: Vec<f64> = t.noise.values(3 * row).into_iter().map(|v| 1.25 + v).collect();
        let (learning_rate, first, second, tau) = (0.125, 0.75, 0.9375, 0.0625);
        let rule = match self.rule {
            None => twin::Rule::Momentum,
            Some(Rule::Adagrad) => twin::Rule::Adagrad,
            Some(Rule::Adam) => twin::Rule::Adam,
            Some(Rule::Yogi) => twin::Rule::Yogi,
        };
        let settings = twin::ServerStep { rule, learning_rate, first, second, tau };
        let (mut theta_after, mut mean_after, mut square_after) = (theta.clone(), mean.clone(), square.clone());
        twin::server_step(&settings, &mut theta_after, &mut mean_after, &mut square_after, &average);
        let reached = start * 4..(start + self.length as usize) * 4;
        let near = |after: &[f64]| near_where(after, 4.0, |i| trained[i / row] == 1 && reached.contains(&(i % row)));
        let b = server_step::Buffers {
            trained: t.words("trained", trained.to_vec()),
            average: t.values("average", &average),
            mean: t.changed("mean", &mean, near(&mean_after)),
            square: match self.rule {
                Some(_) => t.changed("square", &square, near(&square_after)),
                None => t.values("square", &square),
            },
            parameters: t.changed("parameters", &theta, near(&theta_after)),
        };
        let adaptive = self.rule.map(|rule| Adaptive { rule, second: second as f32, tau: tau as f32 });
        let optimizer = ServerOptimizer { learning_rate: learning_rate as f32, first: first as f32, adaptive };
        t.dispatches.push(ServerStep { start: start as u32, length: self.length, stride, bases: 3, optimizer }.dispatch("case", b));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    for (seed, rule) in (430..).zip([None, Some(Rule::Adagrad), Some(Rule::Adam), Some(Rule::Yogi)]) {
        cases.add(seed, ServerStepCase { rule, length: 70 });
    }
}
