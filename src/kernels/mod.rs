//! A module for each operation of the WGSL files in `shaders/`: what the kernel is given, checked on the way in, and the
//! [`Dispatch`] it becomes.
//!
//! Nothing here touches a GPU. A dispatch names its shader, variant constants, uniforms and buffers, and says what
//! it costs, so a plan can be printed, counted and tested without one. Two rules hold for every kernel:
//! the lane (or client slot, or base) is the dispatch's z axis, and samples at or past a slot's batch size are neither
//! read nor written.

pub mod adam;
pub mod attack;
pub mod average_pool;
pub mod batch_norm;
pub mod ceilings;
pub mod client_rows;
pub mod control_variates;
pub mod conv2d;
pub mod copy_bases;
pub mod corner;
pub mod ensemble;
pub mod gather_images;
pub mod linear;
pub mod max_pool;
pub mod proximal;
pub mod relu;
pub mod residual_add;
pub mod row_distance;
pub mod server_step;
pub mod sgd;
pub mod softmax_cross_entropy;
pub mod sum_partials;
mod uniforms;
pub mod weighted_average;

pub(crate) use uniforms::uniforms;
pub use uniforms::{Uniform, Uniforms};

use crate::net::Shape;

/// Invocations of a workgroup in every kernel but those that say otherwise.
pub const WORKGROUP: u32 = 64;

/// Batch norm's ε, everywhere in the method.
pub const EPSILON: f32 = 1e-5;

/// A WGSL file of `shaders/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shader {
    /// File name without `.wgsl`.
    pub name: &'static str,
    /// The file's text, with default values for the variant constants.
    pub source: &'static str,
}

/// How a line of a WGSL file begins that stands for a file of `shaders/shared/`.
const IMPORT: &str = "// import ";

macro_rules! shared {
    ($($name:ident),* $(,)?) => {
        /// The files of `shaders/shared/`, by name: functions that several kernels use.
        pub const SHARED: &[(&str, &str)] = &[
            $((stringify!($name), include_str!(concat!("../../shaders/shared/", stringify!($name), ".wgsl")))),*
        ];
    };
}
shared!(from_four, from_invocation, from_invocation_shuffled, index, is_nan, pcg4d);

impl Shader {
    /// The whole text: the file's own, with the shared functions where it imports them.
    ///
    /// # Panics
    /// Where an import names no shared file: a mistake in this crate, caught by the test of all files.
    pub fn text(&self) -> String {
        self.composed(false)
    }

    /// The same; `shuffled`: values of other invocations come by a shuffle of the subgroup.
    fn composed(&self, shuffled: bool) -> String {
        let line = |line: &'static str| match line.strip_prefix(IMPORT) {
            None => line,
            Some(name) => {
                let name = if shuffled && name == "from_invocation" { "from_invocation_shuffled" } else { name };
                let file = SHARED.iter().find(|(own, _)| *own == name);
                file.unwrap_or_else(|| panic!("{}.wgsl imports {name}, which is not shared", self.name)).1.trim_end()
            }
        };
        self.source.lines().map(line).fold(String::with_capacity(self.source.len()), |all, line| all + line + "\n")
    }

    /// Whether its text has the functions of that shared file.
    fn imports(&self, name: &str) -> bool {
        self.source.lines().any(|line| line.strip_prefix(IMPORT) == Some(name))
    }
}

macro_rules! shaders {
    ($($name:ident),* $(,)?) => {
        $(
            #[doc = concat!("`shaders/", stringify!($name), ".wgsl`")]
            #[allow(non_upper_case_globals)]
            pub(crate) const $name: Shader = Shader {
                name: stringify!($name),
                source: include_str!(concat!("../../shaders/", stringify!($name), ".wgsl")),
            };
        )*
        /// Every shader of the engine.
        pub const ALL: &[Shader] = &[$($name),*];
    };
}

