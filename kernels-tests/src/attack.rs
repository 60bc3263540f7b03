//! Twin of `attack.wgsl`.

/// The projection: `value` moved into the L∞ ball of radius `epsilon` around `original`, and into [0, 1].
pub fn clip(value: f64, original: f64, epsilon: f64) -> f64 {
    value.clamp((original - epsilon).max(0.0), (original + epsilon).min(1.0))
}

/// Noise of the four channels of a pixel, uniform in [−1, 1): PCG4D (Jarzynski and Olano 2020) of
/// `(seed, round, image, pixel)`, the upper 24 bits of each word.
pub fn noise(seed: u32, round: u32, image: u32, pixel: u32) -> [f64; 4] {
    let mut v = [seed, round, image, pixel].map(|k| k.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |v: &mut [u32; 4]| {
        for (to, a, b) in [(0, 1, 3), (1, 2, 0), (2, 0, 1), (3, 1, 2)] {
            v[to] = v[to].wrapping_add(v[a].wrapping_mul(v[b]));
        }
    };
    mix(&mut v);
    v = v.map(|x| x ^ (x >> 16));
    mix(&mut v);
    v.map(|bits| f64::from(bits >> 8) / 8_388_608.0 - 1.0)
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
        let all: Vec<f64> = (0..20_000).flat_map(|p| noise(1, 2, 3, p)).collect();
        assert!(all.iter().all(|u| (-1.0..1.0).contains(u)));
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let square = all.iter().map(|u| u * u).sum::<f64>() / n;
        // Three standard deviations of the two means.
        assert!(mean.abs() < 3.0 / (3.0 * n).sqrt(), "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 3.0 * (4.0 / 45.0 / n).sqrt(), "{square}");
        let first = noise(1, 2, 3, 4);
        for other in [noise(9, 2, 3, 4), noise(1, 9, 3, 4), noise(1, 2, 9, 4), noise(1, 2, 3, 9)] {
            assert_ne!(first, other);
        }
    }
}
