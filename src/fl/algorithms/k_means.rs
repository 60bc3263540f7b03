//! k-means of points that are known by their distances alone.

use super::centres::least;

/// Lloyd's k-means of points known by their squared distances from each other: cluster and squared distance from its mean, of each
/// point. It starts from points far from each other: the one with the largest sum of distances, then always the farthest from those
/// before. A cluster is never left without a point. There are at least as many points as clusters.
pub(super) fn k_means(distances: &[Vec<f64>], clusters: usize) -> Vec<(usize, f64)> {
    let farthest = |value: &dyn Fn(usize) -> f64| least(&(0..distances.len()).map(|i| -value(i)).collect::<Vec<_>>()).0;
    let mut seeds = vec![farthest(&|i| distances[i].iter().sum())];
    while seeds.len() < clusters {
        let next =
            farthest(&|i| if seeds.contains(&i) { -1.0 } else { least(&seeds.iter().map(|s| distances[i][*s]).collect::<Vec<_>>()).1 });
        seeds.push(next);
    }
    let mut members: Vec<Vec<usize>> = seeds.into_iter().map(|seed| vec![seed]).collect();
    let mut found: Vec<(usize, f64)> = Vec::new();
    // Seldom more than ten are needed.
    for _ in 0..100 {
        // ‖x − mean‖² = mean of the squared distances from the members − half their mean among themselves.
        let mean = |i: usize, own: &[usize]| own.iter().map(|j| distances[i][*j]).sum::<f64>() / own.len() as f64;
        let spread: Vec<f64> = members.iter().map(|own| own.iter().map(|i| mean(*i, own)).sum::<f64>() / own.len() as f64 / 2.0).collect();
        let nearest = |i: usize| least(&members.iter().zip(&spread).map(|(own, spread)| mean(i, own) - spread).collect::<Vec<_>>());
        found = (0..distances.len()).map(nearest).collect();
        let next: Vec<Vec<usize>> =
            (0..clusters).map(|k| found.iter().enumerate().filter(|(_, (own, _))| *own == k).map(|(i, _)| i).collect()).collect();
        if next == members || next.iter().any(Vec::is_empty) {
            break;
        }
        members = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_means_finds_clusters_that_are_apart() {
        let points = [0.0, 10.5, 0.5, 10.0, 20.0, 11.0f64];
        let distances: Vec<Vec<f64>> = points.iter().map(|a| points.iter().map(|b| (a - b).powi(2)).collect()).collect();
        let found = k_means(&distances, 3);
        let (own, costs): (Vec<usize>, Vec<f64>) = found.into_iter().unzip();
        assert!(own[0] == own[2] && own[1] == own[3] && own[3] == own[5] && own[4] != own[0] && own[4] != own[1], "{own:?}");
        costs.iter().zip([0.0625, 0.0, 0.0625, 0.25, 0.0, 0.25]).for_each(|(a, b)| assert!((a - b).abs() < 1e-9, "{costs:?}"));
        // As many clusters as points, and equal points: nobody is left alone.
        assert_eq!(k_means(&distances, 6).iter().map(|(k, _)| *k).collect::<std::collections::BTreeSet<_>>().len(), 6);
        assert_eq!(k_means(&vec![vec![0.0; 3]; 3], 2).len(), 3);
    }
}
