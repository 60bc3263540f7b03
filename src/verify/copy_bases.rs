//! Cases of lanes that take their bases.

use super::{Case, LANES, Noise, Trial, Want, lane_table};
use crate::kernels::copy_bases::CopyBases;
use crate::kernels::{Tuning, copy_bases};

/// Lanes downloading their bases.
#[derive(Debug, Clone, Copy)]
pub struct CopyCase {
    /// vec4 of a base.
    pub length: u32,
    /// Seed of the data.
    pub seed: u64,
}

impl Case for CopyCase {
    fn op(&self) -> &'static str {
        "copy_bases"
    }

    fn trial(&self, _: Tuning) -> Trial {
        let mut noise = Noise::new(self.seed);
        let mut t = Trial::default();
        let server = noise.values(3 * self.length as usize * 4);
        let bases: Vec<u32> = LANES.iter().map(|l| l[2]).collect();
        let want = kernels_tests::copy_bases::copy_bases(3, &server, &bases);
        let b = copy_bases::Buffers {
            lanes: t.words("lanes", lane_table()),
            server: t.values("server", &server.iter().map(|v| *v as f32).collect::<Vec<_>>()),
            parameters: t.output("parameters", want.iter().map(|v| Want::Bits((*v as f32).to_bits())).collect()),
            momentum: t.output("momentum", vec![Want::Bits(0); want.len()]),
        };
        t.dispatches = vec![CopyBases { length: self.length }.dispatch("case", b)];
        t
    }
}

pub(super) fn standard() -> Vec<Box<dyn Case>> {
    vec![Box::new(CopyCase { length: 70, seed: 420 })]
}
