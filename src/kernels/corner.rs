//! Corners of wide networks: taken, added to and averaged; see `shaders/corner.wgsl`.

use super::{BufferId, Dispatch, Over, shader, uniforms};

/// Rows of a wide network and of a narrow one that is its corner.
#[derive(Debug, Clone, Copy)]
pub struct Corner {
    /// vec4 of a narrow row.
    pub narrow: u32,
    /// vec4 of a wide row.
    pub wide: u32,
    /// Which rows.
    pub over: Over,
}

/// Buffers of [`Corner::take`] and [`Corner::add`].
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// For each value of a narrow row its place in a wide one, as [`crate::net::Network::corner_table`] has it.
    pub places: BufferId,
    /// Rows of the narrow network.
    pub narrow: BufferId,
    /// Rows of the wide network.
    pub wide: BufferId,
}

/// Buffers of [`Corner::merge`].
#[derive(Debug, Clone, Copy)]
pub struct MergeBuffers {
    /// As in [`Buffers`].
    pub places: BufferId,
    /// Rows of the narrow network.
    pub narrow: BufferId,
    /// Weight of each row.
    pub weights: BufferId,
    /// In and out: weighted sums, in wide rows.
    pub sum: BufferId,
    /// In and out: sums of the weights, in wide rows.
    pub mass: BufferId,
}

/// Buffers of [`Corner::settle`].
#[derive(Debug, Clone, Copy)]
pub struct SettleBuffers {
    /// Weighted sums, in wide rows.
    pub sum: BufferId,
    /// Sums of the weights, in wide rows.
    pub mass: BufferId,
    /// In and out: wide rows.
    pub parameters: BufferId,
}

impl Corner {
    /// Copies the corners of wide rows into narrow ones; padding becomes 0.
    pub fn take(&self, label: &str, b: Buffers) -> Dispatch {
        self.dispatch(label, "take", (0, 12)).reads([b.places, b.wide]).writes([b.narrow])
    }

    /// Adds narrow rows to the corners of wide ones.
    pub fn add(&self, label: &str, b: Buffers) -> Dispatch {
        self.dispatch(label, "add", (1, 16)).reads([b.places, b.narrow]).writes([b.wide])
    }

    /// Adds weighted narrow rows to the corners of sums, and their weights to those of masses.
    pub fn merge(&self, label: &str, b: MergeBuffers) -> Dispatch {
        self.dispatch(label, "merge", (3, 24)).reads([b.places, b.narrow]).writes([b.sum]).reads([b.weights]).writes([b.mass])
    }

    /// Replaces every value that has a mass by its sum over its mass.
    pub fn settle(&self, label: &str, b: SettleBuffers) -> Dispatch {
        let over_wide = Corner { narrow: self.wide, ..*self };
        over_wide.dispatch(label, "settle", (1, 16)).reads([b.sum, b.mass]).writes([b.parameters])
    }

    /// A dispatch over narrow rows of so many (operations, bytes) a value.
    fn dispatch(&self, label: &str, entry: &'static str, (flops, bytes): (u64, u64)) -> Dispatch {
        let values = u64::from(self.narrow) * 4;
        Dispatch::new(label, shader::corner, entry, self.over, self.narrow)
            .uniforms(uniforms! { length: self.narrow, wide: self.wide * 4 })
            .cost(values * flops, values * bytes)
    }
}
