//! Networks to measure: the Digits CNN, and the layers of the paper's two others one after the other.

use crate::fl::Ratio;
use crate::net::{Layer, Network, Shape};
use crate::run::model::network;
use crate::{Error, Result};

/// Classes of every network.
pub(super) const CLASSES: usize = 10;

/// The network of that name at a base's width. `preact-resnet18-layers` and `alexnet-layers` have every shape of
/// convolution and linear layer of these networks in a plain chain, without shortcuts, for timing alone.
///
/// # Errors
/// [`Error::Config`] for other names and for widths without channels.
pub(super) fn of(name: &str, width: Ratio) -> Result<Network> {
    match name {
        "preact-resnet18-layers" => preact_resnet18(width),
        "alexnet-layers" => alexnet(width),
        "digits" => network(name, width, CLASSES),
        other => Err(Error::Config(format!("--network: {other:?} is none of digits, preact-resnet18-layers, alexnet-layers"))),
    }
}

fn slim(width: Ratio, full: u32) -> u32 {
    (full * width.numerator() / width.denominator()).max(1)
}

struct Chain {
    width: Ratio,
    layers: Vec<Layer>,
}

impl Chain {
    fn conv(&mut self, out: u32, kernel: u32, stride: u32, padding: u32) {
        let i = self.layers.iter().filter(|l| matches!(l, Layer::Conv2d { .. })).count() + 1;
        let out_channels = slim(self.width, out);
        self.layers.push(Layer::Conv2d { name: format!("conv{i}"), out_channels, kernel, stride, padding, bias: true });
        self.layers.push(Layer::BatchNorm { name: format!("bn{i}"), relu: true });
    }

    fn pool(&mut self, kernel: u32, stride: u32) {
        self.layers.push(Layer::MaxPool { kernel, stride, padding: 0 });
    }

    fn linear(&mut self, out_features: u32) {
        let i = self.layers.iter().filter(|l| matches!(l, Layer::Linear { .. })).count() + 1;
        self.layers.push(Layer::Linear { name: format!("fc{i}"), out_features });
    }
}

fn preact_resnet18(width: Ratio) -> Result<Network> {
    let mut chain = Chain { width, layers: Vec::new() };
    chain.conv(64, 3, 1, 1);
    chain.conv(64, 3, 1, 1);
    for stage in [128, 256, 512] {
        chain.conv(stage, 3, 2, 1);
        chain.conv(stage, 3, 1, 1);
        // The shortcut's shape, on the stage's own output.
        chain.conv(stage, 1, 1, 0);
    }
    chain.pool(4, 4);
    chain.linear(CLASSES as u32);
    Network::new("preact-resnet18-layers", Shape { channels: 3, height: 32, width: 32 }, chain.layers)
}

fn alexnet(width: Ratio) -> Result<Network> {
    let mut chain = Chain { width, layers: Vec::new() };
    chain.conv(64, 11, 4, 2);
    chain.pool(3, 2);
    chain.conv(192, 5, 1, 2);
    chain.pool(3, 2);
    chain.conv(384, 3, 1, 1);
    chain.conv(256, 3, 1, 1);
    chain.conv(256, 3, 1, 1);
    chain.pool(3, 2);
    for features in [4096, 4096] {
        chain.linear(slim(width, features));
        let i = chain.layers.iter().filter(|l| matches!(l, Layer::BatchNorm { .. })).count() + 1;
        chain.layers.push(Layer::BatchNorm { name: format!("bn{i}"), relu: true });
    }
    chain.linear(CLASSES as u32);
    Network::new("alexnet-layers", Shape { channels: 3, height: 256, width: 256 }, chain.layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_of_the_paper_is_a_network() {
        for name in ["digits", "preact-resnet18-layers", "alexnet-layers"] {
            for width in ["1/8", "1/4", "1/2", "1"] {
                let network = of(name, width.parse().unwrap()).unwrap();
                assert_eq!(network.classes, CLASSES as u32, "{name} at {width}");
            }
        }
        assert!(of("lenet", Ratio::EIGHTH).unwrap_err().to_string().contains("alexnet-layers"));
    }
}
