//! Networks as data: a list of layers, the shapes between them, and where each parameter lives.
//!
//! A *base* is one narrow network. Its parameters are one row of `vec4` blocks on the GPU ([`Network::parameter_blocks`]);
//! outside the engine they have PyTorch's names and shapes. [`Network::pack`] and [`Network::unpack`] go between the two.

mod architecture;
mod corner;
mod layout;

pub use architecture::{Architecture, digits};
pub use corner::NO_PLACE;
pub use layout::{NormRow, Scope, TensorKind, TensorSpec, between};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The smallest batch size for which no cut of images leaves a batch of one, over which batch norm has no spread. Three images in batches
/// of two would.
pub const SMALLEST_BATCH: usize = 3;

/// One layer of a network, by its standard name. In TOML: a table with its `type`, as in `type = "conv2d"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
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
        #[serde(default = "one")]
        stride: u32,
        /// Zero padding on every side, less than `kernel`.
        #[serde(default)]
        padding: u32,
        /// Whether a bias is added.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Batch normalisation over every channel, followed by a ReLU where `relu`.
    BatchNorm {
        /// Name of the layer in a state dict, as in `bn1`.
        name: String,
        /// Whether `max(0, ·)` follows.
        #[serde(default = "yes")]
        relu: bool,
    },
    /// `max(0, ·)` where no batch norm has it.
    Relu,
    /// 2-D max-pooling.
    MaxPool {
        /// Height and width of the window, at most 15 (its place in the window is kept in a byte).
        kernel: u32,
        /// Stride, at least 1.
        stride: u32,
        /// Padding that never wins, at most `kernel / 2`.
        #[serde(default)]
        padding: u32,
    },
    /// Adaptive average pooling to `height` × `width` pixels, 1 × 1 where not given: output row `i` is the mean of the rows
    /// `⌊i·H/height⌋` to `⌈(i + 1)·H/height⌉`, which may overlap; columns likewise.
    AveragePool {
        /// Rows of the output, at most those of the input.
        #[serde(default = "one")]
        height: u32,
        /// Columns of the output, at most those of the input.
        #[serde(default = "one")]
        width: u32,
    },
    /// Fully connected layer with a bias; an image before it is flattened in channel, row, column order.
    Linear {
        /// Name of the layer in a state dict, as in `fc1`.
        name: String,
        /// Output features; 0 or not given: as many as there are classes, of the classifier.
        #[serde(default)]
        out_features: u32,
        /// Whether the bias starts at 0, and not at random.
        #[serde(default)]
        zero_bias: bool,
    },
    /// The sum of what two branches make of the same input. In a [`Network`] the layers of the branches stand before it, and
    /// it adds what they leave.
    Residual {
        /// One branch.
        body: Vec<Layer>,
        /// The other; empty: the input itself.
        #[serde(default)]
        shortcut: Vec<Layer>,
    },
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

impl Layer {
    /// The layer's name in messages: its own, or what it is.
    pub fn name(&self) -> &str {
        match self {
            Layer::Conv2d { name, .. } | Layer::BatchNorm { name, .. } | Layer::Linear { name, .. } => name,
            Layer::Relu => "relu",
            Layer::MaxPool { .. } => "max_pool",
            Layer::AveragePool { .. } => "average_pool",
            Layer::Residual { .. } => "residual",
        }
    }
}

