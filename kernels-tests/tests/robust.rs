//! Dual, local and re-estimated batch norms, and adversarial training: properties of whole rounds, bit for bit where one lane's
//! work is another's.

use crate::pseudo::{self, noise};
use kernels_tests::network::{self, Digits, Tensors};
use kernels_tests::shape::Image;
use splitmix_fl::engine::{
    Adversarial, AttackOptions, Attacker, Batch, ClientRows, ClientWork, Ensemble, EstimateOptions, EvaluateOptions, Evaluator, ImageStore,
    Limit, LocalTraining, Rows, Staging, Totals, TrainOptions, Trainer, estimate_statistics,
};
use splitmix_fl::fl::Attack;
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::net::{Branch, Layer, Network, NormRow, Norms, Shape, TensorSpec, digits};
use std::collections::BTreeMap;

const BASES: u32 = 3;
const CLIENTS: u32 = 3;
const IMAGES: usize = 40;
const BATCH: u32 = 6;

type Base = BTreeMap<String, Vec<f32>>;

/// Narrow bases (5, 5 and 10 channels: none a multiple of four) on pseudo-random images.
struct Bench {
    gpu: Gpu,
    network: Network,
    images: ImageStore,
    pixels: Vec<u8>,
    initial: Vec<Base>,
}

impl Bench {
    async fn new(dual: bool, tracked: bool) -> Bench {
        Bench::of(digits(5, 64, 10).expect("a narrow base").with_norms(Norms { dual, tracked })).await
    }

    async fn of(network: Network) -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"));
        let pixels: Vec<u8> = (0..IMAGES * network.input.len() as usize).map(|i| (noise(1, i) * 127.0 + 128.0) as u8).collect();
        let labels: Vec<u8> = (0..IMAGES).map(|i| (i * 7 % network.classes as usize) as u8).collect();
        let images = ImageStore::new(&gpu, network.input, &[(&pixels, &labels)]).expect("they fit");
        let initial = (0..BASES).map(|b| pseudo::base(&network, b)).collect();
        Bench { gpu, network, images, pixels, initial }
    }

    fn server(&self) -> Rows {
        let server = Rows::of_bases(&self.gpu, &self.network, BASES).expect("they fit");
        self.initial.iter().enumerate().for_each(|(b, base)| server.upload(&self.gpu, &self.network, b as u32, base));
        server
    }

    fn options(&self, lambda: f32, lanes: Option<u32>, guarded: bool) -> TrainOptions {
        let attack: Attack = "pgd-2-eps16".parse().expect("an attack");
        TrainOptions {
            limit: Limit { lanes, memory: None, ..Limit::default() },
            guarded,
            ..TrainOptions::new(
                LocalTraining {
                    batch: BATCH,
                    steps: 3,
                    adversarial: (lambda > 0.0).then(|| Adversarial::by(&attack, lambda, 5)),
                    ..LocalTraining::default()
                },
                9,
            )
        }
    }

    /// A round from the initial bases: the server's bases after it, and the counters on clean and on attacked images.
    async fn round(&self, work: &[ClientWork], options: TrainOptions) -> (Vec<Base>, [Vec<Vec<Totals>>; 2]) {
        let server = self.server();
        let guarded = options.guarded;
        let mut trainer = Trainer::new(&self.gpu, &self.network, &server, &self.images, options).await.expect("it fits");
        let staging = Staging::new(&self.gpu, Trainer::staging_bytes(9));
        trainer.set_round(2);
        trainer.round(&self.gpu, &server, work, 0.05, &staging, 0).expect("submitted");
        let bytes = staging.read(&self.gpu).await.expect("read back");
        if guarded {
            trainer.program().check_guards(&self.gpu).await.expect("no stray write");
        }
        let totals = [Trainer::totals(work, &bytes), Trainer::adversarial_totals(work, &bytes)];
        (server.download(&self.gpu, &self.network).await.expect("read back"), totals)
    }

    async fn logits(&self, server: &Rows, ensemble: Ensemble, batches: &[Batch]) -> Vec<Vec<f32>> {
        let options = EvaluateOptions { batch: BATCH, widths: vec![1], ensemble, batches: 4, limit: Limit::default(), guarded: true };
        let mut evaluator = Evaluator::new(&self.gpu, &self.network, server, &self.images, options).await.expect("it fits");
        let logits = evaluator.logits(&self.gpu, batches).await.expect("read back").remove(0);
        evaluator.program().check_guards(&self.gpu).await.expect("no stray write");
        logits
    }

    /// The twin of the network, for so many images.
    fn twin(&self, batch: usize) -> Digits {
        let channels = |name: &str| self.initial[0][&format!("{name}.bias")].len();
        Digits {
            batch,
            image: Image { channels: 3, height: 28, width: 28 },
            conv: [channels("conv1"), channels("conv2"), channels("conv3")],
            hidden: [channels("fc1"), channels("fc2")],
            classes: 10,
            eps: 1e-5,
        }
    }
}

