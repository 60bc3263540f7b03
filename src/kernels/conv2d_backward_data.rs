//! Convolution, gradient with respect to the input; see `shaders/conv2d_backward_data.wgsl`.

use super::conv2d_forward::Conv2d;
use super::{Access::*, BufferId, Dispatch, ImageLayout, Kernel, Over, ParameterPlace, Tile, Tuning, WORKGROUP, shader};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBackwardData {
    /// Geometry.
    pub conv: Conv2d,
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Layout of dx.
    pub dx: ImageLayout,
    /// Layout of dz; its border is at least [`Conv2d::gradient_border`].
    pub dz: ImageLayout,
    /// Where the weights lie.
    pub place: ParameterPlace,
    /// Which variant.
    pub tuning: Tuning,
}

/// Its buffers.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// `vec4<u32>` of each lane: slot, parameter row, base, 0.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
    /// Gradient of the output.
    pub dz: BufferId,
    /// Rows of parameters.
    pub parameters: BufferId,
    /// Out: gradient of the input.
    pub dx: BufferId,
}

impl Conv2dBackwardData {
    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let c = &self.conv;
        let tile = Tile::new(c.input.height, c.input.width, self.dx.blocks(), c.stride, self.tuning);
        let (segments, bands) = tile.grid(c.input.height, c.input.width);
        let mut constants = vec![("KERNEL_WIDTH", c.kernel_width), ("STRIDE", c.stride)];
        constants.extend(tile.constants(self.dz.blocks(), c.kernel_height * c.kernel_width, self.tuning));
        let origin = if c.stride == 1 {
            // The tap (kernel − 1, kernel − 1) of input pixel (0, 0), where the border may be wider than one axis needs.
            let (up, left) = (c.kernel_height - 1 - c.padding, c.kernel_width - 1 - c.padding);
            assert!(up <= self.dz.border && left <= self.dz.border, "the stored gradient's border is too narrow");
            (self.dz.border - up) * self.dz.row() + (self.dz.border - left) * self.dz.blocks()
        } else {
            self.dz.origin(0)
        };
        Dispatch {
            label: label.into(),
            kernel: Kernel {
                shader: shader::conv2d_backward_data,
                entry: "conv2d_backward_data",
                constants,
                access: &[Read, Read, Read, Read, Write],
            },
            words: vec![
                self.batch,
                self.dx.blocks(),
                c.input.height,
                c.input.width,
                self.dx.row(),
                self.dx.image(),
                self.dx.origin(0),
                self.dz.blocks(),
                c.output.height,
                c.output.width,
                self.dz.row(),
                self.dz.image(),
                origin,
                c.kernel_height,
                c.padding,
                segments,
                bands,
                self.place.stride,
                self.place.weight,
            ],
            step_word: None,
            buffers: vec![b.lanes, b.batch_sizes, b.dz, b.parameters, b.dx],
            invocations: tile.invocations(self.batch, c.input.height, c.input.width, self.dx.blocks()),
            workgroup: WORKGROUP,
            over: Over::Lanes,
            flops: 2 * c.macs(self.batch),
            bytes: self.dx.payload(self.batch) + self.dz.payload(self.batch) + c.weight_bytes(),
        }
    }
}
