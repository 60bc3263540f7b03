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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn shapes() -> impl Strategy<Value = Linear> {
        (1usize..5, 1usize..7, 1usize..7).prop_map(|(batch, in_features, out_features)| Linear { batch, in_features, out_features })
    }

    #[test]
    fn by_hand() {
        let shape = Linear { batch: 2, in_features: 2, out_features: 3 };
        let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let z = linear_forward(&shape, &[1.0, 10.0, 2.0, 20.0], &weight, &[0.5, 0.0, -1.0], 2.0);
        assert_eq!(z, [43.0, 86.0, 128.0, 85.0, 172.0, 258.0]);
    }
}