/// What flows between two layers, of one sample.
#[derive(Clone, Copy, PartialEq, Eq)]
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
        self.channels == 0 || self.height == 0 || self.width == 0
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
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
    /// The layers in order, each after what it reads; the last is the linear classifier.
    pub layers: Vec<Layer>,
    /// What each layer reads: the place of the layer that leaves it, `None` for the images. Two of a [`Layer::Residual`], one of
    /// every other. Only the first layer reads the images.
    pub sources: Vec<Vec<Option<usize>>>,
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
    /// Checks the layers against each other and lays out the parameters. The last is the linear classifier; of the number of
    /// features that it gives there are classes.
    ///
    /// # Errors
    /// [`Error::Config`] naming the layer whose shape does not fit, and why.
    pub fn new(name: &str, input: Shape, layers: Vec<Layer>) -> Result<Network> {
        if input.is_empty() || input.channels > 4 {
            return Err(Error::Config(format!("network {name}: images need 1 to 4 channels and a size, not {input:?}")));
        }
        if !matches!(layers.last(), Some(Layer::Linear { .. })) {
            return Err(Error::Config(format!("network {name}: the last layer must be the linear classifier")));
        }
        let mut network = Network {
            name: name.to_string(),
            input,
            classes: 0,
            layers: Vec::new(),
            sources: Vec::new(),
            shapes: Vec::new(),
            norms: Norms::default(),
            tensors: Vec::new(),
            parameter_blocks: 0,
            trained_blocks: 0,
            norm_start: 0,
        };
        network.append(layers, None)?;
        network.check_sizes()?;
        network.check()?;
        network.classes = network.shapes.last().map_or(0, |s| s.channels);
        network.lay_out();
        Ok(network)
    }

    /// Adds layers one after the other, behind `from` (`None`: the images). Returns the last one's place, or `from`.
    fn append(&mut self, layers: Vec<Layer>, mut from: Option<usize>) -> Result<Option<usize>> {
        for layer in layers {
            let sources = match &layer {
                Layer::Residual { body, shortcut } => {
                    if body.is_empty() {
                        return Err(self.fault(&layer, "its body has no layers".into()));
                    }
                    let body = self.append(body.clone(), from)?;
                    vec![body, self.append(shortcut.clone(), from)?]
                }
                _ => vec![from],
            };
            let shape = self.shape_after(&layer, &sources)?;
            self.layers.push(layer);
            self.sources.push(sources);
            self.shapes.push(shape);
            from = Some(self.layers.len() - 1);
        }
        Ok(from)
    }

    fn fault(&self, layer: &Layer, why: String) -> Error {
        Error::Config(format!("network {}, layer {}: {why}", self.name, layer.name()))
    }

    /// Shape of what a layer makes of what its sources leave.
    fn shape_after(&self, layer: &Layer, sources: &[Option<usize>]) -> Result<Shape> {
        let shape_of = |source: &Option<usize>| source.map_or(self.input, |i| self.shapes[i]);
        let shape = shape_of(&sources[0]);
        let fail = |why: String| Err(self.fault(layer, why));
        let pixels = format!("{}×{}", shape.height, shape.width);
        // What computes on images of a slot, and not of a lane.
        if sources.contains(&None) && !matches!(layer, Layer::Conv2d { .. }) {
            return fail("only a convolution can read the images themselves".into());
        }
        Ok(match *layer {
            Layer::Conv2d { out_channels, kernel, stride, padding, .. } => {
                let sizes = [("out-channels", out_channels), ("kernel", kernel), ("stride", stride)];
                if let Some((key, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
                    return fail(format!("{key} = 0: it must be at least 1"));
                }
                if padding >= kernel {
                    return fail(format!("padding = {padding}: it must be less than the kernel, {kernel}"));
                }
                match window(shape, kernel, stride, padding) {
                    Some((height, width)) => Shape { channels: out_channels, height, width },
                    None => return fail(format!("a {kernel}×{kernel} kernel does not fit {pixels}")),
                }
            }
            Layer::MaxPool { kernel, stride, padding } => {
                if kernel == 0 || kernel > 15 {
                    return fail(format!("kernel = {kernel}: it must be from 1 to 15"));
                }
                if stride == 0 {
                    return fail("stride = 0: it must be at least 1".into());
                }
                if padding > kernel / 2 {
                    return fail(format!("padding = {padding}: it must be at most half of the kernel, {}", kernel / 2));
                }
                match window(shape, kernel, stride, padding) {
                    Some((height, width)) => Shape { height, width, ..shape },
                    None => return fail(format!("a {kernel}×{kernel} window does not fit {pixels}")),
                }
            }
            Layer::AveragePool { height, width } => {
                if height == 0 || width == 0 || height > shape.height || width > shape.width {
                    return fail(format!("{height}×{width} cannot be pooled of {pixels}"));
                }
                Shape { height, width, ..shape }
            }
            Layer::BatchNorm { .. } | Layer::Relu => shape,
            Layer::Linear { out_features, .. } => {
                if out_features == 0 {
                    return fail("needs at least one output".into());
                }
                Shape { channels: out_features, height: 1, width: 1 }
            }
            Layer::Residual { .. } => {
                let other = shape_of(&sources[1]);
                if other != shape {
                    return fail(format!("the body leaves {shape}, the shortcut {other}"));
                }
                shape
            }
        })
    }

    /// Checks that kernels can count values and parameters, which they do in 32 bits.
    fn check_sizes(&self) -> Result<()> {
        let padded = |n: u32| u128::from(n).next_multiple_of(4);
        let values = |s: Shape| padded(s.channels) * u128::from(s.height) * u128::from(s.width);
        let fits = |n: u128| n <= u128::from(u32::MAX);
        if !fits(values(self.input)) {
            return Err(Error::Config(format!("network {}: an image of {} has 2³² values or more", self.name, self.input)));
        }
        let mut parameters = 0;
        for (i, layer) in self.layers.iter().enumerate() {
            let (from, to) = (self.input_of(i), self.shapes[i]);
            if !fits(values(to)) {
                return Err(self.fault(layer, format!("its output of {to} has 2³² values or more")));
            }
            // A bias, or all that batch norms may have of a channel.
            parameters += match layer {
                Layer::Conv2d { kernel, .. } => {
                    u128::from(*kernel).pow(2) * padded(from.channels) * padded(to.channels) + padded(to.channels)
                }
                Layer::Linear { .. } => values(from) * padded(to.channels) + padded(to.channels),
                Layer::BatchNorm { .. } => 8 * padded(to.channels),
                _ => 0,
            };
            if !fits(parameters) {
                return Err(self.fault(layer, "with it the network has 2³² parameters or more".into()));
            }
        }
        Ok(())
    }

    /// Checks what concerns several layers.
    fn check(&self) -> Result<()> {
        for (i, layer) in self.layers.iter().enumerate() {
            let named = matches!(layer, Layer::Conv2d { .. } | Layer::BatchNorm { .. } | Layer::Linear { .. });
            if named && self.layers[..i].iter().any(|l| l.name() == layer.name()) {
                return Err(self.fault(layer, "another layer has this name".into()));
            }
            let padded = |l: &Layer| matches!(l, Layer::Conv2d { padding, .. } if *padding > 0);
            if let (Layer::Linear { .. }, Some(from)) = (layer, self.sources[i][0])
                && let Some(other) = self.consumers(from).into_iter().find(|j| padded(&self.layers[*j]))
            {
                // It is stored once, with the border of the convolution or without.
                return Err(self.fault(layer, format!("reads the same as {}, a convolution with padding", self.layers[other].name())));
            }
        }
        let readers = self.sources.iter().flatten().filter(|s| s.is_none()).count();
        if readers != 1 {
            return Err(Error::Config(format!(
                "network {}: the images are read by {readers} layers; let one convolution read them",
                self.name
            )));
        }
        Ok(())
    }

    /// The layers that read what layer `i` leaves; twice those that read it twice.
    pub fn consumers(&self, i: usize) -> Vec<usize> {
        let reads = |j: usize| self.sources[j].iter().filter(|s| **s == Some(i)).map(move |_| j);
        (i + 1..self.layers.len()).flat_map(reads).collect()
    }

    /// The same network with other batch norms.
    pub fn with_norms(mut self, norms: Norms) -> Network {
        self.norms = norms;
        self.lay_out();
        self
    }

    /// Shape of what enters layer `i`.
    pub fn input_of(&self, i: usize) -> Shape {
        self.sources[i][0].map_or(self.input, |from| self.shapes[from])
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

    /// Whether layer `i`'s output is divided by `r` in training: of every convolution and linear layer but the classifier.
    pub fn is_rescaled(&self, i: usize) -> bool {
        i + 1 < self.layers.len() && matches!(self.layers[i], Layer::Conv2d { .. } | Layer::Linear { .. })
    }

    /// Name of a layer that is [rescaled](Self::is_rescaled) and reaches the classifier past every batch norm, if there is one: the layer
    /// correction then changes what the network computes.
    pub fn rescaled_without_norm(&self) -> Option<&str> {
        let mut open: Vec<Option<usize>> = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let inherited = self.sources[i].iter().flatten().find_map(|from| open[*from]);
            open.push(match layer {
                Layer::BatchNorm { .. } => None,
                _ if self.is_rescaled(i) => Some(i),
                _ => inherited,
            });
        }
        open.last().copied().flatten().map(|i| self.layers[i].name())
    }

    /// The tensor of that name, as in `conv1.weight`.
    pub fn tensor(&self, name: &str) -> Option<&TensorSpec> {
        self.tensors.iter().find(|t| t.name == name)
    }
}

/// Positions of a window of length `kernel` along `length` padded pixels, or `None` where not even one fits.
pub(crate) fn positions(length: u32, kernel: u32, stride: u32, padding: u32) -> Option<u32> {
    let rest = (u64::from(length) + 2 * u64::from(padding)).checked_sub(u64::from(kernel))?;
    u32::try_from(rest / u64::from(stride) + 1).ok()
}

/// Output size of a sliding window, or `None` where not even one fits.
fn window(shape: Shape, kernel: u32, stride: u32, padding: u32) -> Option<(u32, u32)> {
    let size = |n: u32| positions(n, kernel, stride, padding);
    Some((size(shape.height)?, size(shape.width)?))
}
