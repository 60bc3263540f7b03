//! What a training keeps between rounds, the server's optimisers and SCAFFOLD's control variates, in whole rounds: against PyTorch in
//! float64, and that waves and a resume change no bit.

use crate::fixture::{Closeness, Fixture, SCALE, initial_parameters};
use kernels_tests::server_step as twin;
use splitmix_fl::data::{Dataset, embedded_domains};
use splitmix_fl::engine::{
    Adaptive, ClientWork, ControlVariates, ImageStore, Limit, LocalTraining, Optimizer, OptimizerState, Rows, Rule, ServerOptimizer,
    Staging, TrainOptions, Trainer, TrainingState,
};
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::net::digits;
use splitmix_fl::run::{Checkpoint, Federation, TrainConfig};
use std::collections::BTreeMap;
use std::path::Path;

/// `golden/generate_rounds.py`: the images of each client's steps, its share of all images, and who takes part in each round.
const BATCHES: [&[&[u32]]; 3] = [
    &[&[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4], &[5, 4, 3, 2, 1], &[3, 4, 5, 0, 1, 2]],
    &[&[2, 3, 4, 5, 0], &[1, 2, 3, 4, 5, 0], &[3, 4, 5, 0, 1], &[5, 0, 1, 2, 4]],
    &[&[1, 2, 3, 4, 5], &[4, 5, 0, 2, 3]],
];
const SHARES: [f32; 3] = [0.5, 0.375, 0.125];
const ROUNDS: [&[usize]; 3] = [&[0, 1, 2], &[0, 2], &[1, 2]];
const STRIDE: usize = 97;

async fn open() -> (Gpu, Dataset) {
    let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
    let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"));
    (gpu, embedded_domains(&["mnist".into()]).expect("the embedded data"))
}

fn config(options: &str) -> TrainConfig {
    let mut text = "method = \"fedavg\"\nwidth = \"1/16\"\nseed = 3\nbn-mode = \"tracked\"\n".to_string() + options;
    for (key, value) in [("clients-per-domain", 3), ("train-per-domain", 60)].into_iter().filter(|(key, _)| !options.contains(key)) {
        text += &format!("\n{key} = {value}");
    }
    TrainConfig::from_toml(&text, Path::new("options")).expect("options")
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
            ("momentum", twin::Rule::Momentum, 1.0),
            ("adagrad", twin::Rule::Adagrad, 0.1),
            ("adam", twin::Rule::Adam, 0.1),
            ("yogi", twin::Rule::Yogi, 0.1),
        ];
        for (name, rule, learning_rate) in rules {
            let moved = trained(&gpu, &dataset, &format!("rounds = 1\nserver-optimizer = \"{name}\""), None, 1).await;
            let settings = twin::ServerStep { rule, learning_rate, first: 0.9, second: 0.99, tau: 1e-3 };
            for (tensor, values) in &start.tensors {
                let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
                let (mut theta, average) = (wide(&values.data), wide(&average.tensors[tensor].data));
                let got = &moved.tensors[tensor].data;
                if tensor.contains("running") {
                    assert_eq!(*got, average.iter().map(|v| *v as f32).collect::<Vec<_>>(), "{name}: statistics are averaged");
                    continue;
                }
                let (mut mean, mut square) = (vec![0.0; theta.len()], vec![1e-6; theta.len()]);
                twin::server_step(&settings, &mut theta, &mut mean, &mut square, &average);
                for (got, want) in got.iter().zip(&theta) {
                    assert!((f64::from(*got) - want).abs() < 1e-5 * (1.0 + want.abs()), "{name}, {tensor}: {got} for {want}");
                }
                for (got, want) in moved.tensors[&format!("server.mean.{tensor}")].data.iter().zip(&mean) {
                    assert!((f64::from(*got) - want).abs() < 1e-6, "{name}, mean of {tensor}: {got} for {want}");
                }
                assert_eq!(moved.tensors.contains_key(&format!("server.square.{tensor}")), rule != twin::Rule::Momentum);
            }
        }
    });
}

#[test]
fn a_resumed_run_goes_on_with_what_the_training_keeps() {
    pollster::block_on(async {
        let (gpu, dataset) = open().await;
        let scaffold = "scaffold = true\nmomentum = 0\nclients-per-round = 2\nlocal-bn = true";
        for name in ["server-optimizer = \"momentum\"", "server-optimizer = \"yogi\"", scaffold] {
            let options = format!("rounds = 3\n{name}");
            let whole = trained(&gpu, &dataset, &options, None, 3).await;
            let half = trained(&gpu, &dataset, &options, None, 1).await;
            let file = half.to_bytes().expect("written");
            let half = Checkpoint::from_bytes(&file, "half").expect("read");
            assert_eq!(trained(&gpu, &dataset, &options, Some(half.clone()), 3).await.tensors, whole.tensors, "{name}");
            // A model to use needs none of it.
            assert!(half.without_state().tensors.keys().all(|tensor| !tensor.starts_with("server.") && !tensor.starts_with("control.")));
        }
    });
}

