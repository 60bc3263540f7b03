//! Pseudo-random data that only its keys decide.

use splitmix_fl::net::Network;
use std::collections::BTreeMap;

/// A value in [−1, 1).
pub fn noise(key: u32, i: usize) -> f32 {
    let mut x = (key.wrapping_mul(0x9E37_79B9) ^ i as u32).wrapping_mul(0x85EB_CA6B);
    x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    ((x ^ (x >> 16)) >> 8) as f32 / 8_388_608.0 - 1.0
}

/// Parameters of a base: batch norm's near 1, the others as large as their fan-in wants them.
pub fn base(network: &Network, b: u32) -> BTreeMap<String, Vec<f32>> {
    let tensors = network.tensors.iter().enumerate().map(|(t, spec)| {
        let scale = 1.0 / (spec.fan_in.max(1) as f32).sqrt();
        let value = |i| if spec.fan_in == 0 { 1.0 + 0.2 * noise(t as u32, i) } else { scale * noise(b * 100 + t as u32, i) };
        (spec.name.clone(), (0..spec.len()).map(value).collect())
    });
    tensors.collect()
}