/// The embedded WGSL files.
pub mod shader {
    use super::Shader;
    shaders!(
        adam,
        attack,
        average_pool_backward,
        average_pool_forward,
        batch_norm_backward,
        batch_norm_features,
        batch_norm_forward,
        batch_norm_mix,
        batch_norm_statistics,
        ceilings,
        conv2d_backward_data,
        conv2d_backward_weight,
        conv2d_forward,
        conv2d_subgroup_backward_data,
        conv2d_subgroup_backward_weight,
        conv2d_subgroup_forward,
        control_variates,
        copy_bases,
        corner,
        ensemble_gradient,
        ensemble_mean,
        gather_images,
        linear_backward_data,
        linear_backward_weight,
        linear_forward,
        linear_subgroup_backward_weight,
        client_rows,
        max_pool_backward,
        max_pool_forward,
        proximal,
        relu_backward,
        relu_forward,
        residual_add,
        row_distance,
        running_statistics,
        server_step,
        sgd,
        softmax_cross_entropy,
        sum_partials,
        weighted_average,
    );
}

/// `ROW` of `shaders/shared/index.wgsl`, for dispatches that run over the parameters of a whole network, of which there may be more than
/// one row of workgroups takes: WebGPU's 65 535 of [`WORKGROUP`] invocations.
const ROW: u32 = 65_535 * WORKGROUP;

/// How a kernel uses a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// One compiled variant: an entry point of a shader with its constants set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// The WGSL file.
    pub shader: Shader,
    /// Entry point in it.
    pub entry: &'static str,
    /// Values for the `const NAME: u32 = …;` lines of the file.
    pub constants: Vec<(&'static str, u32)>,
    /// Access of the storage buffers at bindings 1, 2, …; binding 0 is the uniform block.
    pub access: Vec<Access>,
}

impl Kernel {
    /// The shader's text with this variant's constants in place of the defaults.
    ///
    /// # Panics
    /// Where the file has no constant of that name: a mistake in this crate, caught by the test of all variants.
    pub fn source(&self) -> String {
        let shuffled = self.shares_loads();
        let mut source = self.shader.composed(shuffled);
        for (name, value) in &self.constants {
            let head = format!("const {name}: u32 = ");
            let start = source.find(&head).unwrap_or_else(|| panic!("{}.wgsl has no constant {name}", self.shader.name)) + head.len();
            let end = start + source[start..].find(';').expect("a constant ends in a semicolon");
            source.replace_range(start..end, &format!("{value}u"));
        }
        source = source.lines().filter(|line| !self.is_dead(line)).fold(String::with_capacity(source.len()), |all, line| all + line + "\n");
        if shuffled {
            // WGSL has no way to make a builtin depend on a constant.
            source = source.replace("@builtin(local_invocation_index) rank", "@builtin(subgroup_invocation_id) rank");
        }
        source
    }

    /// Most invocations of one row of its workgroups, where a dispatch of more goes on in further rows: its y axis.
    pub fn row(&self) -> Option<u32> {
        let set = self.constants.iter().find(|(name, _)| *name == "ROW").map(|(_, row)| *row);
        set.or_else(|| self.shader.imports("index").then_some(ROW))
    }

    /// Whether a line `if (NAME > 3u …) { … }` can never run in this variant. Left out here, for drivers inline the calls in such lines
    /// before they drop them, and take seconds to compile a shader that is written out for larger kernels.
    fn is_dead(&self, line: &str) -> bool {
        let parts = || {
            let (name, rest) = line.trim().strip_prefix("if (")?.strip_suffix('}')?.split_once(" > ")?;
            if rest.contains("else") {
                return None;
            }
            let (limit, _) = rest.split_once("u)").filter(|(limit, _)| !limit.contains(' ')).or_else(|| rest.split_once("u && "))?;
            let value = self.constants.iter().find(|(constant, _)| *constant == name)?.1;
            Some(value <= limit.parse().ok()?)
        };
        parts().unwrap_or(false)
    }

