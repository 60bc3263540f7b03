//! Convolution, gradient with respect to the input; see `shaders/conv2d_backward_data.wgsl`.

use super::Conv2d;
use super::strip::Strip;
use crate::kernels::{Activation, BufferId, Dispatch, ImageLayout, LaneTables, Over, ParameterPlace, Tile, Tuning, shader, uniforms};

/// What the kernel is given.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBackwardData {
    /// Geometry.
    pub conv: Conv2d,
    /// Capacity of a mini-batch.
    pub batch: u32,
    /// Gradient of the output; its border is at least [`Conv2d::gradient_border`].
    pub dz: Activation,
    /// Where the weights lie.
    pub place: ParameterPlace,
    /// Which variant.
    pub tuning: Tuning,
}

/// What an attack's step needs besides.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Clean images, per slot.
    pub clean: BufferId,
    /// In and out: attacked images, per lane, in the layout of the clean ones; at most four channels.
    pub attacked: Activation,
    /// Radius of the ball, ε.
    pub epsilon: f32,
    /// Step size.
    pub alpha: f32,
}

impl Conv2dBackwardData {
    /// The dispatch, over lanes, by rows of `parameters`, into the input's gradient.
    pub fn dispatch(&self, label: &str, tables: LaneTables, parameters: BufferId, dx: Activation) -> Dispatch {
        let dispatch = match self.strip() {
            Some(strip) => self.by_strips(label, dx.layout, strip),
            None => self.by_tiles(label, "conv2d_backward_data", dx.layout),
        };
        let (macs, bytes) = (self.conv.macs(self.batch), self.bytes() + dx.layout.payload(self.batch));
        dispatch.tables(tables).reads([self.dz.buffer, parameters]).writes([dx.buffer]).cost(2 * macs, bytes)
    }

    /// Whether [`Conv2dBackwardData::attack_step`] is to be had: where the layer's input may be images, of up to four channels.
    pub fn can_step(&self) -> bool {
        self.conv.input.channels <= 4
    }

    /// A step of an attack on the images that are the layer's input, in place of their gradient; over lanes.
    ///
    /// # Panics
    /// Where it is not to be had.
    pub fn attack_step(&self, label: &str, tables: LaneTables, parameters: BufferId, step: &Step) -> Dispatch {
        let images = step.attacked.layout;
        assert!(self.can_step() && images.shape == self.conv.input, "no step of an attack on {:?}", self.conv.input);
        let mut dispatch = self.by_tiles(label, "attack_step", images);
        dispatch.uniforms.set("channels", images.shape.channels);
        dispatch.uniforms.set("epsilon", step.epsilon);
        dispatch.uniforms.set("alpha", step.alpha);
        let (macs, bytes) = (self.conv.macs(self.batch), self.bytes() + 3 * images.payload(self.batch));
        dispatch.tables(tables).reads([self.dz.buffer, parameters, step.clean]).writes([step.attacked.buffer]).cost(2 * macs, bytes)
    }

    /// Bytes that are read whatever is written.
    fn bytes(&self) -> u64 {
        self.dz.layout.payload(self.batch) + self.conv.weight_bytes()
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
        Strip::new(&self.conv, self.cells(), self.dz.layout.blocks(), 4, self.tuning).filter(Strip::takes_whole_kernel)
    }

    /// An invocation a tile.
    fn by_tiles(&self, label: &str, entry: &'static str, dx: ImageLayout) -> Dispatch {
        let (c, dz) = (&self.conv, self.dz.layout);
        assert!(dz.border >= c.gradient_border(), "the stored gradient's border is too narrow");
        let (high, wide) = self.cells();
        let part = |n: u32| (n / c.stride).max(1);
        let tile =
            Tile::new(high, wide, dx.blocks(), 1, Tuning { pixels: part(self.tuning.pixels), tile: part(self.tuning.tile), ..self.tuning });
        let (segments, bands) = tile.grid(high, wide);
        let mut constants = vec![("KERNEL_WIDTH", c.kernel_width), ("STRIDE", c.stride)];
        constants.extend(tile.constants(dz.blocks(), c.kernel_height.div_ceil(c.stride) * c.kernel_width, self.tuning));
        let uniforms = uniforms! {
            batch: self.batch,
            in_blocks: dx.blocks(),
            in_height: c.input.height,
            in_width: c.input.width,
            in_row: dx.row(),
            in_image: dx.image(),
            in_origin: dx.origin(0),
            out_blocks: dz.blocks(),
            out_row: dz.row(),
            out_image: dz.image(),
            border: dz.border,
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
        let invocations = c.stride * tile.invocations(self.batch, high, wide, dx.blocks());
        Dispatch::new(label, shader::conv2d_backward_data, entry, Over::Lanes, invocations).constants(constants).uniforms(uniforms)
    }

    /// A subgroup a strip of dx.
    fn by_strips(&self, label: &str, dx: ImageLayout, strip: Strip) -> Dispatch {
        let (c, dz) = (&self.conv, self.dz.layout);
        assert!(dz.border >= c.gradient_border(), "the stored gradient's border is too narrow");
        let (_, wide) = self.cells();
        // Cells before the image's first that its taps reach, and of those the ones in the padding.
        let (reach, skipped) = ((c.kernel_width - 1) / c.stride, c.padding / c.stride);
        let uniforms = uniforms! {
            batch: self.batch,
            dz_height: c.output.height,
            dz_row: dz.row(),
            dz_image: dz.image(),
            dz_origin: dz.border * dz.row() + (dz.border + skipped - reach) * dz.blocks(),
            padding: c.padding,
            dx_blocks: dx.blocks(),
            dx_height: c.input.height,
            dx_width: c.input.width,
            dx_row: dx.row(),
            dx_image: dx.image(),
            dx_origin: dx.origin(0),
            cells: wide,
            before: c.padding % c.stride,
            segments: strip.segments(wide),
            parameter_stride: self.place.stride,
            weight: self.place.weight,
        };
        let mut constants = strip.constants(c, wide, dz.blocks());
        constants.push(("UNDER_WAY", c.kernel_height.max(c.stride)));
        let (shader, invocations) = (shader::conv2d_subgroup_backward_data, strip.invocations(self.batch, dx, wide));
        Dispatch::new(label, shader, "conv2d_subgroup_backward_data", Over::Lanes, invocations).constants(constants).uniforms(uniforms)
    }
}
