//! Twin of `attack.wgsl`.

/// The projection: `value` moved into the L∞ ball of radius `epsilon` around `original`, and into [0, 1].
pub fn clip(value: f64, original: f64, epsilon: f64) -> f64 {
    value.clamp((original - epsilon).max(0.0), (original + epsilon).min(1.0))
}

/// PCG4D (Jarzynski and Olano, "Hash Functions for GPU Rendering", 2020).
pub(crate) fn pcg4d(key: [u32; 4]) -> [u32; 4] {
    let mut v = key.map(|k| k.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |v: &mut [u32; 4]| {
        for (to, a, b) in [(0, 1, 3), (1, 2, 0), (2, 0, 1), (3, 1, 2)] {
            v[to] = v[to].wrapping_add(v[a].wrapping_mul(v[b]));
        }
    };
    mix(&mut v);
    v = v.map(|x| x ^ (x >> 16));
    mix(&mut v);
    v
}

/// What the noise of an attack's start depends on besides image and pixel.
#[derive(Clone, Copy, Debug)]
pub struct NoiseKey {
    pub seed: u32,
    /// Round of a training; restart of an attack on a trained model.
    pub round: u32,
    /// Local step.
    pub step: u32,
    /// The base that is attacked; [`ENSEMBLE`] for several together.
    pub base: u32,
}

/// In place of a base.
pub const ENSEMBLE: u32 = u32::MAX;

/// Noise of the four channels of a pixel, uniform in [−1, 1): the hash of the key, then of that with image and pixel, the upper
/// 24 bits of each word.
pub fn noise(key: NoiseKey, image: u32, pixel: u32) -> [f64; 4] {
    let k = pcg4d([key.seed, key.round, key.step, key.base]);
    pcg4d([k[0] ^ image, k[1] ^ pixel, k[2], k[3]]).map(|bits| f64::from(bits >> 8) / 8_388_608.0 - 1.0)
}

/// Start of the descent at one value: the clean one, moved by `noise` times the radius.
pub fn start(clean: f64, noise: f64, epsilon: f64) -> f64 {
    clip(clean + epsilon * noise, clean, epsilon)
}

/// One step at one value: by `alpha` along the sign of the gradient, which is 0 for 0.
pub fn step(attacked: f64, clean: f64, gradient: f64, alpha: f64, epsilon: f64) -> f64 {
    let sign = f64::from(i8::from(gradient > 0.0) - i8::from(gradient < 0.0));
    clip(attacked + alpha * sign, clean, epsilon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_by_hand() {
        assert_eq!(step(0.5, 0.5, 3.0, 0.25, 0.125), 0.625);
        assert_eq!(step(0.5, 0.5, -3.0, 0.0625, 0.125), 0.4375);
        assert_eq!(step(0.625, 0.5, 0.0, 0.25, 0.125), 0.625);
        assert_eq!(step(0.0, 0.0625, -1.0, 0.5, 0.125), 0.0);
        assert_eq!(step(1.0, 0.9375, 1.0, 0.5, 0.125), 1.0);
        assert_eq!(start(0.25, -1.0, 0.5), 0.0);
        assert_eq!(start(0.25, 0.5, 0.5), 0.5);
    }

    #[test]
    fn noise_is_uniform_and_its_keys_matter() {
        let key = NoiseKey { seed: 1, round: 2, step: 3, base: 4 };
        let all: Vec<f64> = (0..20_000).flat_map(|p| noise(key, 5, p)).collect();
        assert!(all.iter().all(|u| (-1.0..1.0).contains(u)));
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let square = all.iter().map(|u| u * u).sum::<f64>() / n;
        // Three standard deviations of the two means.
        assert!(mean.abs() < 3.0 / (3.0 * n).sqrt(), "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 3.0 * (4.0 / 45.0 / n).sqrt(), "{square}");
        let first = noise(key, 5, 6);
        let others = [
            noise(NoiseKey { seed: 9, ..key }, 5, 6),
            noise(NoiseKey { round: 9, ..key }, 5, 6),
            noise(NoiseKey { step: 9, ..key }, 5, 6),
            noise(NoiseKey { base: 9, ..key }, 5, 6),
            noise(key, 9, 6),
            noise(key, 5, 9),
        ];
        for other in others {
            assert_ne!(first, other);
        }
    }
}
