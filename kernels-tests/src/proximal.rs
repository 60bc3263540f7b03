//! Twin of `proximal.wgsl`.

use crate::shape::check_len;

/// `gradient + mu · (parameters − server)`: with the gradient of FedProx's term `mu/2 · ‖parameters − server‖²`.
pub fn proximal(mu: f64, parameters: &[f64], server: &[f64], gradient: &[f64]) -> Vec<f64> {
    check_len("server", server.len(), parameters.len());
    check_len("gradient", gradient.len(), parameters.len());
    parameters.iter().zip(server).zip(gradient).map(|((p, s), g)| g + mu * (p - s)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check::{assert_gradient, random};

    #[test]
    fn is_the_gradient_of_the_term() {
        let (mu, parameters, server) = (0.3, random(1, 20), random(2, 20));
        let own = proximal(mu, &parameters, &server, &[0.0; 20]);
        let term = |p: &[f64]| mu / 2.0 * p.iter().zip(&server).map(|(p, s)| (p - s).powi(2)).sum::<f64>();
        assert_gradient("term", &parameters, &own, term);
    }
}
