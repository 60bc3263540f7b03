//! Federations that are trained together: what one of them comes to does not reach the others.

use splitmix_fl::Error;
use splitmix_fl::fl::Ratio;
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::run::{Checkpoint, Federation, RunSpec, TrainConfig};

async fn open() -> Gpu {
    let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
    Gpu::open(&GpuOptions { adapter, ..GpuOptions::default() }).await.unwrap_or_else(|error| panic!("{error}"))
}

fn config(method: &str, seed: u64) -> TrainConfig {
    let config = TrainConfig {
        rounds: 3,
        clients_per_domain: 1,
        train_per_domain: Some(20),
        batch_size: 8,
        method: method.parse().expect("a method"),
        base_width: "1/64".parse::<Ratio>().expect("a width"),
        budgets: "64-32".parse().expect("budgets"),
        validate_every: 1,
        seed,
        ..TrainConfig::default()
    };
    config.validate().expect("valid")
}

/// A run whose bases are no numbers fails in its next round; those beside it come to the same bits as alone, in one readback a round.
#[test]
fn a_run_that_diverges_leaves_the_others_as_they_are() {
    pollster::block_on(async {
        let gpu = open().await;
        let mut dataset = splitmix_fl::data::embedded().expect("embedded");
        dataset.domains.truncate(2);
        for method in ["split-mix", "hetero-fl"] {
            let mut alone: Vec<Checkpoint> = Vec::new();
            for seed in [1, 3] {
                let mut federation =
                    Federation::builder(gpu.clone(), &dataset).config(config(method, seed)).build().await.expect("it fits");
                for _ in 0..3 {
                    federation.round().await.expect("a round");
                }
                alone.push(federation.checkpoint().await.expect("a checkpoint"));
            }
            let mut broken = Federation::builder(gpu.clone(), &dataset).config(config(method, 2)).build().await.expect("it fits");
            broken.round().await.expect("a round");
            let mut checkpoint = broken.checkpoint().await.expect("a checkpoint");
            checkpoint.tensors.values_mut().for_each(|t| t.data.fill(f32::NAN));
            let builder = Federation::builder(gpu.clone(), &dataset).resume(checkpoint.clone(), "broken");
            let mut failing = builder.build().await.expect("it fits");
            for words in ["diverged in round 2", "an earlier round failed"] {
                let error = failing.round().await.expect_err("no numbers").to_string();
                assert!(error.contains(words), "{error}");
            }
            let starts = vec![
                RunSpec { config: config(method, 1), checkpoint: None, init: None },
                RunSpec { config: config(method, 2), checkpoint: Some((checkpoint, "broken".into())), init: None },
                RunSpec { config: config(method, 3), checkpoint: None, init: None },
            ];
            let mut together = Federation::together(&gpu, &dataset, starts).await.expect("they fit");
            let mut among = vec![0, 1, 2];
            let mut told = Vec::new();
            loop {
                let before = gpu.counts();
                let outcomes = together.round_of(&among).await.expect("a device");
                if outcomes.is_empty() {
                    break;
                }
                assert_eq!((gpu.counts() - before).readbacks, 1);
                for (i, outcome) in outcomes {
                    told.push((i, outcome.as_ref().ok().map(|o| (o.metrics.round, o.together))));
                    if let Err(error) = outcome {
                        assert!(
                            matches!(&error, Error::Training(text) if text.contains("diverged in round 2")),
                            "{method}, run {i}: {error}; {told:?}"
                        );
                        among.retain(|a| *a != i);
                    }
                }
            }
            // The second, a round ahead, is caught up with and fails beside the others.
            let of = |round, together| Some((round, together));
            let want = [(0, of(0, 2)), (2, of(0, 2)), (0, of(1, 3)), (1, None), (2, of(1, 3)), (0, of(2, 2)), (2, of(2, 2))];
            assert_eq!(told, want, "{method}");
            for (run, alone) in [0, 2].map(|i| &together.runs()[i]).into_iter().zip(&alone) {
                let own = run.checkpoint().await.expect("a checkpoint");
                assert_eq!((&own.tensors, own.header.best), (&alone.tensors, alone.header.best), "{method}, seed {}", run.config.seed);
            }
            // Each can go its own way afterwards.
            let mut run = together.into_runs().swap_remove(0);
            run.config.rounds = 4;
            Federation::of(run).await.expect("it fits").round().await.expect("a round alone");
        }
    });
}

#[test]
fn runs_that_differ_in_more_are_refused() {
    pollster::block_on(async {
        let gpu = open().await;
        let mut dataset = splitmix_fl::data::embedded().expect("embedded");
        dataset.domains.truncate(2);
        let refused = async |other: TrainConfig| {
            let starts = [config("split-mix", 1), other].map(|config| RunSpec { config, checkpoint: None, init: None });
            Federation::together(&gpu, &dataset, starts.into()).await.err().expect("refused").to_string()
        };
        for other in [
            TrainConfig { lr: 0.1, ..config("split-mix", 2) },
            TrainConfig { lambda_train: 0.5, ..config("split-mix", 2) },
            config("hetero-fl", 2),
        ] {
            let text = refused(other).await;
            assert!(text.contains("cannot be trained together") && text.contains("seed"), "{text}");
        }
        let like = |change: &dyn Fn(&mut TrainConfig)| {
            let [mut a, mut b] = [1, 2].map(|seed| config("split-mix", seed));
            change(&mut a);
            change(&mut b);
            a.trains_together(&b).expect("written")
        };
        assert!(like(&|_| {}));
        assert!(like(&|c| c.clients_per_round = Some(c.seed as usize)));
        assert!(!like(&|c| c.local_bn = true));
        assert!(!like(&|c| c.flip = true));
        assert!(!like(&|c| c.lambda_train = 0.5));
        assert!(Federation::together(&gpu, &dataset, Vec::new()).await.is_err());
    });
}
