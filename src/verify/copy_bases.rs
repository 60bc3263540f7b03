//! Cases of lanes that take their bases.

use super::{Case, Cases, LANES, Trial, Want, exactly};
use crate::kernels::copy_bases::{self, CopyBases};

/// Lanes downloading their bases.
#[derive(Debug, Clone, Copy)]
pub struct CopyCase {
    /// vec4 of a base.
    pub length: u32,
}

impl Case for CopyCase {
    fn op(&self) -> &'static str {
        "copy_bases"
    }

    fn fill(&self, t: &mut Trial) {
        let server = t.noise.values(3 * self.length as usize * 4);
        let want = kernels_tests::copy_bases::copy_bases(3, &server, &LANES.map(|l| l[2]));
        let b = copy_bases::Buffers {
            lanes: t.lanes(),
            server: t.values("server", &server),
            parameters: t.output("parameters", exactly(&want)),
            momentum: t.output("momentum", vec![Want::Bits(0); want.len()]),
        };
        t.dispatches.push(CopyBases { length: self.length }.dispatch("case", b));
    }
}

pub(super) fn standard(cases: &mut Cases) {
    cases.add(420, CopyCase { length: 70 });
}
