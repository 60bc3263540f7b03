//! Cases of SGD.

use super::{Case, LANES, Noise, Trial, Want};
use crate::kernels::sgd::Sgd;
use crate::kernels::{Tuning, sgd};

/// Steps of SGD with momentum and weight decay.
#[derive(Debug, Clone, Copy)]
pub struct SgdCase {
    /// vec4 of a lane.
    pub length: u32,
    /// Start and length of a range to leave alone.
    pub skip: (u32, u32),
    /// Add the gradient of a second loss.
    pub two: bool,
    /// Steps on the same gradient.
    pub steps: usize,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for SgdCase {
    fn op(&self) -> &'static str {
        if self.two { "sgd, two losses" } else { "sgd" }
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        // A row ends in what is not trained.
        let stride = self.length + 3;
        let n = LANES.len() * stride as usize * 4;
        let (theta, g, buf) = (noise.values(n), noise.values(n), noise.values(n));
        let second = noise.values(n);
        let whole: Vec<f64> = g.iter().zip(&second).map(|(a, b)| if self.two { a + b } else { *a }).collect();
        let settings = kernels_tests::sgd::Sgd { learning_rate: 0.125, momentum: 0.875, weight_decay: 0.03125 };
        let (mut theta_after, mut buf_after) = (theta.clone(), buf.clone());
        for _ in 0..self.steps {
            kernels_tests::sgd::sgd(&settings, &mut theta_after, &mut buf_after, &whole);
        }
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let (start, count) = self.skip;
        let skipped = |i: usize| {
            let place = i as u32 / 4 % stride;
            (start..start + count).contains(&place) || place >= self.length
        };
        let near = |v: &[f64]| {
            let one = |(i, v): (usize, &f64)| if skipped(i) { Want::Keep } else { Want::Near(*v, 4.0) };
            v.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        let b = sgd::Buffers {
            gradient: t.values("gradient", &f32s(&g)),
            other: self.two.then(|| t.values("other gradient", &f32s(&second))),
            momentum: t.values("momentum", &f32s(&buf)),
            parameters: t.values("parameters", &f32s(&theta)),
        };
        t.expect(b.parameters, near(&theta_after));
        t.expect(b.momentum, near(&buf_after));
        t.expect(b.gradient, vec![Want::Keep; n]);
        let kernel = Sgd { length: self.length, stride, skip: self.skip, learning_rate: 0.125, momentum: 0.875, weight_decay: 0.03125 };
        t.dispatches = vec![kernel.dispatch("case", b); self.steps];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    vec![
        Box::new(SgdCase { length: 70, skip: (0, 0), two: false, steps: 1, seed: 410 }),
        Box::new(SgdCase { length: 9, skip: (2, 5), two: false, steps: 5, seed: 411 }),
        Box::new(SgdCase { length: 70, skip: (0, 0), two: true, steps: 2, seed: 412 }),
    ]
}