/// Three rounds, each in waves of so many lanes: the base, then the control variates of the server and of each client.
async fn rounds(gpu: &Gpu, optimizer: Option<ServerOptimizer>, scaffold: bool, lanes: Option<u32>) -> Vec<BTreeMap<String, Vec<f32>>> {
    let network = digits(1, 8, 10).expect("the fixture's network");
    let server = Rows::of_bases(gpu, &network, 1).expect("a base");
    let initial = initial_parameters().into_iter().map(|(name, values)| (name, values.iter().map(|v| *v as f32).collect()));
    server.upload(gpu, &network, 0, &initial.collect());
    let forward = Fixture::open("digits_forward", Closeness { relative: 0.0, floor: 0.0 });
    let bytes = |name: &str| forward.get(name).iter().map(|v| *v as u8).collect::<Vec<_>>();
    let images = ImageStore::new(gpu, network.input, &[(&bytes("images"), &bytes("labels"))]).expect("six images");
    let optimizer = optimizer.map(|optimizer| OptimizerState::new(gpu, &server, optimizer));
    let control = scaffold.then(|| ControlVariates::new(gpu, &network, &server, None, SHARES.to_vec()).expect("they fit"));
    let training = LocalTraining {
        batch: 6,
        steps: 4,
        scale: SCALE as f32,
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        weight_decay: 5e-4,
        ..LocalTraining::default()
    };
    let state = TrainingState { optimizer, control: control.clone() };
    let limit = Limit { lanes, ..Limit::default() };
    let options = TrainOptions { state, limit, guarded: true, ..TrainOptions::new(training, 3) };
    let mut trainer = Trainer::new(gpu, &network, &server, &images, options).await.expect("it fits");
    let staging = Staging::new(gpu, Trainer::staging_bytes(3));
    for participants in ROUNDS {
        let all: f32 = participants.iter().map(|client| SHARES[*client]).sum();
        let of_client = |client: &usize| ClientWork {
            client: *client as u32,
            batches: BATCHES[*client].iter().map(|batch| batch.to_vec()).collect(),
            bases: vec![(0, SHARES[*client] / all)],
        };
        let work: Vec<ClientWork> = participants.iter().map(of_client).collect();
        trainer.round(gpu, &server, &work, 0.003, &staging, 0).expect("submitted");
    }
    trainer.program().check_guards(gpu).await.expect("no stray write");
    let mut found = server.download(gpu, &network).await.expect("read back");
    if let Some(control) = control {
        found.extend(control.server.download(gpu, &network).await.expect("read back"));
        let values = control.clients.rows.read(gpu).await.expect("read back");
        for client in 0..SHARES.len() as u32 {
            let row = control.clients.full_row(&values, client, network.parameter_blocks);
            found.push(network.tensors.iter().map(|t| (t.name.clone(), network.unpack(t, &row))).collect());
        }
    }
    found
}

#[test]
fn rounds_are_those_of_pytorch() {
    pollster::block_on(async {
        let (gpu, _) = open().await;
        // Where rounding takes the other branch of a ReLU or pool, a gradient differs: by up to 2e-3 here, of 0.5. The parameters follow at the
        // learning rate.
        let parameters = Fixture::open("digits_rounds", Closeness { relative: 1e-3, floor: 1e-3 });
        let control = Fixture::open("digits_rounds", Closeness { relative: 1e-3, floor: 3e-3 });
        let compare = |prefix: &str, tensors: &BTreeMap<String, Vec<f32>>| {
            // Biases before a batch norm change nothing: their gradients are rounding.
            let counts = |name: &String| name.ends_with("weight") || name.starts_with("bn") || name.starts_with("fc3");
            let fixture = if prefix.starts_with("control") { &control } else { &parameters };
            for (name, values) in tensors.iter().filter(|(name, _)| counts(name)) {
                let sample: Vec<f64> = values.iter().step_by(STRIDE).map(|v| f64::from(*v)).collect();
                fixture.check(&format!("{prefix}/{name}[::{STRIDE}]"), &sample).unwrap_or_else(|error| panic!("{error}"));
            }
        };
        let adaptive = |rule, second| Some(Adaptive { rule, second, tau: 0.01 });
        let optimizers = [
            ("momentum", 0.5, None),
            ("adagrad", 0.01, adaptive(Rule::Adagrad, 0.0)),
            ("adam", 0.01, adaptive(Rule::Adam, 0.9)),
            ("yogi", 0.01, adaptive(Rule::Yogi, 0.9)),
        ];
        for (name, learning_rate, adaptive) in optimizers {
            compare(name, &rounds(&gpu, Some(ServerOptimizer { learning_rate, first: 0.75, adaptive }), false, None).await[0]);
        }
        compare("average", &rounds(&gpu, None, false, None).await[0]);
        let names = ["scaffold", "control", "control.0", "control.1", "control.2"];
        let whole = rounds(&gpu, None, true, None).await;
        names.iter().zip(&whole).for_each(|(name, tensors)| compare(name, tensors));
        for lanes in [1, 2] {
            assert_eq!(rounds(&gpu, None, true, Some(lanes)).await, whole, "waves of {lanes} lanes");
        }
    });
}

#[test]
fn a_client_alone_is_not_corrected() {
    pollster::block_on(async {
        // Of one client c is c_i: the correction is 0 but for rounding, and the round is FedAvg's.
        let (gpu, dataset) = open().await;
        let one = "rounds = 3\nmomentum = 0\nclients-per-domain = 1\ntrain-per-domain = 40\n";
        let plain = trained(&gpu, &dataset, one, None, 3).await;
        let corrected = trained(&gpu, &dataset, &format!("{one}scaffold = true"), None, 3).await;
        for (name, tensor) in &plain.tensors {
            let largest = tensor.data.iter().fold(0.1f32, |largest, v| largest.max(v.abs()));
            for (a, b) in tensor.data.iter().zip(&corrected.tensors[name].data) {
                assert!((a - b).abs() < 1e-4 * largest, "{name}: {a} and {b}");
            }
        }
        let own = &corrected.tensors["control.0.fc3.weight"].data;
        assert_eq!(*own, corrected.tensors["server.control.0.fc3.weight"].data);
        assert!(own.iter().any(|v| *v != 0.0));
    });
}
