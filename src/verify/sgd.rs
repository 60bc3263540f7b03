//! Cases of SGD.

use super::{Case, Cases, LANES, Trial, Want, near_where};
use crate::kernels::sgd::{self, Sgd};
use kernels_tests::sgd as twin;

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
}

/// The twin's settings in all cases.
pub(super) const SETTINGS: twin::Sgd = twin::Sgd { learning_rate: 0.125, momentum: 0.875, weight_decay: 0.03125 };

/// The kernel with [`SETTINGS`].
pub(super) fn kernel(length: u32, stride: u32, skip: (u32, u32)) -> Sgd {
    let [learning_rate, momentum, weight_decay] = [SETTINGS.learning_rate, SETTINGS.momentum, SETTINGS.weight_decay].map(|v| v as f32);
    Sgd { length, stride, skip, learning_rate, momentum, weight_decay }
}

impl Case for SgdCase {
    fn op(&self) -> &'static str {
        if self.two { "sgd, two losses" } else { "sgd" }
    }

    fn fill(&self, t: &mut Trial) {
        // A row ends in what is not trained.
        let stride = self.length + 3;
        let n = LANES.len() * stride as usize * 4;
        let [theta, g, buf, second] = std::array::from_fn(|_| t.noise.values(n));
        let whole: Vec<f64> = g.iter().zip(&second).map(|(a, b)| if self.two { a + b } else { *a }).collect();
        let (mut theta_after, mut buf_after) = (theta.clone(), buf.clone());
        for _ in 0..self.steps {
            twin::sgd(&SETTINGS, &mut theta_after, &mut buf_after, &whole);
        }
        let (start, count) = self.skip;
        let trained = |i: usize| {
            let place = i as u32 / 4 % stride;
            place < self.length && !(start..start + count).contains(&place)
        };
        let b = sgd::Buffers {
            gradient: t.changed("gradient", &g, vec![Want::Keep; n]),
            other: self.two.then(|| t.values("other gradient", &second)),
            momentum: t.changed("momentum", &buf, near_where(&buf_after, 4.0, trained)),
            parameters: t.changed("parameters", &theta, near_where(&theta_after, 4.0, trained)),
        };
        t.dispatches = vec![kernel(self.length, stride, self.skip).dispatch("case", b); self.steps];
    }
}

pub(super) fn standard(cases: &mut Cases) {
    cases.add(410, SgdCase { length: 70, skip: (0, 0), two: false, steps: 1 });
    cases.add(411, SgdCase { length: 9, skip: (2, 5), two: false, steps: 5 });
    cases.add(412, SgdCase { length: 70, skip: (0, 0), two: true, steps: 2 });
}