/// Clients with different numbers of bases, steps and images.
fn ragged() -> Vec<ClientWork> {
    let batch = |first: u32, size: u32| (first..first + size).collect::<Vec<u32>>();
    vec![
        ClientWork { client: 2, batches: vec![batch(0, 6), batch(6, 4)], bases: vec![(0, 0.25)] },
        ClientWork { client: 0, batches: vec![batch(10, 6), batch(16, 6), batch(22, 2)], bases: vec![(1, 0.5), (0, 0.75)] },
        ClientWork { client: 1, batches: vec![batch(30, 5)], bases: vec![(2, 1.0), (1, 0.5)] },
    ]
}

fn bits(bases: &[Base]) -> Vec<Vec<u32>> {
    bases.iter().map(|b| b.values().flatten().map(|v| v.to_bits()).collect()).collect()
}

#[test]
fn adversarial_training_depends_on_neither_waves_nor_neighbours_nor_shared_memory() {
    pollster::block_on(async {
        for tracked in [false, true] {
            let bench = Bench::new(true, tracked).await;
            let work = ragged();
            let (bases, totals) = bench.round(&work, bench.options(0.4, None, false)).await;
            assert!(totals.iter().flatten().flatten().all(|t| t.samples > 0 && t.loss.is_finite() && t.loss > 0.0), "{totals:?}");
            let loss = |t: &[Vec<Totals>]| t.iter().flatten().map(|t| t.loss).sum::<f32>();
            assert_ne!(loss(&totals[0]), loss(&totals[1]));
            for (lanes, guarded) in [(Some(1), false), (Some(2), true), (None, true)] {
                let again = bench.round(&work, bench.options(0.4, lanes, guarded)).await;
                assert_eq!((bits(&again.0), again.1), (bits(&bases), totals.clone()), "waves of {lanes:?} lanes");
            }
            let apart = TrainOptions { keep_activations: true, ..bench.options(0.4, None, true) };
            assert_eq!(bits(&bench.round(&work, apart).await.0), bits(&bases), "memory of its own");
            // Base 2 has one lane, of weight one: it is that lane, whoever trains beside it.
            let alone = vec![ClientWork { bases: vec![(2, 1.0)], ..work[2].clone() }];
            assert_eq!(bits(&bench.round(&alone, bench.options(0.4, None, false)).await.0)[2], bits(&bases)[2]);
        }
    });
}

#[test]
fn a_share_of_one_trains_single_batch_norms_on_attacked_images_alone() {
    pollster::block_on(async {
        let bench = Bench::new(false, true).await;
        let (bases, [clean, attacked]) = bench.round(&ragged(), bench.options(1.0, None, true)).await;
        assert!(clean.iter().flatten().all(|t| t.samples == 0) && attacked.iter().flatten().all(|t| t.samples > 0));
        // The largest gradient is spent where it is computed, to the same bits.
        let kept = TrainOptions { keep_activations: true, ..bench.options(1.0, None, true) };
        assert_eq!(bits(&bench.round(&ragged(), kept).await.0), bits(&bases));
        let error = Trainer::new(&bench.gpu, &bench.network, &bench.server(), &bench.images, bench.options(0.5, None, false)).await;
        assert!(error.err().expect("dual batch norms are missing").to_string().contains("dual batch norms"));
    });
}