    /// Whether the variant shuffles values between the invocations of a subgroup.
    pub fn shares_loads(&self) -> bool {
        self.constants.iter().any(|(name, value)| *name == "SUBGROUP" && *value > 1)
    }
}

/// A buffer of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

/// The tables that the kernels of layers read.
#[derive(Debug, Clone, Copy)]
pub struct LaneTables {
    /// `vec4<u32>` of each lane: slot, parameter row, base, row of batch norms.
    pub lanes: BufferId,
    /// u32 valid samples of each slot.
    pub batch_sizes: BufferId,
}

/// What the z axis of a dispatch runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Over {
    /// The lanes at work in this step.
    Lanes,
    /// The client slots at work in this step.
    Slots,
    /// A fixed number, as of bases.
    Fixed(u32),
}

impl Over {
    /// How many there are among so many lanes and slots.
    pub fn count(&self, lanes: u64, slots: u64) -> u64 {
        match *self {
            Over::Lanes => lanes,
            Over::Slots => slots,
            Over::Fixed(n) => u64::from(n),
        }
    }
}

/// One kernel call, ready to be recorded.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// What it is for, as in `conv1 forward`.
    pub label: String,
    /// Which compiled kernel.
    pub kernel: Kernel,
    /// The uniform block.
    pub uniforms: Uniforms,
    /// The uniform that holds the local step, if the kernel needs it.
    pub step: Option<&'static str>,
    /// Storage buffers in binding order.
    pub buffers: Vec<BufferId>,
    /// Invocations along x for each lane, slot or base.
    pub invocations: u32,
    /// Workgroup size along x.
    pub workgroup: u32,
    /// What z runs over.
    pub over: Over,
    /// Floating-point operations per lane, slot or base (a multiply–add counts two).
    pub flops: u64,
    /// Bytes that must move at the least, per lane, slot or base: every input read once, every output written once.
    pub bytes: u64,
}

impl Dispatch {
    /// A call of `entry` with so many invocations along x for each of what z runs over, in workgroups of [`WORKGROUP`]. Its buffers follow in
    /// binding order, as the calls of [`Dispatch::reads`] and [`Dispatch::writes`] name them.
    pub(crate) fn new(label: impl Into<String>, shader: Shader, entry: &'static str, over: Over, invocations: u32) -> Dispatch {
        Dispatch {
            label: label.into(),
            kernel: Kernel { shader, entry, constants: Vec::new(), access: Vec::new() },
            uniforms: Uniforms::default(),
            step: None,
            buffers: Vec::new(),
            invocations,
            workgroup: WORKGROUP,
            over,
            flops: 0,
            bytes: 0,
        }
    }

    /// The variant.
    fn constants(mut self, constants: impl IntoIterator<Item = (&'static str, u32)>) -> Dispatch {
        self.kernel.constants = constants.into_iter().collect();
        self
    }

    fn uniforms(self, uniforms: Uniforms) -> Dispatch {
        Dispatch { uniforms, ..self }
    }

    /// The uniform of this name holds the local step.
    fn step(self, name: &'static str) -> Dispatch {
        Dispatch { step: Some(name), ..self }
    }

    /// The next two bindings: the tables.
    pub(crate) fn tables(self, tables: LaneTables) -> Dispatch {
        self.reads([tables.lanes, tables.batch_sizes])
    }

    /// The next bindings, which are read.
    pub(crate) fn reads(self, buffers: impl IntoIterator<Item = BufferId>) -> Dispatch {
        self.binds(Access::Read, buffers)
    }

    /// The next bindings, which are written, and may be read.
    pub(crate) fn writes(self, buffers: impl IntoIterator<Item = BufferId>) -> Dispatch {
        self.binds(Access::Write, buffers)
    }

    fn binds(mut self, access: Access, buffers: impl IntoIterator<Item = BufferId>) -> Dispatch {
        for buffer in buffers {
            self.kernel.access.push(access);
            self.buffers.push(buffer);
        }
        self
    }

    fn workgroup(self, workgroup: u32) -> Dispatch {
        Dispatch { workgroup, ..self }
    }

    /// Floating-point operations and bytes per lane, slot or base.
    fn cost(self, flops: u64, bytes: u64) -> Dispatch {
        Dispatch { flops, bytes, ..self }
    }

    /// Work per lane, slot or base, in floating-point operations: those it does, or what a device does while the bytes move, at ten operations a
    /// byte, as processors and cards alike are balanced; and something for the dispatch itself.
    pub fn work(&self) -> u64 {
        self.flops.max(10 * self.bytes) + 10_000
    }
}

/// How images of one buffer are stored: channels last, in vec4 blocks, inside a zero border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLayout {
    /// Shape of one image.
    pub shape: Shape,
    /// Width of the stored zero border, in pixels.
    pub border: u32,
}

