//! What splitmix-fl does with pictures pixel by pixel: it draws the generated domains and resizes images. A crate of its own, so that it
//! alone is optimised in tests: unoptimised it takes most of the time of a short run.
//!
//! Images lie one behind the other in H·W·C order, three channels of a byte each unless said otherwise.

mod dice;
pub mod mnist_m_style;
pub mod resize;
pub mod synth_digits;

/// Seed of the generated domains. Another seed would give other, equally good images; this one is fixed so that
/// accuracies on them can be compared.
pub const GENERATOR_SEED: u64 = 20_220_425;

/// Channels of an image: red, green, blue.
const CHANNELS: usize = 3;

/// Images of a single channel with three that are equal.
pub fn grey_as_rgb(grey: &[u8]) -> Vec<u8> {
    grey.iter().flat_map(|&value| [value; CHANNELS]).collect()
}
