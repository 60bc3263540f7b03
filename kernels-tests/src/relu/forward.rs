//! Twin of `relu_forward.wgsl`.

/// `max(0, x)` of every value.
pub fn relu_forward(x: &[f64]) -> Vec<f64> {
    x.iter().map(|v| v.max(0.0)).collect()
}
