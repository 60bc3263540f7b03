//! Twin of `linear_backward_data.wgsl`.

use crate::shape::{Linear, check_len};

/// `dx = dz · weight`, the gradient with respect to the input, `[batch][in_features]`.
///
/// `dz` (`[batch][out_features]`) is the gradient with respect to the *un-scaled* output.
pub fn linear_backward_data(shape: &Linear, dz: &[f64], weight: &[f64]) -> Vec<f64> {
    let Linear { batch, in_features, out_features } = *shape;
    check_len("dz", dz.len(), batch * out_features);
    check_len("weight", weight.len(), out_features * in_features);
    let mut dx = vec![0.0; batch * in_features];
    for n in 0..batch {
        for i in 0..in_features {
            dx[n * in_features + i] = (0..out_features).map(|o| dz[n * out_features + o] * weight[o * in_features + i]).sum();
        }
    }
    dx
}
