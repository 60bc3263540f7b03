//! Twin of `sgd.wgsl`.

use crate::shape::check_len;

/// Settings of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    pub learning_rate: f64,
    /// 0.9 in every experiment.
    pub momentum: f64,
    /// Added to the gradient as `weight_decay · θ`, for every parameter; 5e-4 in every experiment.
    pub weight_decay: f64,
}

/// One step of PyTorch's SGD, without Nesterov or dampening, in place:
/// `buffer ← momentum·buffer + gradient + weight_decay·θ`, then `θ ← θ − learning_rate·buffer`.
///
/// All three slices have one length. The buffer starts a local training at 0, so its first value is the gradient
/// itself, as in PyTorch.
pub fn sgd(settings: &Sgd, parameters: &mut [f64], buffer: &mut [f64], gradients: &[f64]) {
    check_len("buffer", buffer.len(), parameters.len());
    check_len("gradients", gradients.len(), parameters.len());
    for ((parameter, velocity), gradient) in parameters.iter_mut().zip(buffer).zip(gradients) {
        *velocity = settings.momentum * *velocity + gradient + settings.weight_decay * *parameter;
        *parameter -= settings.learning_rate * *velocity;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        let settings = Sgd { learning_rate: 0.5, momentum: 0.5, weight_decay: 0.25 };
        let (mut parameters, mut buffer) = ([4.0], [0.0]);
        sgd(&settings, &mut parameters, &mut buffer, &[1.0]);
        assert_eq!((parameters, buffer), ([3.0], [2.0]));
        // 0.5·2 + 1 + 0.25·3 = 2.75
        sgd(&settings, &mut parameters, &mut buffer, &[1.0]);
        assert_eq!((parameters, buffer), ([1.625], [2.75]));
    }
}
