//! Attacks on the images of mixed bases: what they may do to an image, and that they go where the loss rises.

use crate::pseudo::{self, noise};
use kernels_tests::network::{Batch, Digits, Tensors};
use kernels_tests::shape::{Image, Logits};
use splitmix_fl::engine::{AttackOptions, Attacked, Attacker, Ensemble, ImageStore, Limit, Rows};
use splitmix_fl::fl::Attack;
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::net::{Network, digits};

const IMAGES: usize = 30;
const BATCH: usize = 7;
const BASES: u32 = 3;

/// Three narrow bases (5, 5 and 10 channels) on pseudo-random images, bright and dark ones among them.
struct Bench {
    gpu: Gpu,
    network: Network,
    server: Rows,
    store: ImageStore,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    bases: Vec<Tensors>,
}

impl Bench {
    async fn new() -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"));
        let network = digits(5, 64, 10).expect("a narrow base");
        let size = network.input.len() as usize;
        let pixels: Vec<u8> = (0..IMAGES * size).map(|i| (noise(1, i) * 200.0 + 128.0).clamp(0.0, 255.0) as u8).collect();
        let labels: Vec<u8> = (0..IMAGES).map(|i| (i * 7 % 10) as u8).collect();
        let store = ImageStore::new(&gpu, network.input, &[(&pixels, &labels)]).expect("they fit");
        let server = Rows::of_bases(&gpu, &network, BASES).expect("the bases fit");
        let mut bases = Vec::new();
        for b in 0..BASES {
            let base = pseudo::base(&network, b);
            server.upload(&gpu, &network, b, &base);
            bases.push(base.into_iter().map(|(name, values)| (name, values.into_iter().map(f64::from).collect())).collect());
        }
        Bench { gpu, network, server, store, pixels, labels, bases }
    }

    async fn attacker(&self, attack: &str, bases: u32, seed: u32, lanes: Option<u32>) -> Attacker {
        let options = AttackOptions {
            // A ball of radius 0, too.
            attack: Attack::recorded(attack).expect("an attack").into(),
            bases,
            ensemble: Ensemble::default(),
            batch: BATCH as u32,
            batches: 3,
            seed,
            limit: Limit { lanes, ..Limit::default() },
            guarded: true,
        };
        Attacker::new(&self.gpu, &self.network, &self.server, &self.store, options).await.expect("it fits")
    }

    async fn images(&self, attack: &str, bases: u32, seed: u32, lanes: Option<u32>) -> Vec<Vec<Vec<f32>>> {
        self.attacker(attack, bases, seed, lanes).await.images(&self.gpu, &jobs()).await.expect("attacked")
    }

    async fn attack(&self, attack: &str, lanes: Option<u32>) -> Vec<Attacked> {
        self.attacker(attack, BASES, 1, lanes).await.attack(&self.gpu, &jobs()).await.expect("attacked")
    }

    /// H·W·C values of an image, as the engine has them.
    fn clean(&self, image: u32) -> Vec<f32> {
        let size = self.network.input.len() as usize;
        self.pixels[image as usize * size..(image as usize + 1) * size].iter().map(|b| f32::from(*b) / 255.0).collect()
    }

    /// The clean images of a batch as the twins want them, N·C·H·W, and their labels.
    fn batch(&self, batch: &[u32]) -> (Vec<f64>, Vec<u32>) {
        let area = (self.network.input.height * self.network.input.width) as usize;
        let x = batch.iter().flat_map(|image| {
            let clean = self.clean(*image);
            (0..3 * area).map(move |i| f64::from(clean[i % area * 3 + i / area]))
        });
        (x.collect(), batch.iter().map(|i| u32::from(self.labels[*i as usize])).collect())
    }

    fn twin(&self, batch: usize) -> Digits {
        let channels = |name: &str| self.bases[0][&format!("{name}.bias")].len();
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

/// Two full batches and a partial one.
fn batches() -> Vec<Vec<u32>> {
    vec![(0..7).collect(), (7..14).rev().collect(), (20..23).collect()]
}

/// The same for the engine.
fn jobs() -> Vec<splitmix_fl::engine::Batch> {
    batches().into_iter().map(Into::into).collect()
}

fn flat<T: Clone>(nested: &[Vec<Vec<T>>]) -> Vec<T> {
    nested.iter().flatten().flatten().cloned().collect()
}

#[test]
fn attacked_images_stay_in_the_ball_and_are_images() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        for (name, epsilon) in [("pgd-3-eps16", 16.0f32), ("pgd-2-eps200", 200.0), ("fgsm", 8.0), ("pgd-0", 8.0)] {
            let epsilon = epsilon / 255.0;
            let attacked = bench.images(name, BASES, 1, None).await;
            let (mut moved, mut count) = (0, 0);
            for (batch, images) in batches().iter().zip(&attacked) {
                assert_eq!(batch.len(), images.len());
                for (image, attacked) in batch.iter().zip(images) {
                    for (x, clean) in attacked.iter().zip(bench.clean(*image)) {
                        assert!((clean - epsilon).max(0.0) <= *x && *x <= (clean + epsilon).min(1.0), "{name}: {clean} became {x}");
                        moved += usize::from(*x != clean);
                        count += 1;
                    }
                }
            }
            assert!(moved > count / 2, "{name}: {moved} of {count} moved");
        }
        for name in ["pgd-7-eps0", "fgsm-eps0"] {
            let clean: Vec<f32> = batches().iter().flatten().flat_map(|i| bench.clean(*i)).collect();
            assert_eq!(flat(&bench.images(name, BASES, 1, None).await), clean, "{name}");
        }
    });
}

