//! Methods with several centres, on clients of whom it is known which belong together: the labels of each group are permuted in its own way,
//! so that one network cannot be right for all.

use splitmix_fl::data::{Dataset, Holding, embedded};
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::run::checkpoint::Tensor;
use splitmix_fl::run::{Federation, TrainConfig};
use std::collections::BTreeMap;
use std::path::Path;

const GROUPS: usize = 3;

/// The same images for every group as a domain of its own, with labels (y + shift · group) mod 10.
fn grouped(shift: u8) -> Dataset {
    let mut dataset = embedded().expect("the embedded data");
    let mnist = dataset.domains.swap_remove(0);
    let domain = |group: u8| {
        let mut domain = mnist.clone();
        domain.name = format!("group{group}");
        [&mut domain.train, &mut domain.test].into_iter().flat_map(|set| &mut set.labels).for_each(|y| *y = (*y + shift * group) % 10);
        domain
    };
    dataset.domains = (0..GROUPS as u8).map(domain).collect();
    dataset
}

/// A run of a method: mean accuracy over the clients' test images, and the centre of each client.
async fn run(gpu: &Gpu, dataset: &Dataset, seed: u64, options: &str) -> (f64, Option<Vec<u32>>) {
    let common = "width = \"1/16\"\nrounds = 8\nclients-per-domain = 3\ntrain-per-domain = 180\nlocal-epochs = 2\nvalidate-every = 8\n";
    let config = TrainConfig::from_toml(&format!("{common}seed = {seed}\n{options}"), Path::new("options")).expect("options");
    let mut federation = Federation::builder(gpu.clone(), dataset).config(config).build().await.expect("it fits");
    let mut own = None;
    while federation.run().rounds_done < federation.run().config.rounds {
        own = federation.round().await.expect("a round").metrics.own_bases;
    }
    (federation.test().await.expect("tested").widths[0].mean.expect("test images"), own)
}

/// Hubert and Arabie's adjusted Rand index of a partition of the clients and that into groups of equal size, in their order.
fn adjusted_rand_index(own: &[u32]) -> f64 {
    let each = own.len() / GROUPS;
    let pairs = |n: usize| (n * n.saturating_sub(1) / 2) as f64;
    let clusters = 1 + own.iter().max().copied().unwrap_or(0);
    let count = |of: &[u32], k: u32| of.iter().filter(|c| **c == k).count();
    let both: f64 = own.chunks(each).flat_map(|group| (0..clusters).map(move |k| pairs(count(group, k)))).sum();
    let (a, b): (f64, f64) = (GROUPS as f64 * pairs(each), (0..clusters).map(|k| pairs(count(own, k))).sum());
    let expected = a * b / pairs(own.len());
    (both - expected) / ((a + b) / 2.0 - expected)
}

