//! Twin of `server_step.wgsl`.

use crate::shape::check_len;

/// How v follows the squares of the changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Momentum alone: there is no v.
    Momentum,
    /// v ← v + Δ².
    Adagrad,
    /// v ← β₂ · v + (1 − β₂) · Δ².
    Adam,
    /// v ← v − (1 − β₂) · Δ² · sign(v − Δ²).
    Yogi,
}

/// Settings of the server's optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerStep {
    pub rule: Rule,
    /// η.
    pub learning_rate: f64,
    /// β₁.
    pub first: f64,
    /// β₂.
    pub second: f64,
    /// τ.
    pub tau: f64,
}

/// One step of a base, in place: `parameters` move towards `average`, which the clients' round gave.
pub fn server_step(settings: &ServerStep, parameters: &mut [f64], mean: &mut [f64], square: &mut [f64], average: &[f64]) {
    check_len("mean", mean.len(), parameters.len());
    check_len("square", square.len(), parameters.len());
    check_len("average", average.len(), parameters.len());
    let ServerStep { rule, learning_rate, first, second, tau } = *settings;
    for (i, theta) in parameters.iter_mut().enumerate() {
        let delta = average[i] - *theta;
        if rule == Rule::Momentum {
            mean[i] = first * mean[i] + delta;
            *theta += learning_rate * mean[i];
            continue;
        }
        mean[i] = first * mean[i] + (1.0 - first) * delta;
        let change = delta * delta;
        square[i] = match rule {
            Rule::Adagrad => square[i] + change,
            Rule::Adam => second * square[i] + (1.0 - second) * change,
            _ => {
                let away = square[i] - change;
                let sign = if away == 0.0 { 0.0 } else { away.signum() };
                square[i] - (1.0 - second) * change * sign
            }
        };
        *theta += learning_rate * mean[i] / (square[i].sqrt() + tau);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let step = |rule| {
            let settings = ServerStep { rule, learning_rate: 0.5, first: 0.5, second: 0.75, tau: 1.0 };
            let (mut parameters, mut mean, mut square) = ([1.0], [2.0], [9.0]);
            server_step(&settings, &mut parameters, &mut mean, &mut square, &[5.0]);
            (parameters[0], mean[0], square[0])
        };
        // Δ = 4, Δ² = 16; m = 1 + 2 = 3.
        assert_eq!(step(Rule::Momentum), (1.0 + 0.5 * 5.0, 5.0, 9.0));
        assert_eq!(step(Rule::Adagrad), (1.0 + 0.5 * 3.0 / 6.0, 3.0, 25.0));
        let adam = 0.75 * 9.0 + 0.25 * 16.0;
        assert_eq!(step(Rule::Adam), (1.0 + 0.5 * 3.0 / (f64::sqrt(adam) + 1.0), 3.0, adam));
        // v < Δ²: it grows by a quarter of Δ².
        assert_eq!(step(Rule::Yogi), (1.0 + 0.5 * 3.0 / (f64::sqrt(13.0) + 1.0), 3.0, 13.0));
    }

    #[test]
    fn momentum_of_zero_and_a_rate_of_one_is_the_average() {
        let settings = ServerStep { rule: Rule::Momentum, learning_rate: 1.0, first: 0.0, second: 0.0, tau: 0.0 };
        let (mut parameters, mut mean) = ([1.0, -2.0], [7.0, 7.0]);
        server_step(&settings, &mut parameters, &mut mean, &mut [0.0; 2], &[5.0, 0.5]);
        assert_eq!(parameters, [5.0, 0.5]);
    }
}
