//! Cases of FedProx's proximal term.

use super::{Case, Cases, LANES, Trial, near_where};
use crate::kernels::proximal::{self, Proximal};
use kernels_tests::proximal::proximal as twin;

/// FedProx's proximal term.
#[derive(Debug, Clone, Copy)]
pub struct ProximalCase {
    /// vec4 of a lane that the term is on.
    pub length: u32,
    /// Its weight.
    pub mu: f32,
}

impl Case for ProximalCase {
    fn op(&self) -> &'static str {
        "proximal"
    }

    fn fill(&self, t: &mut Trial) {
        let start = 2;
        let row = (start + self.length as usize + 3) * 4;
        let (server, theta, g) = (t.noise.values(3 * row), t.noise.values(LANES.len() * row), t.noise.values(LANES.len() * row));
        let rows = theta.chunks_exact(row).zip(g.chunks_exact(row)).zip(LANES);
        let after =
            rows.flat_map(|((theta, g), [_, _, base, _])| twin(f64::from(self.mu), theta, &server[base as usize * row..][..row], g));
        let reached = start * 4..(start + self.length as usize) * 4;
        let want = near_where(&after.collect::<Vec<_>>(), 4.0, |i| reached.contains(&(i % row)));
        let b = proximal::Buffers {
            lanes: t.lanes(),
            server: t.values("server", &server),
            parameters: t.values("parameters", &theta),
            gradient: t.changed("gradient", &g, want),
        };
        t.dispatches.push(Proximal { start: start as u32, length: self.length, stride: row as u32 / 4, mu: self.mu }.dispatch("case", b));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    cases.add(416, ProximalCase { length: 70, mu: 0.125 });
}
