//! Twin of `linear_backward_weight.wgsl`.

use crate::shape::{Linear, check_len};

/// `(dw, db)`: `dw = dzᵀ · x` (`[out_features][in_features]`) and `db` (`[out_features]`), summed over the batch.
///
/// `dz` (`[batch][out_features]`) is the gradient with respect to the *un-scaled* output. Samples past the valid ones
/// must have `dz = 0`.
pub fn linear_backward_weight(shape: &Linear, x: &[f64], dz: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let Linear { batch, in_features, out_features } = *shape;
    check_len("x", x.len(), batch * in_features);
    check_len("dz", dz.len(), batch * out_features);
    let mut dw = vec![0.0; out_features * in_features];
    let mut db = vec![0.0; out_features];
    for o in 0..out_features {
        for n in 0..batch {
            let gradient = dz[n * out_features + o];
            db[o] += gradient;
            for i in 0..in_features {
                dw[o * in_features + i] += gradient * x[n * in_features + i];
            }
        }
    }
    (dw, db)
}