async fn open() -> Gpu {
    let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
    Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_index_by_hand() {
    assert_eq!(adjusted_rand_index(&[2, 2, 2, 0, 0, 0, 1, 1, 1]), 1.0);
    assert_eq!(adjusted_rand_index(&[0; 9]), 0.0);
    // Pairs together in both: 1 + 1 + 1; in each: 9 and 9 of 36.
    assert_eq!(adjusted_rand_index(&[0, 0, 1, 1, 1, 2, 2, 2, 0]), (3.0 - 2.25) / (9.0 - 2.25));
}

/// Tensors of the bases after three rounds, and the centre of each client.
async fn trained(gpu: &Gpu, dataset: &Dataset, options: &str) -> (BTreeMap<String, Tensor>, Option<Vec<u32>>) {
    let config =
        TrainConfig::from_toml(&format!("width = \"1/8\"\nrounds = 3\nseed = 4\n{options}"), Path::new("options")).expect("options");
    let mut federation = Federation::builder(gpu.clone(), dataset).config(config).build().await.expect("it fits");
    while federation.run().rounds_done < federation.run().config.rounds {
        federation.round().await.expect("a round");
    }
    let checkpoint = federation.checkpoint().await.expect("read back");
    (checkpoint.tensors, checkpoint.header.own_bases)
}

#[test]
fn one_centre_is_fedavg_and_centres_that_stay_are_as_many_fedavgs() {
    pollster::block_on(async {
        let (gpu, mut dataset) = (open().await, grouped(3));
        dataset.domains.truncate(2);
        let few = "clients-per-domain = 2\ntrain-per-domain = 90\nproximal = 0.01\nwave-lanes = 2\nclients-per-round = 3\n";
        let (fedavg, _) = trained(&gpu, &dataset, &format!("{few}method = \"fedavg\"")).await;
        for options in ["", "warm-up = 2", "cluster-on = \"last\"\nshared-start = true"] {
            let fesem = format!("{few}method = \"fesem\"\ncentres = 1\ncluster-weights = \"share\"\n{options}");
            assert!(trained(&gpu, &dataset, &fesem).await == (fedavg.clone(), Some(vec![0; 4])), "{options}");
        }
        let (ifca, _) = trained(&gpu, &dataset, &format!("{few}method = \"ifca\"\ncentres = 1\ncluster-weights = \"share\"")).await;
        assert!(ifca == fedavg);

        // Five clients with as many images each.
        let listed = |name: u32| Holding {
            name: format!("client{name}"),
            domain: 0,
            train: (40 * name..40 * name + 40).collect(),
            validation: (300 + 3 * name..303 + 3 * name).collect(),
            test: (10 * name..10 * name + 10).collect(),
        };
        dataset.clients = (0..5).map(listed).collect();
        let fesem = "method = \"fesem\"\ncentres = 2\nshared-start = true\nreassign-every = 1000";
        let (centres, own) = trained(&gpu, &dataset, fesem).await;
        let own = own.expect("centres");
        assert_eq!(own.iter().filter(|k| **k == 0).count(), 3, "{own:?}");
        for centre in 0..2 {
            let mut alone = dataset.clone();
            // Clients of the other centre have nothing to train on.
            let others = alone.clients.iter_mut().zip(&own).filter(|(_, k)| **k != centre);
            others.for_each(|(client, _)| client.train.clear());
            let (fedavg, _) = trained(&gpu, &alone, "method = \"fedavg\"").await;
            for (name, tensor) in &fedavg {
                let of_centre = &centres[&name.replacen('0', &centre.to_string(), 1)];
                assert!(of_centre == tensor, "centre {centre}, {name}");
            }
        }
    });
}

/// The least that several centres must gain over one network where groups differ: ten points.
const GAIN: f64 = 0.1;

#[test]
fn fesem_finds_groups_whose_labels_are_permuted() {
    pollster::block_on(async {
        let (gpu, dataset) = (open().await, grouped(3));
        // Three seeds with ./test.sh --complete, else one.
        let complete = std::env::var_os("SPLITMIX_TESTS").is_some_and(|wanted| wanted == "complete");
        for seed in 1..if complete { 4 } else { 2 } {
            let (one, none) = run(&gpu, &dataset, seed, "method = \"fedavg\"").await;
            assert_eq!(none, None);
            let (several, own) = run(&gpu, &dataset, seed, "method = \"fesem\"\ncentres = 3\nwarm-up = 2").await;
            let own = own.expect("centres");
            println!("seed {seed}: {several:.3} against {one:.3}, {own:?}");
            assert!(several > one + GAIN, "seed {seed}: {several} against {one}");
            assert_eq!(adjusted_rand_index(&own), 1.0, "seed {seed}: {own:?}");
        }
        // If all clients are alike there is nothing to gain.
        let alike = grouped(0);
        let (one, _) = run(&gpu, &alike, 1, "method = \"fedavg\"").await;
        let (several, _) = run(&gpu, &alike, 1, "method = \"fesem\"\ncentres = 3\nwarm-up = 2").await;
        println!("alike: {several:.3} against {one:.3}");
        assert!(several < one + GAIN / 5.0, "{several} against {one}");
    });
}

#[test]
fn ifca_gains_where_labels_are_permuted() {
    pollster::block_on(async {
        let (gpu, dataset) = (open().await, grouped(3));
        let (one, _) = run(&gpu, &dataset, 2, "method = \"fedavg\"").await;
        let (several, own) = run(&gpu, &dataset, 2, "method = \"ifca\"\ncentres = 3").await;
        assert!(several > one + GAIN, "{several} against {one}");
        assert_eq!(adjusted_rand_index(&own.expect("centres")), 1.0);
    });
}