#[test]
fn the_mixes_ends_are_the_two_batch_norms_to_the_bit() {
    pollster::block_on(async {
        let batches: Vec<Batch> = vec![(0..6).collect::<Vec<_>>().into(), (6..9).collect::<Vec<_>>().into()];
        for tracked in [false, true] {
            let bench = Bench::new(true, tracked).await;
            let single = Bench::new(false, tracked).await;
            for (lambda, infix) in [(0.0, ""), (1.0, ".adversarial")] {
                let ensemble = |lambda| Ensemble { running: tracked, lambda, ..Ensemble::default() };
                let dual = bench.logits(&bench.server(), ensemble(lambda), &batches).await;
                let server = Rows::of_bases(&single.gpu, &single.network, BASES).expect("they fit");
                for (b, base) in bench.initial.iter().enumerate() {
                    let of = |spec: &splitmix_fl::net::TensorSpec| {
                        let (layer, kind) = spec.name.split_once('.').expect("a layer's tensor");
                        let infix = if spec.kind.is_norm() { infix } else { "" };
                        (spec.name.clone(), base[&format!("{layer}{infix}.{kind}")].clone())
                    };
                    server.upload(&single.gpu, &single.network, b as u32, &single.network.tensors.iter().map(of).collect());
                }
                assert_eq!(dual, single.logits(&server, ensemble(0.0), &batches).await, "λ {lambda}, tracked {tracked}");
                assert_ne!(dual, bench.logits(&bench.server(), ensemble(0.5), &batches).await);
            }
        }
    });
}

#[test]
fn clients_keep_their_batch_norms_and_share_the_rest() {
    pollster::block_on(async {
        let bench = Bench::new(true, true).await;
        let row = bench.network.norm_row();
        let local = || {
            let local = ClientRows::of_norms(&bench.gpu, &bench.network, row, CLIENTS, BASES).expect("they fit");
            let values: Vec<f32> = (0..local.rows.values() * (CLIENTS * BASES) as usize).map(|i| 1.0 + 0.3 * noise(7, i)).collect();
            local.rows.write(&bench.gpu, 0, &values);
            (local, values)
        };
        let train = async |work: &[ClientWork], lanes| {
            let (local, before) = local();
            let options = TrainOptions { personal: Some(local.clone()), ..bench.options(0.5, lanes, true) };
            let (bases, _) = bench.round(work, options).await;
            (bases, before, local.rows.read(&bench.gpu).await.expect("read back"))
        };
        let work = ragged();
        let (bases, before, after) = train(&work, None).await;
        let norm = |bases: &[Base], of_norm: bool| {
            let is = |name: &str| bench.network.tensor(name).expect("named").kind.is_norm();
            bases.iter().flat_map(|b| b.iter().filter(|(n, _)| is(n) == of_norm).flat_map(|(_, v)| v)).copied().collect::<Vec<f32>>()
        };
        assert_eq!(norm(&bases, true), norm(&bench.initial, true), "the server's batch norms are nobody's");
        assert_ne!(norm(&bases, false), norm(&bench.initial, false));
        let of = |values: &[f32], place: usize| values.chunks_exact(row.len() as usize * 4).nth(place).expect("a row").to_vec();
        for client in 0..CLIENTS {
            for base in 0..BASES {
                let place = (client * BASES + base) as usize;
                let trained = work.iter().any(|w| w.client == client && w.bases.iter().any(|(b, _)| *b == base));
                assert_eq!(of(&before, place) != of(&after, place), trained, "client {client}, base {base}");
                if trained {
                    let own: Vec<ClientWork> = work.iter().filter(|w| w.client == client).cloned().collect();
                    assert_eq!(of(&train(&own, None).await.2, place), of(&after, place), "client {client} alone");
                }
            }
        }
        assert_eq!(train(&work, Some(1)).await.2, after, "waves of one lane");

        // Evaluated through its own: two clients differ on the same images, and neither waves nor order matter.
        let (local, _) = local();
        let ensemble = |running| Ensemble { running, lambda: 0.3, local: Some(local.clone()), ..Ensemble::default() };
        let images: Vec<u32> = (0..6).collect();
        let batches: Vec<Batch> = [0, 1, 0].into_iter().map(|client| Batch { client, images: images.clone() }).collect();
        for running in [false, true] {
            let logits = bench.logits(&bench.server(), ensemble(running), &batches).await;
            assert_eq!(logits[..6], logits[12..]);
            assert_ne!(logits[..6], logits[6..12]);
        }
    });
}

