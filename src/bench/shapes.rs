//! Networks to measure: those of the paper.

use crate::Result;
use crate::fl::Ratio;
use crate::net::Network;
use crate::run::model::network;

/// Classes of every network.
pub(super) const CLASSES: usize = 10;

/// The network of that name at a base's width.
///
/// # Errors
/// [`crate::Error::Config`] for other names and for widths without channels.
pub(super) fn of(name: &str, width: Ratio) -> Result<Network> {
    network(name, width, CLASSES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Architecture;

    #[test]
    fn every_width_of_the_paper_is_a_network() {
        for name in Architecture::names() {
            for width in ["1/8", "1/4", "1/2", "1"] {
                let network = of(name, width.parse().unwrap()).unwrap();
                assert_eq!(network.classes, CLASSES as u32, "{name} at {width}");
            }
        }
        assert!(of("lenet", Ratio::EIGHTH).unwrap_err().to_string().contains("alexnet"));
    }
}