impl ImageLayout {
    /// `shape` with a border.
    pub fn new(shape: Shape, border: u32) -> ImageLayout {
        ImageLayout { shape, border }
    }

    /// vec4 blocks of a pixel.
    pub fn blocks(&self) -> u32 {
        self.shape.channels.div_ceil(4)
    }

    /// vec4 of a stored row.
    pub fn row(&self) -> u32 {
        (self.shape.width + 2 * self.border) * self.blocks()
    }

    /// vec4 of a stored image.
    pub fn image(&self) -> u32 {
        (self.shape.height + 2 * self.border) * self.row()
    }

    /// Place of the pixel `back` rows and columns before the image's first, in vec4. `back` is at most the border.
    pub fn origin(&self, back: u32) -> u32 {
        assert!(back <= self.border, "a tap {back} pixels outside an image with a border of {}", self.border);
        (self.border - back) * (self.row() + self.blocks())
    }

    /// Bytes of `batch` stored images.
    pub fn bytes(&self, batch: u32) -> u64 {
        u64::from(batch) * u64::from(self.image()) * 16
    }

    /// Bytes of the images themselves, border and channel padding apart.
    pub fn payload(&self, batch: u32) -> u64 {
        u64::from(batch) * u64::from(self.shape.len()) * 4
    }

    /// vec4 blocks of `batch` images without their borders.
    pub fn dense_blocks(&self, batch: u32) -> u32 {
        batch * self.shape.height * self.shape.width * self.blocks()
    }

    /// Invocations for one a row and channel block of `batch` images.
    pub fn row_invocations(&self, batch: u32) -> u32 {
        batch * self.shape.height * self.blocks()
    }
}

/// Stored images or features, or their gradients: where, and how.
#[derive(Debug, Clone, Copy)]
pub struct Activation {
    /// The buffer.
    pub buffer: BufferId,
    /// The layout in it.
    pub layout: ImageLayout,
}

/// Which variant of a kernel runs: a pure function of the adapter and the shape, never of the number of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuning {
    /// Invocations that share loads by shuffles, where a subgroup has this fixed size; 1: none do. For drivers that run
    /// on a CPU: there a load costs more than the arithmetic on what it loads.
    pub subgroup: u32,
    /// vec4 of workgroup memory that a convolution may stage its weights in; 0: they are not staged.
    pub stage: u32,
    /// Most pixels of a row in a convolution's tile.
    pub pixels: u32,
    /// Most vec4 accumulators in a convolution's tile of rows × pixels × channel blocks.
    pub tile: u32,
    /// Most columns of a strip of a convolution that a subgroup computes, a channel an invocation; 0: none are.
    pub strip: u32,
    /// Samples of such a strip.
    pub samples: u32,
    /// Most taps whose weight gradients one invocation holds (4 × 4 channels each); fewer than the kernel has: one row.
    pub taps: u32,
    /// Invocations a lane that the first stage of a weight gradient should have at the least.
    pub partial_invocations: u32,
    /// Samples that one invocation of a linear layer computes.
    pub rows: u32,
    /// Blocks of features that it computes of each.
    pub blocks: u32,
    /// Most samples × blocks of dz that an invocation keeps for a linear layer's weight gradient; 0: none are kept.
    pub held: u32,
    /// Blocks of inputs and of outputs in a linear layer's tile of weight gradients, where dz is not kept.
    pub weight_tile: (u32, u32),
}