/// A client's model: the server's bases with the client's own tensors.
fn whole(bench: &Bench, bases: &[Base], local: &ClientRows, values: &[f32], client: u32) -> Rows {
    let server = Rows::of_bases(&bench.gpu, &bench.network, BASES).expect("they fit");
    for (b, base) in (0..).zip(bases) {
        let row = local.full_row(values, local.place(client, b), bench.network.parameter_blocks);
        let of = |spec: &TensorSpec| {
            let shared = base[&spec.name].clone();
            (spec.name.clone(), if local.keeps(spec) { bench.network.unpack(spec, &row) } else { shared })
        };
        server.upload(&bench.gpu, &bench.network, b, &bench.network.tensors.iter().map(of).collect());
    }
    server
}

/// Which tensors stay with the clients.
type Keeps = fn(&TensorSpec) -> bool;

#[test]
fn clients_keep_any_tensors_and_share_the_rest() {
    pollster::block_on(async {
        let bench = Bench::new(true, true).await;
        let (work, network) = (ragged(), &bench.network);
        let kinds: [(&str, Keeps); 4] = [
            ("the head", |t| t.name.starts_with("fc3.")),
            ("two parts and a layer's batch norm", |t| ["conv2.", "bn2.", "fc1.bias"].iter().any(|name| t.name.starts_with(name))),
            ("all batch norms", |t| t.kind.is_norm()),
            ("everything", |_| true),
        ];
        let batches = |client| -> Vec<Batch> { [0..6, 6..9].map(|images| Batch { client, images: images.collect() }).into() };
        for (what, keeps) in kinds {
            let train = async |work: &[ClientWork], lanes| {
                let local = ClientRows::new(&bench.gpu, network, keeps, CLIENTS, BASES).expect("they fit").expect("something is kept");
                local.begin(&bench.gpu, &bench.server());
                let training = LocalTraining { proximal: 0.1, ..bench.options(0.5, lanes, true).training };
                let options = TrainOptions { personal: Some(local.clone()), training, ..bench.options(0.5, lanes, true) };
                let bases = bench.round(work, options).await.0;
                let values = local.rows.read(&bench.gpu).await.expect("read back");
                (bases, local, values)
            };
            let (bases, local, values) = train(&work, None).await;
            for (base, initial) in bases.iter().zip(&bench.initial) {
                for spec in &network.tensors {
                    let same = base[&spec.name] == initial[&spec.name];
                    assert_eq!(same, keeps(spec), "{what}: the server's {}", spec.name);
                }
            }
            // What a client keeps is its own lane's, which others do not change.
            for w in &work {
                let (_, _, alone) = train(std::slice::from_ref(w), None).await;
                let own = |values: &[f32], base| local.full_row(values, local.place(w.client, base), network.parameter_blocks);
                for (base, _) in &w.bases {
                    assert_eq!(own(&alone, *base), own(&values, *base), "{what}: client {} alone", w.client);
                }
            }
            let again = train(&work, Some(2)).await;
            assert_eq!((bits(&again.0), again.2), (bits(&bases), values.clone()), "{what}: waves of two lanes");

            // Evaluation and attack see the client's whole model.
            let server = bench.server();
            (0..BASES).for_each(|b| server.upload(&bench.gpu, network, b, &bases[b as usize]));
            for (client, running) in [(0, false), (1, true)] {
                let own = Ensemble { running, lambda: 0.3, local: Some(local.clone()), ..Ensemble::default() };
                let plain = Ensemble { local: None, ..own.clone() };
                let model = whole(&bench, &bases, &local, &values, client);
                let expected = bench.logits(&model, plain.clone(), &batches(client)).await;
                assert_eq!(bench.logits(&server, own.clone(), &batches(client)).await, expected, "{what}: client {client}");
                let attacked = async |server: &Rows, ensemble: Ensemble| {
                    let options = AttackOptions {
                        attack: "pgd-2-eps16".parse::<Attack>().expect("an attack").into(),
                        bases: 2,
                        ensemble,
                        batch: BATCH,
                        batches: 2,
                        seed: 3,
                        limit: Limit::default(),
                        guarded: true,
                    };
                    let mut attacker = Attacker::new(&bench.gpu, network, server, &bench.images, options).await.expect("it fits");
                    attacker.images(&bench.gpu, &batches(client)).await.expect("attacked")
                };
                assert_eq!(attacked(&server, own).await, attacked(&model, plain).await, "{what}: attacks on client {client}");
            }
        }
    });
}

