//! Cases of FedProx's proximal term.

use super::{Case, LANES, Noise, Trial, Want, lane_table};
use crate::kernels::proximal::Proximal;
use crate::kernels::{Tuning, proximal};

/// FedProx's proximal term.
#[derive(Debug, Clone, Copy)]
pub struct ProximalCase {
    /// vec4 of a lane that the term is on.
    pub length: u32,
    /// Its weight.
    pub mu: f32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for ProximalCase {
    fn op(&self) -> &'static str {
        "proximal"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let start = 2;
        let row = (start + self.length as usize + 3) * 4;
        let (server, theta, g) = (noise.values(3 * row), noise.values(LANES.len() * row), noise.values(LANES.len() * row));
        let f32s = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let mut want = Vec::new();
        for (lane, base) in LANES.iter().map(|l| l[2] as usize).enumerate() {
            let own = |v: &[f64]| v[lane * row..][..row].to_vec();
            let after = kernels_tests::proximal::proximal(f64::from(self.mu), &own(&theta), &server[base * row..][..row], &own(&g));
            let reached = start * 4..(start + self.length as usize) * 4;
            want.extend(after.into_iter().enumerate().map(|(i, v)| if reached.contains(&i) { Want::Near(v, 4.0) } else { Want::Keep }));
        }
        let b = proximal::Buffers {
            lanes: t.words("lanes", lane_table()),
            server: t.values("server", &f32s(&server)),
            parameters: t.values("parameters", &f32s(&theta)),
            gradient: t.values("gradient", &f32s(&g)),
        };
        t.expect(b.gradient, want);
        t.dispatches = vec![Proximal { start: start as u32, length: self.length, stride: row as u32 / 4, mu: self.mu }.dispatch("case", b)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    vec![Box::new(ProximalCase { length: 70, mu: 0.125, seed: 416 })]
}
