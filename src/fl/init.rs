//! Initial parameters (paper, section 3.2, "rescale init").

use super::random::{Purpose, rng};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// How a tensor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// A convolution's or linear layer's weight, `[out, in, …]`: uniform in ±1/√fan_in, fan_in = the product of all
    /// dimensions but the first. It is PyTorch's default (Kaiming-uniform with a = √5).
    Weight,
    /// A bias: uniform in ±1/√fan_in with the fan-in of its layer's weight.
    Bias {
        /// Inputs of one output of the layer.
        fan_in: usize,
    },
    /// Batch norm's scale and running variance.
    Ones,
    /// Batch norm's shift and running mean; a bias that starts at 0.
    Zeros,
}

/// The factor on the fan-in: `1/r` gives a slimmed layer the fan-in that the full-width layer would have. The
/// first convolution, whose input (the image) is not slimmed, and networks trained without the correction take 1.
pub fn fan_in_scale(rescale_init: bool, first_layer: bool, base_width: super::Ratio) -> f64 {
    if rescale_init && !first_layer { 1.0 / base_width.as_f64() } else { 1.0 }
}

/// The generator for tensor number `tensor` of base `base`: bases start different from each other, and neither the
/// order nor the number of tensors initialised before matters.
pub fn tensor_rng(seed: u64, base: usize, tensor: usize) -> ChaCha8Rng {
    rng(seed, Purpose::Init, base as u64, tensor as u64, 0)
}

/// The initial values of a tensor of shape `shape` (in PyTorch's order), with the fan-in multiplied by
/// `fan_in_scale` (see [`fan_in_scale`]; must be above 0).
///
/// An empty fan-in or one that is not above 0 gives zeros, as there is nothing to draw.
pub fn init_tensor(kind: Init, shape: &[usize], fan_in_scale: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let fan_in = match kind {
        Init::Ones => return vec![1.0; count],
        Init::Zeros => return vec![0.0; count],
        Init::Weight => shape.iter().skip(1).product(),
        Init::Bias { fan_in } => fan_in,
    };
    let scaled = fan_in as f64 * fan_in_scale;
    if !(scaled > 0.0 && scaled.is_finite()) {
        return vec![0.0; count];
    }
    let bound = (1.0 / libm::sqrt(scaled)) as f32;
    (0..count)
        .map(|_| {
            // 24 bits make every multiple of 2⁻²⁴ in [0, 1), and 2u − 1 is then exact: all platforms agree.
            let unit = (rng.next_u32() >> 8) as f32 / 16_777_216.0;
            (2.0 * unit - 1.0) * bound
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_fill_the_bound_of_the_full_width_layer() {
        // conv 5×5, 8 → 8 at r = 1/8: fan-in 8·25·8 = 1600, bound 1/40.
        let scale = fan_in_scale(true, false, "1/8".parse().unwrap());
        assert_eq!(scale, 8.0);
        let values = init_tensor(Init::Weight, &[64, 8, 5, 5], scale, &mut tensor_rng(1, 0, 0));
        assert_eq!(values.len(), 12_800);
        assert!(values.iter().all(|value| value.abs() <= 0.025));
        let largest = values.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(largest > 0.0249, "{largest}");
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 12_800.0;
        // Standard deviation of the mean: 0.025/√3/√12800 = 1.3e-4.
        assert!(mean.abs() < 6e-4, "{mean}");
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 12_800.0;
        assert!((variance / (0.025f64.powi(2) / 3.0) - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn the_first_convolution_is_not_rescaled() {
        let r = "1/8".parse().unwrap();
        assert_eq!(fan_in_scale(true, true, r), 1.0);
        assert_eq!(fan_in_scale(false, false, r), 1.0);
        // conv1: 3 inputs × 25: bound 1/√75 = 0.11547.
        let values = init_tensor(Init::Weight, &[8, 3, 5, 5], 1.0, &mut tensor_rng(1, 0, 0));
        let largest = values.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(largest <= 0.115_471 && largest > 0.114, "{largest}");
    }

    #[test]
    fn biases_take_the_fan_in_of_their_weight() {
        // fc2 at r = 1/8: 256 inputs, ×8 = 2048: bound 0.0220971.
        let values = init_tensor(Init::Bias { fan_in: 256 }, &[4096], 8.0, &mut tensor_rng(1, 0, 0));
        let largest = values.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(largest <= 0.022_097_1 && largest > 0.0219, "{largest}");
    }

    #[test]
    fn batch_norm_starts_at_one_and_zero() {
        let mut rng = tensor_rng(1, 0, 0);
        assert_eq!(init_tensor(Init::Ones, &[3], 8.0, &mut rng), [1.0; 3]);
        assert_eq!(init_tensor(Init::Zeros, &[3], 8.0, &mut rng), [0.0; 3]);
    }

    #[test]
    fn keyed_by_seed_base_and_tensor() {
        let draw = |seed, base, tensor| init_tensor(Init::Weight, &[2, 2], 1.0, &mut tensor_rng(seed, base, tensor));
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        for other in [draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4), draw(1, 3, 2)] {
            assert_ne!(draw(1, 2, 3), other);
        }
    }

    #[test]
    fn no_inputs_is_no_panic() {
        let mut rng = tensor_rng(1, 0, 0);
        assert_eq!(init_tensor(Init::Weight, &[2, 0], 1.0, &mut rng), [0f32; 0]);
        assert_eq!(init_tensor(Init::Bias { fan_in: 0 }, &[2], 1.0, &mut rng), [0.0; 2]);
    }
}
