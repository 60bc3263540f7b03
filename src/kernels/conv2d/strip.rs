//! Convolutions with the channels spread over a subgroup; see `shaders/conv2d_subgroup_*.wgsl`.

use super::Conv2d;
use crate::kernels::{ImageLayout, Tile, Tuning, WORKGROUP, pixels_per_invocation};

/// What one subgroup computes of a convolution's result: the whole height of some columns of some samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strip {
    /// Columns.
    pixels: u32,
    /// Input blocks at a time.
    in_blocks: u32,
    /// Rows of the kernel at a time.
    rows: KernelRows,
    /// Samples.
    samples: u32,
    /// Invocations of a subgroup: the channels it computes.
    subgroup: u32,
}

/// Most input blocks that the shader is written out for.
const IN_BLOCKS: u32 = 8;
/// Most rows and columns of a kernel that it is written out for.
const KERNEL_ROWS: u32 = 7;
const KERNEL_WIDTH: u32 = 11;
/// Largest stride that it is written out for.
const STRIDE: u32 = 4;
/// Most weights that an invocation keeps: with them, the rows under way still fit a CPU's first cache.
const WEIGHTS: u32 = 400;
/// Rows of an image that the tuned number of samples is meant for.
const ROWS: u32 = 14;
/// Most multiply–adds written out for an image row: what compiles in a second or two.
const PRODUCTS: u32 = 3000;

/// The rows of a kernel that an invocation takes at a time: all of them, or, of a large kernel, those that meet the same image rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KernelRows {
    /// Parts of the kernel: 1 or its stride.
    phases: u32,
    /// Rows of a part.
    rows: u32,
}

impl KernelRows {
    /// Those of which `in_lanes` channels of a block fit; `None` where the device shares nothing between invocations, or the shaders are
    /// not written out for so large a kernel or stride.
    fn new(conv: &Conv2d, in_lanes: u32, tuning: Tuning) -> Option<KernelRows> {
        if tuning.strip == 0 || tuning.subgroup < 4 || conv.stride > STRIDE || conv.kernel_width > KERNEL_WIDTH {
            return None;
        }
        let fits = |rows: u32| rows <= KERNEL_ROWS && rows * conv.kernel_width * in_lanes <= WEIGHTS;
        [1, conv.stride]
            .map(|phases| KernelRows { phases, rows: conv.kernel_height.div_ceil(phases) })
            .into_iter()
            .find(|part| fits(part.rows))
    }

    fn constants(&self, conv: &Conv2d) -> [(&'static str, u32); 3] {
        [("KERNEL_ROWS", self.rows), ("PHASES", self.phases), ("UNDER_WAY", conv.kernel_height.div_ceil(conv.stride))]
    }
}

impl Strip {
    /// The strip of a result of so many rows and columns, computed from `in_blocks` channel blocks, `in_lanes` channels in use of each;
    /// `None` where the device shares nothing between invocations, or the convolution is none that the shader is written out for.
    pub fn new(conv: &Conv2d, (height, width): (u32, u32), in_blocks: u32, in_lanes: u32, tuning: Tuning) -> Option<Strip> {
        let rows = KernelRows::new(conv, in_lanes, tuning)?;
        let of_a_block = rows.rows * conv.kernel_width * in_lanes;
        let most = (WEIGHTS / of_a_block).min(IN_BLOCKS);
        let at_a_time = (1..=most).rev().find(|n| in_blocks.is_multiple_of(*n))?;
        let pixels = pixels_per_invocation(width, tuning.strip.min(PRODUCTS / (of_a_block * at_a_time)).max(1));
        // Weights are loaded once a strip: of small images it has more, so that they serve as many rows.
        let samples = tuning.samples.max((tuning.samples * ROWS).div_ceil(height).next_power_of_two());
        Some(Strip { pixels, in_blocks: at_a_time, rows, samples, subgroup: tuning.subgroup })
    }

    /// Whether the kernel is taken whole, not in parts.
    pub fn takes_whole_kernel(&self) -> bool {
        self.rows.phases == 1
    }

    /// Constants of the shader that takes kernels in parts, besides [`Strip::constants`].
    pub fn row_constants(&self, conv: &Conv2d) -> [(&'static str, u32); 3] {
        self.rows.constants(conv)
    }

    /// The strip as a tile, for the statistics left of each.
    pub fn tile(&self, height: u32) -> Tile {
        Tile { rows: height, pixels: self.pixels, blocks: 1 }
    }

    /// Strips of an image.
    pub fn segments(&self, width: u32) -> u32 {
        width.div_ceil(self.pixels)
    }

    pub fn constants(&self, conv: &Conv2d, width: u32, in_blocks: u32) -> Vec<(&'static str, u32)> {
        vec![
            ("OVERLAP", u32::from(!width.is_multiple_of(self.pixels))),
            ("KERNEL_HEIGHT", conv.kernel_height),
            ("KERNEL_WIDTH", conv.kernel_width),
            ("STRIDE", conv.stride),
            ("PIXELS", self.pixels),
            ("SAMPLES", self.samples),
            ("IN_BLOCKS", self.in_blocks),
            ("BLOCK_CHUNKS", in_blocks / self.in_blocks),
            ("SUBGROUP", self.subgroup),
        ]
    }

    /// Invocations for `batch` images of `out`, of so many columns.
    pub fn invocations(&self, batch: u32, out: ImageLayout, width: u32) -> u32 {
        let groups = out.blocks().div_ceil(self.subgroup / 4);
        let strips = batch.div_ceil(self.samples) * self.segments(width) * groups;
        (strips * self.subgroup).next_multiple_of(WORKGROUP)
    }
}

/// What one subgroup computes of a convolution's weight gradient: all taps of some input blocks and of a channel an
/// invocation; see `shaders/conv2d_subgroup_backward_weight.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WeightStrip {
    /// Columns of dz at a time.
    pub pixels: u32,
    /// Input blocks.
    held: u32,
    /// Rows of the kernel.
    rows: KernelRows,
    /// Invocations of a subgroup.
    subgroup: u32,
}

impl WeightStrip {
    /// As [`Strip::new`].
    pub fn new(conv: &Conv2d, in_blocks: u32, tuning: Tuning) -> Option<WeightStrip> {
        let rows = KernelRows::new(conv, conv.in_lanes(), tuning)?;
        let of_a_block = rows.rows * conv.kernel_width * conv.in_lanes();
        let held = [4, 2, 1].into_iter().find(|n| in_blocks.is_multiple_of(*n) && n * of_a_block <= WEIGHTS)?;
        let pixels = pixels_per_invocation(conv.output.width, tuning.strip.min(PRODUCTS / (of_a_block * held)).max(1));
        Some(WeightStrip { pixels, held, rows, subgroup: tuning.subgroup })
    }

    pub fn constants(&self, conv: &Conv2d) -> Vec<(&'static str, u32)> {
        let mut constants = vec![
            ("OVERLAP", u32::from(!conv.output.width.is_multiple_of(self.pixels))),
            ("KERNEL_HEIGHT", conv.kernel_height),
            ("KERNEL_WIDTH", conv.kernel_width),
            ("STRIDE", conv.stride),
            ("PIXELS", self.pixels),
            ("IN_HELD", self.held),
            ("SUBGROUP", self.subgroup),
        ];
        constants.extend(self.rows.constants(conv));
        constants
    }

    /// Invocations of one part of the batch.
    pub fn invocations(&self, in_blocks: u32, out_blocks: u32) -> u32 {
        self.rows.phases * in_blocks / self.held * out_blocks.div_ceil(self.subgroup / 4) * self.subgroup
    }
}
