//! Aggregation per base; see `shaders/weighted_average.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct WeightedAverage {
    /// vec4 of a base's parameters that are averaged: the first of its row.
    pub length: u32,
    /// vec4 of a row.
    pub stride: u32,
    /// Number of bases.
    pub bases: u32,
    /// Most lanes of one call, for the size of `members`.
    pub lane_capacity: u32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// The table that [`members`] makes.
    pub members: BufferId,
    /// Parameters of the lanes.
    pub parameters: BufferId,
    /// In and out: the running average of every base.
    pub average: BufferId,
}

/// The kernel's table: for each base its lanes and their weights, in lane order.
pub fn members(bases: u32, lanes: &[(u32, f32)]) -> Vec<u32> {
    let mut table = vec![0; bases as usize + 1];
    for base in 0..bases {
        table[base as usize] = table.len() as u32;
        for (lane, (_, weight)) in lanes.iter().enumerate().filter(|(_, (b, _))| *b == base) {
            table.extend([lane as u32, weight.to_bits()]);
        }
    }
    table[bases as usize] = table.len() as u32;
    table
}

impl WeightedAverage {
    /// Bytes of the `members` table.
    pub fn member_bytes(&self) -> u64 {
        4 * (u64::from(self.bases) + 1 + 2 * u64::from(self.lane_capacity))
    }

    /// The dispatch, over bases.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let values = u64::from(self.length) * 4;
        // The lanes are spread over the bases: their share, for the cost of one base.
        let lanes = u64::from(self.lane_capacity / self.bases.max(1));
        Dispatch::new(label, shader::weighted_average, "weighted_average", Over::Fixed(self.bases), self.length)
            .uniforms(uniforms! { length: self.length, stride: self.stride })
            .reads([b.members, b.parameters])
            .writes([b.average])
            .cost(values * 2 * lanes, values * 4 * (lanes + 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_lists_lanes_of_each_base_in_order() {
        let table = members(3, &[(2, 0.5), (0, 1.0), (2, 0.25)]);
        let w = |v: f32| v.to_bits();
        assert_eq!(table, [4, 6, 6, 10, 1, w(1.0), 0, w(0.5), 2, w(0.25)]);
    }
}