#[test]
fn estimated_statistics_are_the_mean_over_the_batches() {
    pollster::block_on(async {
        let bench = Bench::new(false, false).await;
        let row = NormRow { norms: Norms { dual: false, tracked: true }, ..bench.network.norm_row() };
        let work: Vec<Vec<Vec<u32>>> = vec![vec![vec![0, 1, 2, 3, 4], vec![5, 6, 7]], vec![], vec![vec![8, 9, 10, 11, 12, 13]]];
        let mut results = Vec::new();
        for lanes in [None, Some(3)] {
            let local = ClientRows::of_norms(&bench.gpu, &bench.network, row, CLIENTS, BASES).expect("they fit");
            // γ and β of the bases; statistics of nothing.
            let mut values = Vec::new();
            for _ in 0..CLIENTS {
                for base in &bench.initial {
                    let mut full = vec![0.0; bench.network.parameter_blocks as usize * 4];
                    bench.network.tensors.iter().for_each(|t| bench.network.pack(t, &base[&t.name], &mut full));
                    let mut own = full[bench.network.norm_start as usize * 4..].to_vec();
                    own.resize(local.rows.values(), 9.0);
                    values.extend(own);
                }
            }
            local.rows.write(&bench.gpu, 0, &values);
            let options = EstimateOptions { batch: BATCH, limit: Limit { lanes, memory: None, ..Limit::default() }, guarded: true };
            estimate_statistics(&bench.gpu, &bench.network, &bench.server(), &bench.images, &local, &work, &options).await.expect("done");
            results.push((values, local.rows.read(&bench.gpu).await.expect("read back")));
        }
        assert_eq!(results[0], results[1], "waves");
        let (before, after) = &results[0];
        let of = |values: &[f32], client: u32, base: u32| {
            values.chunks_exact(row.len() as usize * 4).nth((client * BASES + base) as usize).expect("a row").to_vec()
        };
        for base in 0..BASES {
            assert_eq!(of(before, 1, base), of(after, 1, base), "a client without images keeps what it has");
            let parameters: Tensors =
                bench.initial[base as usize].iter().map(|(n, v)| (n.clone(), v.iter().map(|v| f64::from(*v)).collect())).collect();
            for client in [0, 2] {
                let own = of(after, client, base);
                assert_eq!(own[..2 * row.blocks as usize * 4], of(before, client, base)[..2 * row.blocks as usize * 4], "γ and β");
                for (i, layer) in bench.network.layers.iter().enumerate().filter(|(_, l)| matches!(l, Layer::BatchNorm { .. })) {
                    let channels = bench.network.shapes[i].channels as usize;
                    let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
                    let batches = &work[client as usize];
                    for batch in batches {
                        let image = Image { channels: 3, height: 28, width: 28 };
                        let (x, labels) =
                            kernels_tests::gather_images::gather_images(&image, &bench.pixels, &[0; IMAGES], batch, batch.len());
                        let twin = bench.twin(batch.len());
                        let f = twin.forward(&parameters, &network::Batch { x: &x, labels: &labels, valid: batch.len() }, 1.0);
                        let s = &f.statistics[layer.name()];
                        let shape = bench.network.shapes[i];
                        let m = (batch.len() * (shape.height * shape.width) as usize) as f64;
                        for c in 0..channels {
                            mean[c] += s.mean[c] / batches.len() as f64;
                            variance[c] += s.variance[c] * m / (m - 1.0) / batches.len() as f64;
                        }
                    }
                    let at = (row.running(Branch::Clean) + bench.network.norm_offset(i)) as usize * 4;
                    let near = |got: f32, want: f64| (f64::from(got) - want).abs() < 1e-4 * (want.abs() + 0.1);
                    for c in 0..channels {
                        let (got_mean, got_variance) = (own[at + c], own[at + row.blocks as usize * 4 + c]);
                        assert!(near(got_mean, mean[c]), "{} mean {got_mean} for {}", layer.name(), mean[c]);
                        assert!(near(got_variance, variance[c]), "{} variance {got_variance} for {}", layer.name(), variance[c]);
                    }
                }
            }
        }
    });
}

