//! Twin of `weighted_average.wgsl`.

use crate::shape::check_len;

/// The server's parameters after a round, `[base][parameter]`: for each base, the average of the lanes that trained it,
/// weighted by `weights`; a base without a lane keeps its value.
///
/// `server` is `[base][parameter]` with `bases` bases, `lanes` `[lane][parameter]`; `weights` (positive) and
/// `base_of_lane` (below `bases`) are `[lane]`.
pub fn weighted_average(bases: usize, server: &[f64], lanes: &[f64], weights: &[f64], base_of_lane: &[u32]) -> Vec<f64> {
    let parameters = server.len() / bases;
    check_len("server", server.len(), bases * parameters);
    check_len("weights", weights.len(), base_of_lane.len());
    check_len("lanes", lanes.len(), base_of_lane.len() * parameters);
    assert!(base_of_lane.iter().all(|&base| (base as usize) < bases), "a lane's base is not one of the {bases}");
    let mut averaged = server.to_vec();
    for base in 0..bases {
        let trained: Vec<usize> = (0..base_of_lane.len()).filter(|&lane| base_of_lane[lane] as usize == base).collect();
        if trained.is_empty() {
            continue;
        }
        let total: f64 = trained.iter().map(|&lane| weights[lane]).sum();
        for parameter in 0..parameters {
            let sum: f64 = trained.iter().map(|&lane| weights[lane] * lanes[lane * parameters + parameter]).sum();
            averaged[base * parameters + parameter] = sum / total;
        }
    }
    averaged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let server = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let lanes = [10.0, 20.0, 100.0, 200.0, 30.0, 40.0];
        let averaged = weighted_average(3, &server, &lanes, &[3.0, 2.0, 1.0], &[2, 0, 2]);
        assert_eq!(averaged, [100.0, 200.0, 3.0, 4.0, 15.0, 25.0]);
    }
}
