//! Twin of `copy_bases.wgsl`.

use crate::shape::check_len;

/// The lanes' parameters at the start of a round, `[lane][parameter]`: each lane gets those of its base.
///
/// `server` is `[base][parameter]` with `bases` bases; `base_of_lane` (below `bases`) is `[lane]`.
pub fn copy_bases(bases: usize, server: &[f64], base_of_lane: &[u32]) -> Vec<f64> {
    let parameters = server.len() / bases;
    check_len("server", server.len(), bases * parameters);
    let of_base = |base: &u32| &server[*base as usize * parameters..(*base as usize + 1) * parameters];
    base_of_lane.iter().flat_map(of_base).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(copy_bases(2, &[1.0, 2.0, 3.0, 4.0], &[1, 0, 1]), [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
