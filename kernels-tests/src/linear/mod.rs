//! Fully connected layer, in three directions.

mod backward_data;
mod backward_weight;
mod forward;

pub use backward_data::linear_backward_data;
pub use backward_weight::linear_backward_weight;
pub use forward::linear_forward;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradient_check::{assert_gradient, dot, random};
    use crate::shape::Linear;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_backwards_are_the_gradients(batch in 1usize..5, in_features in 1usize..7, out_features in 1usize..7, seed: u64) {
            let shape = Linear { batch, in_features, out_features };
            let x = random(seed, batch * in_features);
            let weight = random(seed ^ 1, out_features * in_features);
            let bias = random(seed ^ 2, out_features);
            let dz = random(seed ^ 3, batch * out_features);
            let dx = linear_backward_data(&shape, &dz, &weight);
            assert_gradient("dx", &x, &dx, |x| dot(&linear_forward(&shape, x, &weight, &bias, 1.0), &dz));
            let (dw, db) = linear_backward_weight(&shape, &x, &dz);
            assert_gradient("dw", &weight, &dw, |weight| dot(&linear_forward(&shape, &x, weight, &bias, 1.0), &dz));
            assert_gradient("db", &bias, &db, |bias| dot(&linear_forward(&shape, &x, &weight, bias, 1.0), &dz));
        }
    }

    #[test]
    fn by_hand() {
        let shape = Linear { batch: 2, in_features: 2, out_features: 3 };
        let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let z = linear_forward(&shape, &[1.0, 10.0, 2.0, 20.0], &weight, &[0.5, 0.0, -1.0], 2.0);
        assert_eq!(z, [43.0, 86.0, 128.0, 85.0, 172.0, 258.0]);
    }
}
