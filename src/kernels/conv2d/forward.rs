//! Convolution, forward; see `shaders/conv2d_forward.wgsl`.

use super::Conv2d;
use super::strip::Strip;
use crate::kernels::{Activation, BufferId, Dispatch, LaneTables, Over, ParameterPlace, Tile, Tuning, Uniforms, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dForward {
    /// Geometry.
    pub conv: Conv2d,
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// The input; its border is at least the padding.
    pub input: Activation,
    /// Whether the input is one per client slot (images) and not one per lane.
    pub input_per_slot: bool,
    /// The output, per lane.
    pub output: Activation,
    /// Where weights and bias lie.
    pub place: ParameterPlace,
    /// Factor on the result: the layer correction 1/r in training, else 1.
    pub scale: f32,
    /// Which variant.
    pub tuning: Tuning,
    /// Whether it leaves the statistics of each tile for batch norm.
    pub statistics: bool,
}

impl Conv2dForward {
    /// The part of the output that one invocation computes.
    pub fn tile(&self) -> Tile {
        let out = self.conv.output;
        if let Some(strip) = self.strip() {
            return strip.tile(out.height);
        }
        Tile::new(out.height, out.width, self.output.layout.blocks(), self.conv.stride, self.tuning)
    }

    fn strip(&self) -> Option<Strip> {
        let out = self.conv.output;
        Strip::new(&self.conv, (out.height, out.width), self.input.layout.blocks(), self.conv.in_lanes(), self.tuning)
    }

    /// Bytes of one lane's statistics; a few where none are left.
    pub fn part_bytes(&self) -> u64 {
        if !self.statistics {
            return 16;
        }
        let (segments, bands) = self.tile().grid(self.conv.output.height, self.conv.output.width);
        u64::from(self.batch * segments * bands) * u64::from(self.output.layout.blocks()) * 32
    }

    /// The dispatch, over lanes, by rows of `parameters`. With statistics, `parts` becomes `[lane][tile][block]` of (mean, squared
    /// deviations), of [`Conv2dForward::part_bytes`].
    pub fn dispatch(&self, label: &str, tables: LaneTables, parameters: BufferId, parts: BufferId) -> Dispatch {
        let c = &self.conv;
        let dispatch = match self.strip() {
            Some(strip) => self.by_strips(label, strip),
            None => self.by_tiles(label, self.tile()),
        };
        dispatch.tables(tables).reads([self.input.buffer, parameters]).writes([self.output.buffer, parts]).cost(
            2 * c.macs(self.batch),
            self.input.layout.payload(self.batch) + self.output.layout.payload(self.batch) + c.weight_bytes() + self.part_bytes(),
        )
    }

    /// Those of the input, the output, the grid of what invocations compute, and the parameters.
    fn uniforms(&self, input: Uniforms, grid: Uniforms) -> Uniforms {
        let place = &self.place;
        input.with(self.conv.output_uniforms(self.output.layout)).with(grid).with(uniforms! {
            input_per_slot: self.input_per_slot,
            parameter_stride: place.stride,
            weight: place.weight,
            bias: place.bias.unwrap_or(0),
            has_bias: place.bias.is_some(),
            scale: self.scale,
        })
    }

    /// An invocation a tile.
    fn by_tiles(&self, label: &str, tile: Tile) -> Dispatch {
        let c = &self.conv;
        let (segments, bands) = tile.grid(c.output.height, c.output.width);
        let mut constants = vec![("KERNEL_WIDTH", c.kernel_width), ("STRIDE", c.stride), ("IN_LANES", c.in_lanes())];
        constants.extend(tile.constants(self.input.layout.blocks(), c.kernel_height * c.kernel_width, self.tuning));
        constants.push(("STATISTICS", u32::from(self.statistics)));
        let input = uniforms! {
            batch: self.batch,
            in_blocks: self.input.layout.blocks(),
            in_row: self.input.layout.row(),
            in_image: self.input.layout.image(),
            in_origin: self.input.layout.origin(c.padding),
        };
        let grid = uniforms! { kernel_height: c.kernel_height, segments: segments, bands: bands };
        let invocations = tile.invocations(self.batch, c.output.height, c.output.width, self.output.layout.blocks());
        Dispatch::new(label, shader::conv2d_forward, "conv2d_forward", Over::Lanes, invocations)
            .constants(constants)
            .uniforms(self.uniforms(input, grid))
    }

    /// A subgroup a strip.
    fn by_strips(&self, label: &str, strip: Strip) -> Dispatch {
        let c = &self.conv;
        let mut constants = strip.constants(c, c.output.width, self.input.layout.blocks());
        constants.extend(strip.row_constants(c));
        constants.extend([("IN_LANES", c.in_lanes()), ("STATISTICS", u32::from(self.statistics))]);
        let input = uniforms! {
            batch: self.batch,
            in_height: c.input.height,
            in_row: self.input.layout.row(),
            in_image: self.input.layout.image(),
            in_origin: self.input.layout.origin(c.padding),
            padding: c.padding,
        };
        let grid = uniforms! { segments: strip.segments(c.output.width) };
        let (shader, invocations) = (shader::conv2d_subgroup_forward, strip.invocations(self.batch, self.output.layout, c.output.width));
        Dispatch::new(label, shader, "conv2d_subgroup_forward", Over::Lanes, invocations)
            .constants(constants)
            .uniforms(self.uniforms(input, grid))
    }
}