#[test]
fn the_start_is_the_seeds_and_nothing_depends_on_the_waves() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let at_once = flat(&bench.images("pgd-3", BASES, 5, None).await);
        // Three lanes a wave: a batch a wave.
        assert_eq!(at_once, flat(&bench.images("pgd-3", BASES, 5, Some(BASES)).await), "waves");
        assert_ne!(at_once, flat(&bench.images("pgd-3", BASES, 6, None).await), "seed");
        assert_eq!(bench.attack("pgd-3-restarts2", None).await, bench.attack("pgd-3-restarts2", Some(BASES)).await, "counters");
        let mut attacker = bench.attacker("pgd-3", BASES, 5, None).await;
        attacker.set_round(1);
        assert_ne!(at_once, flat(&attacker.images(&bench.gpu, &jobs()).await.expect("attacked")), "round");
        attacker.set_round(0);
        assert_eq!(at_once, flat(&attacker.images(&bench.gpu, &jobs()).await.expect("attacked")), "again");
    });
}

#[test]
fn the_loss_rises_with_every_stronger_attack() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let mut before = 0.0;
        for name in ["fgsm-eps0", "fgsm-eps1", "pgd-2-eps4", "pgd-8-eps8", "pgd-20-eps16"] {
            let attacked = bench.attack(name, None).await;
            assert_eq!(attacked.iter().map(|a| a.totals.samples).sum::<u32>(), 17);
            assert!(attacked.iter().all(|a| a.without_gradient == 0), "{attacked:?}");
            let loss = loss(&attacked);
            assert!(loss > before, "{name}: {loss} after {before}");
            before = loss;
        }
    });
}

fn loss(attacked: &[Attacked]) -> f64 {
    attacked.iter().map(|a| f64::from(a.totals.loss)).sum()
}

fn correct(attacked: &[Attacked]) -> u32 {
    attacked.iter().map(|a| a.totals.correct).sum()
}

#[test]
fn restarts_keep_each_images_worst() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let mut attacker = bench.attacker("pgd-2", BASES, 1, None).await;
        let start = attacker.start(&bench.gpu, &jobs()).await.expect("started");
        let mut tries = Vec::new();
        for round in 0..4 {
            attacker.set_round(round);
            tries.push(attacker.attack(&bench.gpu, &jobs()).await.expect("attacked"));
        }
        assert!(tries.iter().all(|t| loss(t) > loss(&start)));
        let worst = bench.attack("pgd-2-restarts4", None).await;
        let most = tries.iter().map(|t| loss(t)).fold(0.0, f64::max);
        let least = tries.iter().map(|t| correct(t)).min().expect("tries");
        assert!(loss(&worst) > most && correct(&worst) <= least, "{} of {most}, {} of {least}", loss(&worst), correct(&worst));
        assert_eq!(bench.attack("pgd-2-restarts1", None).await, tries[0], "the first restart is round 0");
    });
}

