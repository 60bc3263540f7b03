//! Twin of `corner.wgsl`: corners of tensors of any number of dimensions.

use crate::shape::check_len;

/// For each value of a tensor of shape `narrow`, in order, its place in one of shape `wide`: the same coordinates.
pub fn corner_places(wide: &[usize], narrow: &[usize]) -> Vec<usize> {
    check_len("narrow shape", narrow.len(), wide.len());
    assert!(narrow.iter().zip(wide).all(|(n, w)| n <= w), "{narrow:?} is no corner of {wide:?}");
    let place = |mut i: usize| {
        let (mut at, mut stride) = (0, 1);
        for (n, w) in narrow.iter().zip(wide).rev() {
            at += i % n * stride;
            i /= n;
            stride *= w;
        }
        at
    };
    (0..narrow.iter().product()).map(place).collect()
}

/// The corner of a tensor.
pub fn take_corner(wide: &[usize], narrow: &[usize], values: &[f64]) -> Vec<f64> {
    check_len("values", values.len(), wide.iter().product());
    corner_places(wide, narrow).into_iter().map(|i| values[i]).collect()
}

/// What one client sends back: the shape of the corner that it holds, its weight, its values.
pub type Held<'a> = (&'a [usize], f64, &'a [f64]);

/// HeteroFL's average: every value over the clients that hold it, by their weights; values that nobody holds stay.
pub fn average_over_holders(wide: &[usize], server: &[f64], clients: &[Held]) -> Vec<f64> {
    check_len("server", server.len(), wide.iter().product());
    let (mut sum, mut mass) = (vec![0.0; server.len()], vec![0.0; server.len()]);
    for (shape, weight, values) in clients {
        for (place, value) in corner_places(wide, shape).into_iter().zip(*values) {
            sum[place] += weight * value;
            mass[place] += weight;
        }
    }
    let new = |(i, old): (usize, &f64)| if mass[i] > 0.0 { sum[i] / mass[i] } else { *old };
    server.iter().enumerate().map(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_the_first_of_every_dimension() {
        assert_eq!(corner_places(&[3, 4], &[2, 3]), [0, 1, 2, 4, 5, 6]);
        assert_eq!(corner_places(&[2, 2, 2], &[1, 2, 1]), [0, 2]);
        assert_eq!(take_corner(&[2, 2], &[1, 2], &[1.0, 2.0, 3.0, 4.0]), [1.0, 2.0]);
    }

    #[test]
    fn values_are_averaged_over_those_who_hold_them() {
        // A full client of weight 1, one of the first row of weight 3; by hand: (2 + 3·6)/4, (4 + 3·8)/4.
        let got = average_over_holders(&[2, 2], &[0.0; 4], &[(&[2, 2], 1.0, &[2.0, 4.0, 5.0, 7.0]), (&[1, 2], 3.0, &[6.0, 8.0])]);
        assert_eq!(got, [5.0, 7.0, 5.0, 7.0]);
        assert_eq!(average_over_holders(&[2], &[1.0, 9.0], &[(&[1], 0.5, &[4.0])]), [4.0, 9.0]);
    }
}
