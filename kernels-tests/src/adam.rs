//! Twin of `adam.wgsl`.

use crate::shape::check_len;

/// Settings of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    pub learning_rate: f64,
    /// Decay of the mean of the gradients, 0.9.
    pub first: f64,
    /// Decay of the mean of their squares, 0.999.
    pub second: f64,
    /// Added to the root, 1e-8.
    pub epsilon: f64,
    /// Added to the gradient as `weight_decay · θ`, for every parameter.
    pub weight_decay: f64,
}

/// Step number `step` (from 0) of PyTorch's Adam, in place; before step 0 the means are 0.
pub fn adam(settings: &Adam, step: u32, parameters: &mut [f64], mean: &mut [f64], square: &mut [f64], gradients: &[f64]) {
    check_len("mean", mean.len(), parameters.len());
    check_len("square", square.len(), parameters.len());
    check_len("gradients", gradients.len(), parameters.len());
    let Adam { learning_rate, first, second, epsilon, weight_decay } = *settings;
    let t = step as i32 + 1;
    for (i, theta) in parameters.iter_mut().enumerate() {
        let g = gradients[i] + weight_decay * *theta;
        let (before_mean, before_square) = if step == 0 { (0.0, 0.0) } else { (mean[i], square[i]) };
        mean[i] = first * before_mean + (1.0 - first) * g;
        square[i] = second * before_square + (1.0 - second) * g * g;
        let root = (square[i] / (1.0 - second.powi(t))).sqrt();
        *theta -= learning_rate * mean[i] / (1.0 - first.powi(t)) / (root + epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        let settings = Adam { learning_rate: 0.5, first: 0.5, second: 0.75, epsilon: 0.0, weight_decay: 0.0 };
        let (mut parameters, mut mean, mut square) = ([1.0], [7.0], [7.0]);
        // What was there before the first step does not count; its own size does not, either.
        adam(&settings, 0, &mut parameters, &mut mean, &mut square, &[-4.0]);
        assert_eq!((parameters, mean, square), ([1.5], [-2.0], [4.0]));
        // m = −1 + 0 = −1, v = 3 + 0 = 3; m̂ = −1 / 0.75, v̂ = 3 / (1 − 0.5625).
        adam(&settings, 1, &mut parameters, &mut mean, &mut square, &[0.0]);
        assert_eq!((mean, square), ([-1.0], [3.0]));
        let want = 1.5 + 0.5 / 0.75 / (3.0f64 / 0.4375).sqrt();
        assert!((parameters[0] - want).abs() < 1e-12);
    }
}
