//! Convolution, gradient with respect to the input; see `shaders/conv2d_backward_data.wgsl`.

use super::Conv2d;
use super::strip::Strip;
use crate::kernels::{BufferId, Dispatch, ImageLayout, Over, ParameterPlace, Tile, Tuning, shader, uniforms};

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
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
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

/// What an attack's step needs besides.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Clean images, per slot.
    pub clean: BufferId,
    /// In and out: attacked images, per lane.
    pub attacked: BufferId,
    /// Layout of both; at most four channels.
    pub images: ImageLayout,
    /// Radius of the ball, ε.
    pub epsilon: f32,
    /// Step size.
    pub alpha: f32,
}

impl Conv2dBackwardData {
    /// The dispatch, over lanes.
    pub fn dispatch(&self, label: &str, b: Buffers) -> Dispatch {
        let c = &self.conv;
        let dispatch = match self.strip() {
            Some(strip) => self.by_strips(label, strip),
            None => self.by_tiles(label, "conv2d_backward_data"),
        };
        dispatch
            .reads([b.lanes, b.batch_sizes, b.dz, b.parameters])
            .writes([b.dx])
            .cost(2 * c.macs(self.batch), self.dx.payload(self.batch) + self.dz.payload(self.batch) + c.weight_bytes())
    }

    /// Whether [`Conv2dBackwardData::attack_step`] is to be had: where the layer's input may be images, of up to four channels.
    pub fn can_step(&self) -> bool {
        self.dx.blocks() == 1
    }

    /// A step of an attack on the images that are the layer's input, in place of their gradient; over lanes.
    ///
    /// # Panics
    /// Where it is not to be had.
    pub fn attack_step(&self, label: &str, b: Buffers, step: &Step) -> Dispatch {
        assert!(self.can_step() && step.images.shape == self.conv.input, "no step of an attack on {:?}", self.conv.input);
        let mut dispatch = Conv2dBackwardData { dx: step.images, ..*self }.by_tiles(label, "attack_step");
        dispatch.uniforms.set("channels", step.images.shape.channels);
        dispatch.uniforms.set("epsilon", step.epsilon);
        dispatch.uniforms.set("alpha", step.alpha);
        dispatch.reads([b.lanes, b.batch_sizes, b.dz, b.parameters, step.clean]).writes([step.attacked]).cost(
            2 * self.conv.macs(self.batch),
            3 * step.images.payload(self.batch) + self.dz.payload(self.batch) + self.conv.weight_bytes(),
        )
    }

    /// Rows and columns of the image in cells of stride × stride pixels, aligned with the taps: each is one pixel of dz and what lies
    /// around it.
    fn cells(&self) -> (u32, u32) {
        let c = &self.conv;
        let cells = |n: u32| (n - 1 + c.padding) / c.stride - c.padding / c.stride + 1;
        (cells(c.input.height), cells(c.input.width))
    }

    fn strip(&self) -> Option<Strip> {
        // The kernel's rows all at once, or not at all.
        Strip::new(&self.conv, self.cells(), self.dz.blocks(), 4, self.tuning).filter(Strip::takes_whole_kernel)
    }

    /// An invocation a tile.
    fn by_tiles(&self, label: &str, entry: &'static str) -> Dispatch {
        let c = &self.conv;
        assert!(self.dz.border >= c.gradient_border(), "the stored gradient's border is too narrow");
        let (high, wide) = self.cells();
        let part = |n: u32| (n / c.stride).max(1);
        let tile = Tile::new(
            high,
            wide,
            self.dx.blocks(),
            1,
            Tuning { pixels: part(self.tuning.pixels), tile: part(self.tuning.tile), ..self.tuning },
        );
        let (segments, bands) = tile.grid(high, wide);
        let mut constants = vec![("KERNEL_WIDTH", c.kernel_width), ("STRIDE", c.stride)];
        constants.extend(tile.constants(self.dz.blocks(), c.kernel_height.div_ceil(c.stride) * c.kernel_width, self.tuning));
        let uniforms = uniforms! {
            batch: self.batch,
            in_blocks: self.dx.blocks(),
            in_height: c.input.height,
            in_width: c.input.width,
            in_row: self.dx.row(),
            in_image: self.dx.image(),
            in_origin: self.dx.origin(0),
            out_blocks: self.dz.blocks(),
            out_row: self.dz.row(),
            out_image: self.dz.image(),
            border: self.dz.border,
            kernel_height: c.kernel_height,
            padding: c.padding,
            cells_high: high,
            cells_wide: wide,
            segments: segments,
            bands: bands,
            parameter_stride: self.place.stride,
            weight: self.place.weight,
            channels: 0,
            epsilon: 0.0,
            alpha: 0.0,
        };
        let invocations = c.stride * tile.invocations(self.batch, high, wide, self.dx.blocks());
        Dispatch::new(label, shader::conv2d_backward_data, entry, Over::Lanes, invocations).constants(constants).uniforms(uniforms)
    }

    /// A subgroup a strip of dx.
    fn by_strips(&self, label: &str, strip: Strip) -> Dispatch {
        let c = &self.conv;
        assert!(self.dz.border >= c.gradient_border(), "the stored gradient's border is too narrow");
        let (_, wide) = self.cells();
        // Cells before the image's first that its taps reach, and of those the ones in the padding.
        let (reach, skipped) = ((c.kernel_width - 1) / c.stride, c.padding / c.stride);
        let uniforms = uniforms! {
            batch: self.batch,
            dz_height: c.output.height,
            dz_row: self.dz.row(),
            dz_image: self.dz.image(),
            dz_origin: self.dz.border * self.dz.row() + (self.dz.border + skipped - reach) * self.dz.blocks(),
            padding: c.padding,
            dx_blocks: self.dx.blocks(),
            dx_height: c.input.height,
            dx_width: c.input.width,
            dx_row: self.dx.row(),
            dx_image: self.dx.image(),
            dx_origin: self.dx.origin(0),
            cells: wide,
            before: c.padding % c.stride,
            segments: strip.segments(wide),
            parameter_stride: self.place.stride,
            weight: self.place.weight,
        };
        let mut constants = strip.constants(c, wide, self.dz.blocks());
        constants.push(("UNDER_WAY", c.kernel_height.max(c.stride)));
        let (shader, invocations) = (shader::conv2d_subgroup_backward_data, strip.invocations(self.batch, self.dx, wide));
        Dispatch::new(label, shader, "conv2d_subgroup_backward_data", Over::Lanes, invocations).constants(constants).uniforms(uniforms)
    }
}
