//! Squared distances of lanes' parameters from rows; see `shaders/row_distance.wgsl`.

use super::{BufferId, Dispatch, Over, WORKGROUP, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowDistance {
    /// First vec4 of a row that is compared.
    pub start: u32,
    /// vec4 that are compared.
    pub length: u32,
    /// vec4 of a row.
    pub stride: u32,
    /// Number of rows to compare with.
    pub rows: u32,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Parameters of the lanes.
    pub parameters: BufferId,
    /// The rows that they are compared with.
    pub rows: BufferId,
    /// Out: sums of squares, `[lane][row][part]`.
    pub distances: BufferId,
}

impl RowDistance {
    /// vec4 that one workgroup adds: few enough that 32-bit sums are exact to about a millionth, enough that few sums are read back.
    pub const PART: u32 = 16_384;

    /// Sums of a pair of rows.
    pub fn parts(&self) -> u32 {
        self.length.div_ceil(RowDistance::PART)
    }

    /// Bytes of one lane's distances.
    pub fn lane_bytes(&self) -> u64 {
        4 * u64::from(self.rows) * u64::from(self.parts())
    }

    /// The distances out of the bytes of so many whole lanes, `[lane][row]`.
    pub fn parse(&self, bytes: &[u8]) -> Vec<Vec<f64>> {
        let sums: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let of_row = |parts: &[f32]| parts.iter().map(|sum| f64::from(*sum)).sum();
        let (parts, rows) = (self.parts() as usize, self.rows as usize);
        sums.chunks_exact(parts * rows).map(|lane| lane.chunks_exact(parts).map(of_row).collect()).collect()
    }

    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let pairs = self.rows * self.parts();
        let values = u64::from(self.length) * 4 * u64::from(self.rows);
        Dispatch::new(label, shader::row_distance, "row_distance", Over::Lanes, pairs * WORKGROUP)
            .uniforms(uniforms! { start: self.start, length: self.length, stride: self.stride, part: RowDistance::PART, rows: self.rows })
            .reads([b.parameters, b.rows])
            .writes([b.distances])
            .cost(values * 3, values * 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_row_are_added() {
        let kernel = RowDistance { start: 4, length: RowDistance::PART + 1, stride: 40_000, rows: 2 };
        assert_eq!((kernel.parts(), kernel.lane_bytes()), (2, 16));
        let sums: Vec<f32> = (1..9u8).map(f32::from).collect();
        assert_eq!(kernel.parse(bytemuck::cast_slice(&sums)), [[3.0, 7.0], [11.0, 15.0]]);
    }
}