/// What a [`Tuning`] is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// The driver runs on the CPU.
    pub is_cpu: bool,
    /// Size of a subgroup where the device has subgroup operations and only one size.
    pub subgroup: Option<u32>,
    /// Bytes of workgroup memory a workgroup may have.
    pub workgroup_memory: u32,
}

impl Tuning {
    /// The tiles that measured best: small ones in registers with staged weights on GPUs, large ones with shared loads
    /// on drivers that run on a CPU (`docs/performance.md`).
    pub fn new(traits: Traits) -> Tuning {
        if traits.is_cpu {
            Tuning {
                subgroup: traits.subgroup.filter(|n| n.is_power_of_two() && *n <= WORKGROUP).unwrap_or(1),
                stage: 0,
                pixels: 8,
                tile: 32,
                strip: 14,
                samples: 4,
                taps: 25,
                partial_invocations: 64,
                rows: 16,
                blocks: 2,
                held: 64,
                weight_tile: (4, 2),
            }
        } else {
            Tuning {
                subgroup: 1,
                stage: (traits.workgroup_memory / 16).min(1024),
                pixels: 8,
                tile: 8,
                strip: 0,
                samples: 1,
                taps: 0,
                partial_invocations: 640,
                rows: 8,
                blocks: 1,
                held: 0,
                weight_tile: (2, 2),
            }
        }
    }

    /// What every device of WebGPU's default limits runs.
    pub fn baseline() -> Tuning {
        Tuning::new(Traits { is_cpu: false, subgroup: None, workgroup_memory: 16_384 })
    }

    /// Variants worth trying on a device, the one of [`Tuning::new`] first: for benchmarks, and for the numeric suite,
    /// which runs them all.
    pub fn candidates(traits: Traits) -> Vec<Tuning> {
        let cpu = Tuning::new(Traits { is_cpu: true, ..traits });
        let gpu = Tuning::new(Traits { is_cpu: false, ..traits });
        let mut list = vec![
            Tuning::new(traits),
            gpu,
            Tuning { stage: 0, ..gpu },
            Tuning { tile: 16, ..gpu },
            Tuning { pixels: 4, tile: 4, rows: 16, ..gpu },
            Tuning { subgroup: 1, ..cpu },
            cpu,
            Tuning { pixels: 14, tile: 14, strip: 7, samples: 2, rows: 32, blocks: 1, held: 32, weight_tile: (8, 1), ..cpu },
            Tuning { tile: 16, strip: 0, rows: 8, held: 0, weight_tile: (2, 2), ..cpu },
        ];
        let mut seen = std::collections::HashSet::new();
        list.retain(|t| seen.insert(*t));
        list
    }
}

/// The part of a convolution's output that one invocation holds in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Rows.
    pub rows: u32,
    /// Pixels of each.
    pub pixels: u32,
    /// Blocks of channels of each.
    pub blocks: u32,
}

/// vec4 of weights that a workgroup stages at most, unless one block's taps are more: two warps that took all of a workgroup's memory would
/// leave a core of 32 or 64 KiB nearly empty.
const STAGE: u32 = 256;

impl Tile {
    /// The tile for an image of `height` × `width` pixels of `blocks` channel blocks; of one row where `stride` is not 1.
    pub fn new(height: u32, width: u32, blocks: u32, stride: u32, tuning: Tuning) -> Tile {
        let pixels = pixels_per_invocation(width, tuning.pixels.min(tuning.tile));
        let room = tuning.tile / pixels;
        let blocks = [4, 2, 1].into_iter().find(|b| *b <= room.max(1) && blocks.is_multiple_of(*b)).unwrap_or(1);
        let most = if stride == 1 { (room / blocks).clamp(1, height) } else { 1 };
        let rows = (1..=most).min_by_key(|r| (height.div_ceil(*r) * (r + 1), u32::MAX - r)).unwrap_or(1);
        Tile { rows, pixels, blocks }
    }

