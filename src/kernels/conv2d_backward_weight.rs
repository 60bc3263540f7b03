//! Convolution, gradient with respect to weights and bias, first stage; see `shaders/conv2d_backward_weight.wgsl`.

use super::conv2d_forward::Conv2d;
use super::conv2d_subgroup::WeightStrip;
use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, Tuning, WORKGROUP, pixels_per_invocation, shader};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBackwardWeight {
    /// Geometry.
    pub conv: Conv2d,
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Layout of the input; its border is at least the padding.
    pub input: ImageLayout,
    /// Whether the input is one per client slot (images) and not one per lane.
    pub input_per_slot: bool,
    /// Layout of dz.
    pub dz: ImageLayout,
    /// Which variant.
    pub tuning: Tuning,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// Images, per slot or lane.
    pub input: BufferId,
    /// Gradient of the output.
    pub dz: BufferId,
    /// Out: `[lane][part]` of weights, then bias.
    pub partial: BufferId,
}

const ACCESS: &[super::Access] = &[Read, Read, Read, Read, Write];

impl Conv2dBackwardWeight {
    /// Kernel rows that one invocation holds: all, or one.
    fn kernel_rows(&self) -> u32 {
        let c = &self.conv;
        if c.kernel_height * c.kernel_width <= self.tuning.taps { c.kernel_height } else { 1 }
    }

    fn strip(&self) -> Option<WeightStrip> {
        WeightStrip::new(&self.conv, self.input.blocks(), self.tuning)
    }

    /// Invocations of one part.
    fn invocations_per_part(&self) -> u32 {
        match self.strip() {
            Some(strip) => strip.invocations(self.input.blocks(), self.dz.blocks()),
            None => self.conv.kernel_height / self.kernel_rows() * self.input.blocks() * self.dz.blocks(),
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

    /// The dispatch, over lanes; [`super::sum_partials`] is the second stage.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let c = &self.conv;
        let (kernel, words) = match self.strip() {
            Some(strip) => self.by_strips(strip),
            None => self.by_rows(),
        };
        Dispatch {
            label: label.into(),
            kernel,
            words,
            step_word: None,
            buffers: vec![b.lanes, b.batch_sizes, b.input, b.dz, b.partial],
            invocations: self.parts() * self.invocations_per_part(),
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: 2 * c.macs(self.batch),
            bytes: self.input.payload(self.batch) + self.dz.payload(self.batch) + c.weight_bytes(),
        }
    }

    /// Kernel and uniform words: an invocation holds kernel rows of 4 × 4 channels.
    fn by_rows(&self) -> (Kernel, Vec<u32>) {
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
        let words = vec![
            self.batch,
            self.input.blocks(),
            self.input.row(),
            self.input.image(),
            self.input.origin(c.padding),
            self.dz.blocks(),
            c.output.height,
            c.output.width,
            self.dz.row(),
            self.dz.image(),
            self.dz.origin(0),
            c.kernel_height,
            c.output.width.div_ceil(pixels),
            u32::from(self.input_per_slot),
            self.parts(),
            self.samples_per_part(),
            self.partial_stride(),
        ];
        let kernel = Kernel { shader: shader::conv2d_backward_weight, entry: "conv2d_backward_weight", constants, access: ACCESS };
        (kernel, words)
    }

    /// Kernel and uniform words: a subgroup holds all taps of its channels.
    fn by_strips(&self, strip: WeightStrip) -> (Kernel, Vec<u32>) {
        let c = &self.conv;
        let mut constants = strip.constants(c);
        constants.push(("IN_LANES", c.in_lanes()));
        let words = vec![
            self.batch,
            self.input.blocks(),
            c.input.height,
            self.input.row(),
            self.input.image(),
            self.input.origin(c.padding),
            c.padding,
            self.dz.blocks(),
            c.output.height,
            c.output.width,
            self.dz.row(),
            self.dz.image(),
            self.dz.origin(0),
            c.output.width.div_ceil(strip.pixels),
            u32::from(self.input_per_slot),
            self.parts(),
            self.samples_per_part(),
            self.partial_stride(),
        ];
        let shader = shader::conv2d_subgroup_backward_weight;
        (Kernel { shader, entry: "conv2d_subgroup_backward_weight", constants, access: ACCESS }, words)
    }
}
