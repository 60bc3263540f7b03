//! Twin of `control_variates.wgsl`.

use crate::shape::check_len;

/// `gradient + (server − own)`: SCAFFOLD's corrected gradient, by the control variates of the server and of the client.
pub fn correct(server: &[f64], own: &[f64], gradient: &[f64]) -> Vec<f64> {
    check_len("server", server.len(), gradient.len());
    check_len("own", own.len(), gradient.len());
    server.iter().zip(own).zip(gradient).map(|((c, own), g)| g + (c - own)).collect()
}

/// How much the client's control variate changes: `scale · (base − parameters) − server`, where scale is 1 over the number of local
/// steps times their learning rate (option II).
pub fn change(scale: f64, server: &[f64], base: &[f64], parameters: &[f64]) -> Vec<f64> {
    check_len("server", server.len(), parameters.len());
    check_len("base", base.len(), parameters.len());
    base.iter().zip(parameters).zip(server).map(|((base, p), c)| scale * (base - p) - c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(correct(&[1.0, 0.5], &[0.25, 1.0], &[2.0, 3.0]), [2.75, 2.5]);
        // Two steps of 0.25 from 4 to 3: a mean gradient of 2.
        assert_eq!(change(2.0, &[0.5], &[4.0], &[3.0]), [1.5]);
    }

    #[test]
    fn without_correction_the_new_control_variate_is_the_mean_gradient() {
        let (rate, gradients) = (0.1, [3.0, -1.0, 4.0]);
        let end = gradients.iter().fold(7.0, |theta, g| theta - rate * correct(&[0.0], &[0.0], &[*g])[0]);
        let own = change(1.0 / (3.0 * rate), &[0.0], &[7.0], &[end])[0];
        assert!((own - 2.0).abs() < 1e-12, "{own}");
    }
}