    /// Tiles in a row and in a column of the image.
    pub fn grid(&self, height: u32, width: u32) -> (u32, u32) {
        (width.div_ceil(self.pixels), height.div_ceil(self.rows))
    }

    /// Invocations for `batch` images: whole workgroups, each on one group of channel blocks.
    pub fn invocations(&self, batch: u32, height: u32, width: u32, blocks: u32) -> u32 {
        let (segments, bands) = self.grid(height, width);
        (batch * segments * bands).next_multiple_of(WORKGROUP) * (blocks / self.blocks)
    }

    /// The constants of a kernel with this tile, whose weights come in `depth` blocks of `taps` taps each.
    pub(crate) fn constants(&self, depth: u32, taps: u32, tuning: Tuning) -> Vec<(&'static str, u32)> {
        let of_a_block = taps * 4 * self.blocks;
        let chunk = depth.min((STAGE / of_a_block).max(1)).min(tuning.stage / of_a_block);
        let staged = chunk > 0;
        vec![
            ("PIXELS", self.pixels),
            ("ROWS", self.rows),
            ("BLOCKS", self.blocks),
            ("STAGED", u32::from(staged)),
            ("CHUNK", if staged { chunk } else { 65_536 }),
            ("STAGE", if staged { chunk * of_a_block } else { 1 }),
            ("SUBGROUP", tuning.subgroup),
        ]
    }
}

/// Pixels an invocation computes in a row of `width`, at most `most`: the tile that costs the row least. The last tile
/// of a row may overlap the one before (its pixels are then computed twice), which beats short tiles: each pays for the
/// input beyond its edges, about three pixels' worth.
pub fn pixels_per_invocation(width: u32, most: u32) -> u32 {
    (1..=most.min(width)).min_by_key(|p| (width.div_ceil(*p) * (p + 3), u32::MAX - p)).unwrap_or(1)
}

