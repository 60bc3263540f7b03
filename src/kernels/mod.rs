//! One module per WGSL file in `shaders/`: what the kernel is given, checked on the way in, and the [`Dispatch`] it becomes.
//!
//! Nothing here touches a GPU. A dispatch names its shader, variant constants, uniform words and buffers, and says what
//! it costs, so a plan can be printed, counted and tested without one. Two rules hold for every kernel:
//! the lane (or client slot, or base) is the dispatch's z axis, and samples at or past a slot's batch size are neither
//! read nor written.

pub mod batch_norm_backward;
pub mod batch_norm_forward;
pub mod batch_norm_statistics;
pub mod ceilings;
pub mod class_presence;
pub mod conv2d_backward_data;
pub mod conv2d_backward_weight;
pub mod conv2d_forward;
pub mod copy_bases;
pub mod ensemble_mean;
pub mod gather_images;
pub mod linear_backward_data;
pub mod linear_backward_weight;
pub mod linear_forward;
pub mod max_pool_backward;
pub mod max_pool_forward;
pub mod sgd;
pub mod softmax_cross_entropy;
pub mod sum_partials;
pub mod weighted_average;

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
    /// Its text, with default values for the variant constants.
    pub source: &'static str,
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
        batch_norm_backward,
        batch_norm_forward,
        batch_norm_statistics,
        ceilings,
        class_presence,
        conv2d_backward_data,
        conv2d_backward_weight,
        conv2d_forward,
        copy_bases,
        ensemble_mean,
        gather_images,
        linear_backward_data,
        linear_backward_weight,
        linear_forward,
        max_pool_backward,
        max_pool_forward,
        sgd,
        softmax_cross_entropy,
        sum_partials,
        weighted_average,
    );
}

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
    pub access: &'static [Access],
}

impl Kernel {
    /// The shader's text with this variant's constants in place of the defaults.
    ///
    /// # Panics
    /// Where the file has no constant of that name: a mistake in this crate, caught by the test of all variants.
    pub fn source(&self) -> String {
        let mut source = self.shader.source.to_string();
        for (name, value) in &self.constants {
            let head = format!("const {name}: u32 = ");
            let start = source.find(&head).unwrap_or_else(|| panic!("{}.wgsl has no constant {name}", self.shader.name)) + head.len();
            let end = start + source[start..].find(';').expect("a constant ends in a semicolon");
            source.replace_range(start..end, &format!("{value}u"));
        }
        source
    }
}

/// A buffer of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BufferId(pub usize);

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

/// One kernel call, ready to be recorded.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// What it is for, as in `conv1 forward`.
    pub label: String,
    /// Which compiled kernel.
    pub kernel: Kernel,
    /// The uniform block, in 32-bit words.
    pub words: Vec<u32>,
    /// The word that holds the local step, if the kernel needs it.
    pub step_word: Option<usize>,
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

/// Sizes of register tiles, a pure function of the adapter (never of the number of lanes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Most pixels of a row that one invocation of a convolution computes.
    pub pixels: u32,
    /// Samples that one invocation of a linear layer computes.
    pub rows: u32,
}

impl Tuning {
    /// Tiles that measured well on GPUs and, with long rows, on drivers that run on a CPU.
    pub fn new(is_cpu: bool) -> Tuning {
        Tuning { pixels: if is_cpu { 14 } else { 7 }, rows: if is_cpu { 16 } else { 8 } }
    }
}

/// Pixels an invocation computes in a row of `width`, at most `most`: the tile that costs the row least. The last tile
/// of a row may overlap the one before (its pixels are then computed twice), which beats short tiles: each pays for the
/// input beyond its edges, about three pixels' worth.
pub fn pixels_per_invocation(width: u32, most: u32) -> u32 {
    (1..=most.min(width)).min_by_key(|p| (width.div_ceil(*p) * (p + 3), u32::MAX - p)).unwrap_or(1)
}

/// Image rows in a part of a two-stage reduction: about 256 pixels, so that parts are many but not tiny.
pub fn rows_per_part(width: u32) -> u32 {
    (256 / width).max(1)
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
    fn constants_replace_defaults() {
        let kernel = Kernel { shader: shader::conv2d_forward, entry: "conv2d_forward", constants: vec![("PIXELS", 3)], access: &[] };
        assert!(kernel.source().contains("const PIXELS: u32 = 3u;"));
        assert!(!kernel.source().contains("const PIXELS: u32 = 7u;"));
    }
}
