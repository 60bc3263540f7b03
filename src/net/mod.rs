//! Networks as data: a list of layers, the shapes between them, and where each parameter lives.
//!
//! A *base* is one narrow network. Its parameters are one row of `vec4` blocks on the GPU ([`Network::parameter_blocks`]);
//! outside the engine they have PyTorch's names and shapes. [`Network::pack`] and [`Network::unpack`] go between the two.

mod digits;
mod layout;

pub use digits::digits;
pub use layout::{NormRow, TensorKind, TensorSpec};

use crate::{Error, Result};

/// One layer of a network, by its standard name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// 2-D convolution with square stride and padding, `z = conv(x, w) + b`.
    Conv2d {
        /// Name of the layer in a state dict, as in `conv1`.
        name: String,
        /// Output channels.
        out_channels: u32,
        /// Height and width of the kernel.
        kernel: u32,
        /// Stride, at least 1.
        stride: u32,
        /// Zero padding on every side, less than `kernel`.
        padding: u32,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Batch normalisation over every channel, followed by a ReLU where `relu`.
    BatchNorm {
        /// Name of the layer in a state dict, as in `bn1`.
        name: String,
        /// Whether `max(0, ·)` follows.
        relu: bool,
    },
    /// 2-D max-pooling.
    MaxPool {
        /// Height and width of the window, at most 15 (its place in the window is kept in a byte).
        kernel: u32,
        /// Stride, at least 1.
        stride: u32,
        /// Padding that never wins, at most `kernel / 2`.
        padding: u32,
    },
    /// Fully connected layer; an image before it is flattened in channel, row, column order.
    Linear {
        /// Name of the layer in a state dict, as in `fc1`.
        name: String,
        /// Output features.
        out_features: u32,
    },
}

impl Layer {
    /// The layer's name in messages: its own, or what it is.
    pub fn name(&self) -> &str {
        match self {
            Layer::Conv2d { name, .. } | Layer::BatchNorm { name, .. } | Layer::Linear { name, .. } => name,
            Layer::MaxPool { .. } => "max_pool",
        }
    }
}

/// What flows between two layers, of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels, or features of a flat layer.
    pub channels: u32,
    /// Rows; 1 for a flat layer.
    pub height: u32,
    /// Columns; 1 for a flat layer.
    pub width: u32,
}

impl Shape {
    /// Number of values.
    pub fn len(&self) -> u32 {
        self.channels * self.height * self.width
    }

    /// Whether it holds nothing. A built network has no such shape.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the batch norms of a network keep beside one γ and one β a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Norms {
    /// Every batch norm is doubled: a clean and an adversarial one, statistics and affine parameters both separate (paper,
    /// section 3.3).
    pub dual: bool,
    /// Running mean and variance are kept, too.
    pub tracked: bool,
}

/// One of the two batch norms of a dual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// That of clean images; the only one of a single batch norm.
    Clean,
    /// That of attacked images.
    Adversarial,
}

/// A checked network: layers, the shape after each, and its parameters.
#[derive(Debug, Clone)]
pub struct Network {
    /// Name as in `digits`.
    pub name: String,
    /// Shape of an input image.
    pub input: Shape,
    /// Number of classes: the features of the last layer.
    pub classes: u32,
    /// The layers in order; the last is the linear classifier.
    pub layers: Vec<Layer>,
    /// Shape after each layer.
    pub shapes: Vec<Shape>,
    /// What its batch norms keep.
    pub norms: Norms,
    /// Parameters in state-dict order, then those of adversarial batch norms, then running statistics.
    pub tensors: Vec<TensorSpec>,
    /// Size of one base's parameters on the GPU, in `vec4<f32>` blocks.
    pub parameter_blocks: u32,
    /// Those of them that are trained: all but the running statistics, which come last.
    pub trained_blocks: u32,
    /// Where batch norm's rows begin: see [`NormRow`].
    pub norm_start: u32,
}