#[test]
fn a_targeted_attack_lowers_the_loss_of_its_target() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        // Every other class in turn finds more than one of them.
        let all = bench.attack("pgd-8-eps16-restarts9-targeted", None).await;
        let one = bench.attack("pgd-8-eps16-targeted", None).await;
        assert!(loss(&all) > loss(&one) && correct(&all) <= correct(&one));
        assert!(loss(&one) > loss(&bench.attack("fgsm-eps0", None).await), "away from the label, too");
        // One step, by the twin: where to is the slope of the target's loss downwards.
        let images = bench.images("fgsm-eps2-targeted", 1, 1, None).await;
        let (x, labels) = bench.batch(&batches()[0]);
        let twin = bench.twin(7);
        let targets: Vec<u32> = labels.iter().map(|l| (l + 1) % 10).collect();
        let step = twin.gradients(&bench.bases[0], &Batch { x: &x, labels: &targets, valid: 7 }, 1.0, false);
        let (size, mut judged) = (x.len() / 7, 0);
        for (i, g) in step.gradients["x"].iter().enumerate() {
            let (n, i, area) = (i / size, i % size, size / 3);
            let clean = x[n * size + i];
            let largest = step.gradients["x"][n * size..(n + 1) * size].iter().fold(0.0f64, |m, g| m.max(g.abs()));
            if g.abs() > 1e-4 * largest && (2.0 / 255.0..253.0 / 255.0).contains(&clean) {
                let way = f64::from(images[0][n][i % area * 3 + i / area]) - clean;
                assert!((way + g.signum() * 2.0 / 255.0).abs() < 1e-6, "{g} of {largest}, moved by {way}");
                judged += 1;
            }
        }
        assert!(judged > x.len() / 3);
    });
}

#[test]
fn images_without_a_gradient_are_counted() {
    pollster::block_on(async {
        let mut bench = Bench::new().await;
        // A classifier of zeros passes no gradient on.
        for b in 0..BASES {
            let of = |(name, values): (&String, &Vec<f64>)| {
                let values = values.iter().map(|v| if name.starts_with("fc3") { 0.0 } else { *v as f32 });
                (name.clone(), values.collect())
            };
            bench.server.upload(&bench.gpu, &bench.network, b, &bench.bases[b as usize].iter().map(of).collect());
        }
        bench.bases.clear();
        let attacked = bench.attack("pgd-2", None).await;
        assert_eq!(attacked.iter().map(|a| a.without_gradient).collect::<Vec<_>>(), [7, 7, 3]);
    });
}

#[test]
fn a_step_follows_the_twins_gradient() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let attacked = bench.images("fgsm-eps2", 1, 1, None).await;
        for (batch, images) in batches().iter().zip(&attacked) {
            let (x, labels) = bench.batch(batch);
            let twin = bench.twin(batch.len());
            let step = twin.gradients(&bench.bases[0], &Batch { x: &x, labels: &labels, valid: batch.len() }, 1.0, false);
            let size = x.len() / batch.len();
            let (mut judged, area) = (0, size / 3);
            for (n, image) in images.iter().enumerate() {
                let gradient = &step.gradients["x"][n * size..(n + 1) * size];
                let largest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
                for (i, g) in gradient.iter().enumerate() {
                    let clean = x[n * size + i];
                    let way = f64::from(image[i % area * 3 + i / area]) - clean;
                    // Where the image can move at all, a gradient above rounding says where to.
                    if g.abs() > 1e-4 * largest && (2.0 / 255.0..253.0 / 255.0).contains(&clean) {
                        assert!((way - g.signum() * 2.0 / 255.0).abs() < 1e-6, "{g} of {largest}, moved by {way}");
                        judged += 1;
                    }
                }
            }
            assert!(judged > x.len() / 3, "{judged} of {}", x.len());
        }
    });
}

#[test]
fn a_step_against_a_mix_climbs_the_loss_of_the_mean_logits() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let attacked = bench.images("fgsm-eps2", BASES, 1, None).await;
        let (batch, images) = (&batches()[2], &attacked[2]);
        let (x, labels) = bench.batch(batch);
        let twin = bench.twin(batch.len());
        let shape = Logits { batch: batch.len(), valid: batch.len(), classes: 10 };
        let loss = |x: &[f64]| {
            let logits: Vec<f64> =
                bench.bases.iter().flat_map(|b| twin.evaluate(b, &Batch { x, labels: &labels, valid: batch.len() })).collect();
            kernels_tests::ensemble::ensemble_mean(&shape, &logits, &labels, &[bench.bases.len()])[0].loss.iter().sum::<f64>()
        };
        let size = x.len() / batch.len();
        let area = size / 3;
        let (mut agree, mut judged) = (0, 0);
        for pick in 0..60 {
            let at = (noise(9, pick).abs() * x.len() as f32) as usize;
            let moved = |by: f64| {
                let mut x = x.clone();
                x[at] += by;
                loss(&x)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let (n, i) = (at / size, at % size);
            let way = f64::from(images[n][i % area * 3 + i / area]) - x[at];
            if slope.abs() > 1e-4 && (2.0 / 255.0..253.0 / 255.0).contains(&x[at]) {
                judged += 1;
                agree += usize::from(way.signum() == slope.signum());
            }
        }
        assert!(judged > 20, "{judged} slopes to judge by");
        assert_eq!(agree, judged, "steps that climb");
    });
}
