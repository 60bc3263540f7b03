//! Cases of Adam.

use super::{Case, Cases, LANES, Trial, near_where};
use crate::kernels::adam::{self, Adam};
use kernels_tests::adam as twin;

/// Adam's steps.
#[derive(Debug, Clone, Copy)]
pub struct AdamCase {
    /// vec4 of a lane that are trained.
    pub length: u32,
    /// Add the gradient of a second loss.
    pub two: bool,
    /// The step, from 0; at 0 the means before count as 0.
    pub step: u32,
}

impl Case for AdamCase {
    fn op(&self) -> &'static str {
        if self.two { "adam, two losses" } else { "adam" }
    }

    fn fill(&self, t: &mut Trial) {
        let stride = self.length + 3;
        let n = LANES.len() * stride as usize * 4;
        let [theta, mean, g, second] = std::array::from_fn(|_| t.noise.values(n));
        // Not near 0, where the root would magnify rounding.
        let square: Vec<f64> = t.noise.values(n).into_iter().map(|v| 1.25 + v).collect();
        let whole: Vec<f64> = g.iter().zip(&second).map(|(a, b)| if self.two { a + b } else { *a }).collect();
        let (learning_rate, weight_decay) = (0.125, 0.03125);
        let settings = twin::Adam { learning_rate, first: 0.9, second: 0.999, epsilon: 1e-8, weight_decay };
        let (mut theta_after, mut mean_after, mut square_after) = (theta.clone(), mean.clone(), square.clone());
        twin::adam(&settings, self.step, &mut theta_after, &mut mean_after, &mut square_after, &whole);
        let near = |after: &[f64]| near_where(after, 4.0, |i| i as u32 / 4 % stride < self.length);
        let b = adam::Buffers {
            gradient: t.values("gradient", &g),
            other: self.two.then(|| t.values("other gradient", &second)),
            corrections: t.values("corrections", &Adam::corrections(self.step + 1).concat()),
            mean: t.changed("mean", &mean, near(&mean_after)),
            square: t.changed("square", &square, near(&square_after)),
            parameters: t.changed("parameters", &theta, near(&theta_after)),
        };
        let kernel = Adam { length: self.length, stride, learning_rate: learning_rate as f32, weight_decay: weight_decay as f32 };
        t.dispatches.push(kernel.dispatch("case", b));
        t.active.step = self.step;
    }
}

pub(super) fn standard(cases: &mut Cases) {
    cases.add(413, AdamCase { length: 70, two: false, step: 0 });
    cases.add(414, AdamCase { length: 9, two: true, step: 1 });
    cases.add(415, AdamCase { length: 70, two: false, step: 300 });
}