#[test]
fn on_a_linear_model_an_attack_ends_where_it_must() {
    pollster::block_on(async {
        // Two classes: the gradient has the sign of the difference of their weights, or its opposite, wherever the image is.
        let conv = Layer::Conv2d { name: "conv".into(), out_channels: 3, kernel: 1, stride: 1, padding: 0, bias: false };
        let layers = vec![conv, Layer::Linear { name: "fc".into(), out_features: 2, zero_bias: false }];
        let network = Network::new("linear", Shape { channels: 3, height: 9, width: 7 }, layers).expect("a network");
        let bench = Bench::of(network).await;
        let server = bench.server();
        let (epsilon, steps, seed) = (16.0f64 / 255.0, 5, 11);
        let options = AttackOptions {
            attack: "pgd-5-eps16".parse::<Attack>().expect("an attack").into(),
            bases: 1,
            ensemble: Ensemble::default(),
            batch: 4,
            batches: 1,
            seed,
            limit: Limit::default(),
            guarded: true,
        };
        let mut attacker = Attacker::new(&bench.gpu, &bench.network, &server, &bench.images, options).await.expect("it fits");
        let indices: Vec<u32> = vec![3, 4, 9];
        let attacked = attacker.images(&bench.gpu, &[indices.clone().into()]).await.expect("attacked").remove(0);
        let size = bench.network.input.len() as usize;
        let area = size / 3;
        let (of_conv, of_classes) = (&bench.initial[0]["conv.weight"], &bench.initial[0]["fc.weight"]);
        let alpha = (1.25 * epsilon).min(epsilon + 4.0 / 255.0) / f64::from(steps);
        let key = kernels_tests::attack::NoiseKey { seed, round: 0, step: 0, base: kernels_tests::attack::ENSEMBLE };
        for (image, got) in indices.into_iter().zip(&attacked) {
            let label = image as usize * 7 % 2;
            for (i, got) in got.iter().enumerate() {
                let (p, c) = (i / 3, i % 3);
                let through = |class: usize, k: usize| f64::from(of_classes[class * size + k * area + p]) * f64::from(of_conv[k * 3 + c]);
                let of = |class: usize| (0..3).map(|k| through(class, k)).sum::<f64>();
                let way = (of(1 - label) - of(label)).signum();
                let clean = f64::from(bench.pixels[image as usize * size + i]) / 255.0;
                let start = kernels_tests::attack::start(clean, kernels_tests::attack::noise(key, image, p as u32)[c], epsilon);
                let end = kernels_tests::attack::clip(start + f64::from(steps) * alpha * way, clean, epsilon);
                assert!((f64::from(*got) - end).abs() < 1e-6, "image {image}, value {i}: {got} for {end}");
            }
        }
    });
}
