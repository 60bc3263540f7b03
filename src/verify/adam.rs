//! Cases of Adam.

use super::{Case, LANES, Noise, SLOTS, Trial, Want};
use crate::gpu::Active;
use crate::kernels::adam::Adam;
use crate::kernels::{Tuning, adam};

/// Adam's steps.
#[derive(Debug, Clone, Copy)]
pub struct AdamCase {
    /// vec4 of a lane that are trained.
    pub length: u32,
    /// Add the gradient of a second loss.
    pub two: bool,
    /// The step, from 0; at 0 the means before count as 0.
    pub step: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for AdamCase {
    fn op(&self) -> &'static str {
        if self.two { "adam, two losses" } else { "adam" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let stride = self.length + 3;
        let n = LANES.len() * stride as usize * 4;
        let (theta, mean, g, second) = (noise.values(n), noise.values(n), noise.values(n), noise.values(n));
        // Not near 0, where the root would magnify rounding.
        let square: Vec<f64> = noise.values(n).into_iter().map(|v| 1.25 + v).collect();
        let whole: Vec<f64> = g.iter().zip(&second).map(|(a, b)| if self.two { a + b } else { *a }).collect();
        let (learning_rate, weight_decay) = (0.125, 0.03125);
        let settings = kernels_tests::adam::Adam { learning_rate, first: 0.9, second: 0.999, epsilon: 1e-8, weight_decay };
        let (mut theta_after, mut mean_after, mut square_after) = (theta.clone(), mean.clone(), square.clone());
        kernels_tests::adam::adam(&settings, self.step, &mut theta_after, &mut mean_after, &mut square_after, &whole);
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let near = |v: &[f64]| {
            let one = |(i, v): (usize, &f64)| if i as u32 / 4 % stride < self.length { Want::Near(*v, 4.0) } else { Want::Keep };
            v.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let b = adam::Buffers {
            gradient: t.values("gradient", &f32s(&g)),
            other: self.two.then(|| t.values("other gradient", &f32s(&second))),
            corrections: t.values("corrections", &Adam::corrections(self.step + 1).concat()),
            mean: t.values("mean", &f32s(&mean)),
            square: t.values("square", &f32s(&square)),
            parameters: t.values("parameters", &f32s(&theta)),
        };
        t.expect(b.parameters, near(&theta_after));
        t.expect(b.mean, near(&mean_after));
        t.expect(b.square, near(&square_after));
        let kernel = Adam { length: self.length, stride, learning_rate: learning_rate as f32, weight_decay: weight_decay as f32 };
        t.dispatches = vec![kernel.dispatch("case", b)];
        t.active = Some(Active { lanes: LANES.len() as u32, slots: SLOTS as u32, step: self.step });
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    vec![
        Box::new(AdamCase { length: 70, two: false, step: 0, seed: 413 }),
        Box::new(AdamCase { length: 9, two: true, step: 1, seed: 414 }),
        Box::new(AdamCase { length: 70, two: false, step: 300, seed: 415 }),
    ]
}
