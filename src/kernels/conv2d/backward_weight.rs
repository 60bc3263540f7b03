//! Convolution, gradient with respect to weights and bias, first stage; see `shaders/conv2d_backward_weight.wgsl`.

use super::Conv2d;
use super::strip::WeightStrip;
use crate::kernels::{
    Activation, BufferId, Dispatch, ImageLayout, LaneTables, Over, Shader, Tuning, Uniforms, pixels_per_invocation, shader, uniforms,
};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBackwardWeight {
    /// Geometry.
    pub conv: Conv2d,
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// The input; its border is at least the padding.
    pub input: Activation,
    /// Whether the input is one per client slot (images) and not one per lane.
    pub input_per_slot: bool,
    /// Layout of dz.
    pub dz: ImageLayout,
    /// Which variant.
    pub tuning: Tuning,
}

impl Conv2dBackwardWeight {
    /// Kernel rows that one invocation holds: all, or one.
    fn kernel_rows(&self) -> u32 {
        let c = &self.conv;
        if c.kernel_height * c.kernel_width <= self.tuning.taps { c.kernel_height } else { 1 }
    }

    fn strip(&self) -> Option<WeightStrip> {
        WeightStrip::new(&self.conv, self.input.layout.blocks(), self.tuning)
    }

    /// Invocations of one part.
    fn invocations_per_part(&self) -> u32 {
        match self.strip() {
            Some(strip) => strip.invocations(self.input.layout.blocks(), self.dz.blocks()),
            None => self.conv.kernel_height / self.kernel_rows() * self.input.layout.blocks() * self.dz.blocks(),
        }
    }

    /// Samples of a part: as many as leave the wanted number of invocations.
    fn samples_per_part(&self) -> u32 {
        let parts = self.tuning.partial_invocations.div_ceil(self.invocations_per_part());
        (self.batch / parts).max(1)
    }

    /// Parts of a full batch.
    pub fn parts(&self) -> u32 {
        self.batch.div_ceil(self.samples_per_part())
    }

    /// vec4 of one part: the weights, then the bias.
    pub fn partial_stride(&self) -> u32 {
        self.conv.weight_blocks() + self.dz.blocks()
    }

    /// Bytes of one lane's parts.
    pub fn partial_bytes(&self) -> u64 {
        u64::from(self.parts()) * u64::from(self.partial_stride()) * 16
    }

    /// The dispatch, over lanes, from the output's gradient into `partial`, `[lane][part]` of weights, then bias;
    /// [`crate::kernels::sum_partials`] is the second stage.
    pub fn dispatch(&self, label: &str, tables: LaneTables, dz: BufferId, partial: BufferId) -> Dispatch {
        let c = &self.conv;
        let dispatch = match self.strip() {
            Some(strip) => self.by_strips(label, strip),
            None => self.by_rows(label),
        };
        dispatch
            .tables(tables)
            .reads([self.input.buffer, dz])
            .writes([partial])
            .cost(2 * c.macs(self.batch), self.input.layout.payload(self.batch) + self.dz.payload(self.batch) + c.weight_bytes())
    }

    /// A dispatch with uniforms of the input, the output's gradient, the grid of what invocations go through, and the parts.
    fn of_parts(&self, label: &str, shader: Shader, entry: &'static str, input: Uniforms, grid: Uniforms) -> Dispatch {
        let parts = uniforms! {
            input_per_slot: self.input_per_slot,
            parts: self.parts(),
            samples_per_part: self.samples_per_part(),
            partial_stride: self.partial_stride(),
        };
        Dispatch::new(label, shader, entry, Over::Lanes, self.parts() * self.invocations_per_part())
            .uniforms(input.with(self.conv.output_uniforms(self.dz)).with(grid).with(parts))
    }

    /// An invocation holds kernel rows of 4 × 4 channels.
    fn by_rows(&self, label: &str) -> Dispatch {
        let c = &self.conv;
        // Short rows: here an invocation already holds a whole kernel row of accumulators.
        let pixels = pixels_per_invocation(c.output.width, self.tuning.pixels.min(7));
        let constants = vec![
            ("KERNEL_WIDTH", c.kernel_width),
            ("KERNEL_ROWS", self.kernel_rows()),
            ("STRIDE", c.stride),
            ("PIXELS", pixels),
            ("IN_LANES", c.in_lanes()),
        ];
        let input = uniforms! {
            batch: self.batch,
            in_blocks: self.input.layout.blocks(),
            in_row: self.input.layout.row(),
            in_image: self.input.layout.image(),
            in_origin: self.input.layout.origin(c.padding),
        };
        let grid = uniforms! { kernel_height: c.kernel_height, segments: c.output.width.div_ceil(pixels) };
        self.of_parts(label, shader::conv2d_backward_weight, "conv2d_backward_weight", input, grid).constants(constants)
    }

    /// A subgroup holds all taps of its channels.
    fn by_strips(&self, label: &str, strip: WeightStrip) -> Dispatch {
        let c = &self.conv;
        let mut constants = strip.constants(c);
        constants.push(("IN_LANES", c.in_lanes()));
        let input = uniforms! {
            batch: self.batch,
            in_blocks: self.input.layout.blocks(),
            in_height: c.input.height,
            in_row: self.input.layout.row(),
            in_image: self.input.layout.image(),
            in_origin: self.input.layout.origin(c.padding),
            padding: c.padding,
        };
        let grid = uniforms! { segments: c.output.width.div_ceil(strip.pixels) };
        let shader = shader::conv2d_subgroup_backward_weight;
        self.of_parts(label, shader, "conv2d_subgroup_backward_weight", input, grid).constants(constants)
    }
}