/// Where a layer's parameters lie in the rows of a parameter buffer, in vec4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterPlace {
    /// Length of a row: the parameters of one base.
    pub stride: u32,
    /// Start of the weight (batch norm: γ).
    pub weight: u32,
    /// Start of the bias (batch norm: β).
    pub bias: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_long_and_waste_little() {
        assert_eq!(pixels_per_invocation(28, 14), 14);
        assert_eq!(pixels_per_invocation(28, 7), 7);
        assert_eq!(pixels_per_invocation(14, 14), 14);
        assert_eq!(pixels_per_invocation(7, 14), 7);
        assert_eq!(pixels_per_invocation(16, 7), 6);
        assert_eq!(pixels_per_invocation(31, 7), 7);
        assert_eq!(pixels_per_invocation(1, 7), 1);
    }

    #[test]
    fn tiles_fill_the_registers_and_fit_the_image() {
        let cpu = Tuning::new(Traits { is_cpu: true, subgroup: Some(8), workgroup_memory: 32_768 });
        let tile = |h, w, b, s, t| Tile::new(h, w, b, s, t);
        assert_eq!(tile(28, 28, 2, 1, cpu), Tile { rows: 2, pixels: 7, blocks: 2 });
        assert_eq!(tile(14, 14, 2, 1, cpu), Tile { rows: 2, pixels: 7, blocks: 2 });
        assert_eq!(tile(7, 7, 4, 1, cpu), Tile { rows: 1, pixels: 7, blocks: 4 });
        assert_eq!(tile(32, 32, 16, 2, cpu), Tile { rows: 1, pixels: 8, blocks: 4 });
        assert_eq!(tile(1, 1, 3, 1, cpu), Tile { rows: 1, pixels: 1, blocks: 1 });
        assert_eq!(tile(28, 28, 16, 1, Tuning::baseline()), Tile { rows: 1, pixels: 7, blocks: 1 });
        for tuning in Tuning::candidates(Traits { is_cpu: true, subgroup: Some(8), workgroup_memory: 32_768 }) {
            for (height, width, blocks) in [(28, 28, 2), (7, 7, 4), (3, 61, 5), (1, 1, 1), (63, 2, 6)] {
                let t = tile(height, width, blocks, 1, tuning);
                assert!(t.rows <= height && t.pixels <= width && blocks % t.blocks == 0, "{t:?}");
                assert!(t.rows * t.pixels * t.blocks <= tuning.tile.max(1), "{t:?}");
            }
        }
    }

    #[test]
    fn variants_are_chosen_by_the_adapter() {
        let traits = Traits { is_cpu: true, subgroup: Some(8), workgroup_memory: 32_768 };
        assert_eq!(Tuning::new(traits).subgroup, 8);
        assert_eq!(Tuning::new(Traits { subgroup: None, ..traits }).subgroup, 1);
        assert_eq!(Tuning::new(Traits { subgroup: Some(128), ..traits }).subgroup, 1, "a subgroup larger than the workgroup");
        let gpu = Traits { is_cpu: false, ..traits };
        assert_eq!((Tuning::new(gpu).subgroup, Tuning::new(gpu).stage), (1, 1024), "staged within 16 KiB whatever is offered");
        assert_eq!(Tuning::new(gpu), Tuning::baseline());
        let constants = |depth, taps, blocks| {
            let list = Tile { rows: 1, pixels: 7, blocks }.constants(depth, taps, Tuning::baseline());
            list.iter().filter(|(n, _)| ["STAGED", "CHUNK", "STAGE"].contains(n)).map(|(_, v)| *v).collect::<Vec<_>>()
        };
        assert_eq!(constants(2, 25, 1), [1, 2, 200], "all weights at once");
        assert_eq!(constants(16, 25, 1), [1, 2, 200], "as many blocks as leave room for other workgroups");
        assert_eq!(constants(16, 121, 1), [1, 1, 484], "a block of many taps");
        assert_eq!(constants(16, 400, 1), [0, 65_536, 1], "not one block fits");
    }

    #[test]
    fn shared_loads_are_shuffles() {
        let kernel =
            |n| Kernel { shader: shader::linear_forward, entry: "linear_forward", constants: vec![("SUBGROUP", n)], access: vec![] };
        assert!(kernel(8).source().contains("subgroupShuffle(value, i)"));
        assert!(kernel(8).source().contains("@builtin(subgroup_invocation_id) rank"));
        assert!(!kernel(1).source().contains("subgroupShuffle"));
    }

    #[test]
    fn lines_that_never_run_are_left_out() {
        let kernel = |taps| Kernel {
            shader: shader::conv2d_subgroup_forward,
            entry: "conv2d_subgroup_forward",
            constants: vec![("KERNEL_HEIGHT", taps), ("KERNEL_WIDTH", taps), ("UNDER_WAY", taps), ("IN_BLOCKS", 1)],
            access: vec![],
        };
        let source = kernel(3).source();
        assert!(source.contains("{ tap(ky, 2u,") && !source.contains("{ tap(ky, 3u,"));
        assert!(source.contains("{ kernel_row(phase + 2u * ROW_STRIDE,") && !source.contains("{ kernel_row(phase + 3u * ROW_STRIDE,"));
        assert!(!source.contains("in_block(1u,"));
        assert!(kernel(7).source().contains("{ kernel_row(phase + 6u * ROW_STRIDE,"));
    }

    #[test]
    fn constants_replace_defaults() {
        let kernel = Kernel { shader: shader::conv2d_forward, entry: "conv2d_forward", constants: vec![("PIXELS", 3)], access: vec![] };
        assert!(kernel.source().contains("const PIXELS: u32 = 3u;"));
        assert!(!kernel.source().contains("const PIXELS: u32 = 7u;"));
    }
}
