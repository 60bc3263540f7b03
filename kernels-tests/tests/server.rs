//! The server's optimisers in whole rounds: what they make of the averages, and that a resumed run goes on with what they keep.

use kernels_tests::server_step::{Rule, ServerStep, server_step};
use splitmix_fl::data::{Dataset, embedded_domains};
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::run::{Checkpoint, Federation, TrainConfig};
use std::path::Path;

async fn open() -> (Gpu, Dataset) {
    let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
    let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"));
    (gpu, embedded_domains(&["mnist".into()]).expect("the embedded data"))
}

fn config(options: &str) -> TrainConfig {
    let common = "method = \"fedavg\"\nwidth = \"1/16\"\nclients-per-domain = 3\ntrain-per-domain = 60\nseed = 3\nbn-mode = \"tracked\"\n";
    TrainConfig::from_toml(&format!("{common}{options}"), Path::new("options")).expect("options")
}

/// The checkpoint after so many rounds, from the start or from another one on.
async fn trained(gpu: &Gpu, dataset: &Dataset, options: &str, from: Option<Checkpoint>, rounds: usize) -> Checkpoint {
    let mut builder = Federation::builder(gpu.clone(), dataset).config(config(options));
    if let Some(checkpoint) = from {
        builder = builder.resume(checkpoint, "checkpoint");
    }
    let mut federation = builder.build().await.expect("it fits");
    while federation.run().rounds_done < rounds {
        federation.round().await.expect("a round");
    }
    federation.checkpoint().await.expect("read back")
}

#[test]
fn a_round_moves_by_the_change_of_the_average() {
    pollster::block_on(async {
        let (gpu, dataset) = open().await;
        let start = trained(&gpu, &dataset, "rounds = 1", None, 0).await;
        let average = trained(&gpu, &dataset, "rounds = 1", None, 1).await;
        let rules = [
            ("momentum", Rule::Momentum, 1.0),
            ("adagrad", Rule::Adagrad, 0.1),
            ("adam", Rule::Adam, 0.1),
            ("yogi", Rule::Yogi, 0.1),
        ];
        for (name, rule, learning_rate) in rules {
            let moved = trained(&gpu, &dataset, &format!("rounds = 1\nserver-optimizer = \"{name}\""), None, 1).await;
            let settings = ServerStep { rule, learning_rate, first: 0.9, second: 0.99, tau: 1e-3 };
            for (tensor, values) in &start.tensors {
                let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
                let (mut theta, average) = (wide(&values.data), wide(&average.tensors[tensor].data));
                let got = &moved.tensors[tensor].data;
                if tensor.contains("running") {
                    assert_eq!(*got, average.iter().map(|v| *v as f32).collect::<Vec<_>>(), "{name}: statistics are averaged");
                    continue;
                }
                let (mut mean, mut square) = (vec![0.0; theta.len()], vec![1e-6; theta.len()]);
                server_step(&settings, &mut theta, &mut mean, &mut square, &average);
                for (got, want) in got.iter().zip(&theta) {
                    assert!((f64::from(*got) - want).abs() < 1e-5 * (1.0 + want.abs()), "{name}, {tensor}: {got} for {want}");
                }
                for (got, want) in moved.tensors[&format!("server.mean.{tensor}")].data.iter().zip(&mean) {
                    assert!((f64::from(*got) - want).abs() < 1e-6, "{name}, mean of {tensor}: {got} for {want}");
                }
                assert_eq!(moved.tensors.contains_key(&format!("server.square.{tensor}")), rule != Rule::Momentum);
            }
        }
    });
}

#[test]
fn a_resumed_run_goes_on_with_what_the_optimiser_keeps() {
    pollster::block_on(async {
        let (gpu, dataset) = open().await;
        for name in ["momentum", "yogi"] {
            let options = format!("rounds = 3\nserver-optimizer = \"{name}\"");
            let whole = trained(&gpu, &dataset, &options, None, 3).await;
            let half = trained(&gpu, &dataset, &options, None, 1).await;
            let file = half.to_bytes().expect("written");
            let half = Checkpoint::from_bytes(&file, "half").expect("read");
            assert_eq!(trained(&gpu, &dataset, &options, Some(half.clone()), 3).await.tensors, whole.tensors, "{name}");
            // A model to use needs none of it.
            assert!(half.without_state().tensors.keys().all(|tensor| !tensor.starts_with("server.")));
        }
    });
}