impl Network {
    /// Checks the layers against each other and lays out the parameters.
    ///
    /// # Errors
    /// [`Error::Config`] naming the layer whose shape does not fit, and why.
    pub fn new(name: &str, input: Shape, layers: Vec<Layer>) -> Result<Network> {
        let fail = |layer: &Layer, why: String| Err(Error::Config(format!("network {name}, layer {}: {why}", layer.name())));
        if input.is_empty() || input.channels > 4 {
            return Err(Error::Config(format!("network {name}: images need 1 to 4 channels and a size, not {input:?}")));
        }
        let mut shape = input;
        let mut shapes = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            shape = match *layer {
                Layer::Conv2d { out_channels, kernel, stride, padding, .. } => {
                    if out_channels == 0 || kernel == 0 || stride == 0 {
                        return fail(layer, "channels, kernel and stride must be at least 1".into());
                    }
                    if padding >= kernel {
                        return fail(layer, format!("padding {padding} must be less than the kernel, {kernel}"));
                    }
                    match window(shape, kernel, stride, padding) {
                        Some((height, width)) => Shape { channels: out_channels, height, width },
                        None => return fail(layer, format!("a {kernel}×{kernel} kernel does not fit {}×{}", shape.height, shape.width)),
                    }
                }
                Layer::MaxPool { kernel, stride, padding } => {
                    if kernel == 0 || kernel > 15 || stride == 0 || padding > kernel / 2 {
                        return fail(layer, "needs 1 ≤ kernel ≤ 15, stride ≥ 1 and padding ≤ kernel / 2".into());
                    }
                    match window(shape, kernel, stride, padding) {
                        Some((height, width)) => Shape { height, width, ..shape },
                        None => return fail(layer, format!("a {kernel}×{kernel} window does not fit {}×{}", shape.height, shape.width)),
                    }
                }
                Layer::BatchNorm { .. } => {
                    if !matches!(i.checked_sub(1).map(|p| &layers[p]), Some(Layer::Conv2d { .. } | Layer::Linear { .. })) {
                        return fail(layer, "must follow a convolution or a linear layer".into());
                    }
                    shape
                }
                Layer::Linear { out_features, .. } => {
                    if out_features == 0 {
                        return fail(layer, "needs at least one output".into());
                    }
                    Shape { channels: out_features, height: 1, width: 1 }
                }
            };
            shapes.push(shape);
        }
        match layers.last() {
            Some(Layer::Linear { .. }) => {}
            _ => return Err(Error::Config(format!("network {name}: the last layer must be the linear classifier"))),
        }
        let mut network = Network {
            name: name.to_string(),
            input,
            classes: shape.channels,
            layers,
            shapes,
            norms: Norms::default(),
            tensors: Vec::new(),
            parameter_blocks: 0,
            trained_blocks: 0,
            norm_start: 0,
        };
        network.lay_out();
        Ok(network)
    }

    /// The same network with other batch norms.
    pub fn with_norms(mut self, norms: Norms) -> Network {
        self.norms = norms;
        self.lay_out();
        self
    }

    /// Shape of what enters layer `i`.
    pub fn input_of(&self, i: usize) -> Shape {
        if i == 0 { self.input } else { self.shapes[i - 1] }
    }

    /// Number of parameters of one base: what is trained, running statistics apart.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().filter(|t| !t.kind.is_statistic()).map(|t| t.len() as u64).sum()
    }

    /// Multiply–accumulate operations of one sample's forward through one base: convolutions and linear layers.
    pub fn macs(&self) -> u64 {
        (0..self.layers.len()).map(|i| self.layer_macs(i)).sum()
    }

    /// The same of layer `i` alone.
    pub fn layer_macs(&self, i: usize) -> u64 {
        let (from, to) = (self.input_of(i), self.shapes[i]);
        match self.layers[i] {
            Layer::Conv2d { kernel, .. } => u64::from(kernel * kernel * from.channels) * u64::from(to.len()),
            Layer::Linear { .. } => u64::from(from.len()) * u64::from(to.len()),
            _ => 0,
        }
    }

    /// Whether layer `i`'s output is divided by `r` in training: every convolution and linear layer but the classifier.
    pub fn is_rescaled(&self, i: usize) -> bool {
        i + 1 < self.layers.len() && matches!(self.layers[i], Layer::Conv2d { .. } | Layer::Linear { .. })
    }

    /// The tensor of that name, as in `conv1.weight`.
    pub fn tensor(&self, name: &str) -> Option<&TensorSpec> {
        self.tensors.iter().find(|t| t.name == name)
    }
}

/// Positions of a window of length `kernel` along `length` padded pixels, or `None` where not even one fits.
pub(crate) fn positions(length: u32, kernel: u32, stride: u32, padding: u32) -> Option<u32> {
    (length + 2 * padding).checked_sub(kernel).map(|rest| rest / stride + 1)
}

/// Output size of a sliding window, or `None` where not even one fits.
fn window(shape: Shape, kernel: u32, stride: u32, padding: u32) -> Option<(u32, u32)> {
    let size = |n: u32| positions(n, kernel, stride, padding);
    Some((size(shape.height)?, size(shape.width)?))
}
