//! Twin of `linear_forward.wgsl`.

use crate::shape::{Linear, check_len};

/// `z = (x · weightᵀ + bias) · scale`, `[batch][out_features]`.
///
/// `x` is `[batch][in_features]`, `weight` `[out_features][in_features]`, `bias` `[out_features]`. `scale` is the layer
/// correction: `1/r` in training on every layer but the classifier, 1 otherwise.
pub fn linear_forward(shape: &Linear, x: &[f64], weight: &[f64], bias: &[f64], scale: f64) -> Vec<f64> {
    let Linear { batch, in_features, out_features } = *shape;
    check_len("x", x.len(), batch * in_features);
    check_len("weight", weight.len(), out_features * in_features);
    check_len("bias", bias.len(), out_features);
    let mut z = vec![0.0; batch * out_features];
    for n in 0..batch {
        for o in 0..out_features {
            let products = (0..in_features).map(|i| x[n * in_features + i] * weight[o * in_features + i]);
            z[n * out_features + o] = (products.sum::<f64>() + bias[o]) * scale;
        }
    }
    z
}
