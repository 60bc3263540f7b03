//! Twin of `relu_backward.wgsl`.

use crate::shape::check_len;

/// `dy` where `x` is above 0, else 0.
pub fn relu_backward(x: &[f64], dy: &[f64]) -> Vec<f64> {
    check_len("dy", dy.len(), x.len());
    x.iter().zip(dy).map(|(x, dy)| if *x > 0.0 { *dy } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check::{assert_gradient, dot, random};
    use crate::relu::forward::relu_forward;

    #[test]
    fn is_the_gradient() {
        // No value near the kink.
        let x: Vec<f64> = random(3, 40).into_iter().map(|v| v + v.signum() * 0.1).collect();
        let dy = random(4, 40);
        assert_gradient("dx", &x, &relu_backward(&x, &dy), |x| dot(&relu_forward(x), &dy));
        assert_eq!(relu_backward(&[0.0], &[5.0]), [0.0]);
    }
}
