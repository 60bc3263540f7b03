//! The Digits CNN of the paper (Hong et al. 2022, appendix; the network of FedBN).

use super::{Layer, Network, Shape};
use crate::{Error, Result};

/// The Digits CNN at width `numerator / denominator`: `⌊r · width⌋` channels in every layer but the classifier.
///
/// Full width, on 3×28×28 images: conv 64, 64, 128 (5×5, padding 2), linear 2048, 512, `classes`.
///
/// # Errors
/// [`Error::Config`] where the width leaves a layer without channels.
pub fn digits(numerator: u32, denominator: u32, classes: u32) -> Result<Network> {
    let slim = |full: u32| full * numerator / denominator.max(1);
    if slim(64) == 0 {
        return Err(Error::Config(format!(
            "base width {numerator}/{denominator} leaves the Digits CNN without channels: the narrowest is 1/64"
        )));
    }
    let conv =
        |name: &str, full| Layer::Conv2d { name: name.into(), out_channels: slim(full), kernel: 5, stride: 1, padding: 2, bias: true };
    let bn = |name: &str| Layer::BatchNorm { name: name.into(), relu: true };
    let pool = || Layer::MaxPool { kernel: 2, stride: 2, padding: 0 };
    let linear = |name: &str, out_features| Layer::Linear { name: name.into(), out_features };
    Network::new(
        "digits",
        Shape { channels: 3, height: 28, width: 28 },
        vec![
            conv("conv1", 64),
            bn("bn1"),
            pool(),
            conv("conv2", 64),
            bn("bn2"),
            pool(),
            conv("conv3", 128),
            bn("bn3"),
            linear("fc1", slim(2048)),
            bn("bn4"),
            linear("fc2", slim(512)),
            bn("bn5"),
            linear("fc3", classes),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_at_one_eighth_has_the_papers_size() {
        let base = digits(1, 8, 10).unwrap();
        assert_eq!(base.macs(), 1_158_528);
        assert_eq!(base.parameters(), 224_194);
    }

    #[test]
    fn too_narrow_is_told() {
        assert!(digits(1, 65, 10).unwrap_err().to_string().contains("1/65"));
    }
}
