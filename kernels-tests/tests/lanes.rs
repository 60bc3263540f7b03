//! What makes a round reproducible: a lane's bits depend neither on its neighbours nor on the waves nor on the run, the
//! averages are the plain ones, and nothing outside a lane's own buffers is read or written.

use crate::pseudo::{self, noise};
use splitmix_fl::engine::{
    Augment, Batch, ClientWork, Compared, Distances, Ensemble, EvaluateOptions, Evaluator, ImageStore, Limit, LocalTraining, Rows, Staging,
    Totals, TrainOptions, Trainer,
};
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::net::{Network, Scope, digits};
use std::collections::BTreeMap;

const BASES: u32 = 4;
const IMAGES: usize = 60;
const BATCH: u32 = 7;

type Base = BTreeMap<String, Vec<f32>>;

/// A small Digits base (5, 5 and 10 channels: none a multiple of four) on pseudo-random images.
struct Bench {
    gpu: Gpu,
    network: Network,
    images: ImageStore,
    initial: Vec<Base>,
}

impl Bench {
    async fn new(checked_shaders: bool) -> Bench {
        Bench::with(checked_shaders, digits(5, 64, 10).expect("a narrow base")).await
    }

    async fn with(checked_shaders: bool, network: Network) -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, checked_shaders, ..Default::default() }).await;
        let gpu = gpu.unwrap_or_else(|error| panic!("{error}"));
        let pixels: Vec<u8> = (0..IMAGES * network.input.len() as usize).map(|i| (noise(1, i) * 127.0 + 128.0) as u8).collect();
        let labels: Vec<u8> = (0..IMAGES).map(|i| (i * 7 % 10) as u8).collect();
        // Two sets of odd sizes, as domains are.
        let cut = 23;
        let (a, b) = pixels.split_at(cut * network.input.len() as usize);
        let images = ImageStore::new(&gpu, network.input, &[(a, &labels[..cut]), (b, &labels[cut..])]).expect("they fit");
        let initial = (0..BASES).map(|b| pseudo::base(&network, b)).collect();
        Bench { gpu, network, images, initial }
    }

    /// One round from the initial bases. Returns the server's bases and every client's counters.
    async fn round(&self, work: &[ClientWork], limit: Limit, guarded: bool) -> (Vec<Base>, Vec<Vec<Totals>>) {
        let (bases, totals, _) = self.round_with(work, limit, guarded, false).await;
        (bases, totals)
    }

    /// As [`Bench::round`], with memory shared between activations or not; also the number of lanes of a wave.
    async fn round_with(
        &self,
        work: &[ClientWork],
        limit: Limit,
        guarded: bool,
        keep_activations: bool,
    ) -> (Vec<Base>, Vec<Vec<Totals>>, u32) {
        let server = Rows::of_bases(&self.gpu, &self.network, self.initial.len() as u32).expect("the bases fit");
        for (b, base) in self.initial.iter().enumerate() {
            server.upload(&self.gpu, &self.network, b as u32, base);
        }
        let lanes = work.iter().map(|c| c.bases.len() as u32).sum();
        let options = TrainOptions { limit, guarded, keep_activations, ..options(lanes) };
        let mut trainer = Trainer::new(&self.gpu, &self.network, &server, &self.images, options).await.expect("it fits");
        let staging = Staging::new(&self.gpu, Trainer::staging_bytes(lanes));
        trainer.round(&self.gpu, &server, work, 0.02, &staging, 0).expect("submitted");
        let totals = Trainer::totals(work, &staging.read(&self.gpu).await.expect("read back"));
        if guarded {
            trainer.program().check_guards(&self.gpu).await.expect("no stray write");
        }
        (server.download(&self.gpu, &self.network).await.expect("read back"), totals, trainer.lanes_per_wave())
    }
}

/// The training of a given number of lanes.
fn options(lanes: u32) -> TrainOptions {
    let training = LocalTraining {
        batch: BATCH,
        steps: 4,
        scale: 64.0 / 5.0,
        augment: Some(Augment { padding: 2, flip: true, rotation: 20.0, seed: 5 }),
        proximal: 0.1,
        ..LocalTraining::default()
    };
    TrainOptions::new(training, lanes)
}

/// Clients with different numbers of bases, images and steps, and partial batches. Base 3 is nobody's.
fn ragged() -> Vec<ClientWork> {
    let batches = |sizes: &[usize], first: usize| {
        let mut next = first;
        let cut = |size: &usize| {
            next += size;
            (next - size..next).map(|i| (i % IMAGES) as u32).collect()
        };
        sizes.iter().map(cut).collect()
    };
    vec![
        ClientWork { client: 0, batches: batches(&[7, 3], 0), bases: vec![(0, 0.125)] },
        ClientWork { client: 0, batches: batches(&[7, 7, 7, 2], 11), bases: vec![(0, 0.5), (2, 0.75)] },
        ClientWork { client: 0, batches: batches(&[5], 40), bases: vec![(2, 0.25), (0, 0.375), (1, 0.5)] },
        ClientWork { client: 0, batches: batches(&[7, 7, 4], 21), bases: vec![(1, 0.5)] },
    ]
}

fn bits(bases: &[Base]) -> Vec<Vec<u32>> {
    bases.iter().map(|b| b.values().flatten().map(|v| v.to_bits()).collect()).collect()
}

#[test]
fn neither_waves_nor_guards_nor_another_run_change_a_bit() {
    pollster::block_on(async {
        let bench = Bench::new(false).await;
        let work = ragged();
        let (bases, totals) = bench.round(&work, Limit::default(), false).await;
        assert_ne!(bits(&bases)[0], bits(&bench.initial)[0], "base 0 was trained");
        assert_eq!(bits(&bases)[3], bits(&bench.initial)[3], "a base that nobody trained keeps its bits");
        for (client, counters) in work.iter().zip(&totals) {
            let images: usize = client.batches.iter().map(Vec::len).sum();
            assert!(counters.iter().all(|t| t.samples as usize == images && t.loss.is_finite() && t.loss > 0.0), "{counters:?}");
        }
        for (lanes, guarded) in [(None, false), (None, true), (Some(1), false), (Some(2), true), (Some(3), false), (Some(5), false)] {
            let (again, counters) = bench.round(&work, Limit { lanes, memory: None, ..Limit::default() }, guarded).await;
            assert_eq!(bits(&again), bits(&bases), "waves of {lanes:?} lanes, guarded: {guarded}");
            assert_eq!(counters, totals, "waves of {lanes:?} lanes, guarded: {guarded}");
        }
    });
}

#[test]
fn lanes_that_wait_are_averaged_to_the_same_bits_and_their_distances_are_those_of_their_parameters() {
    pollster::block_on(async {
        let bench = Bench::new(false).await;
        // Every lane alone gives its parameters.
        let work = ragged();
        let mut own = Vec::new();
        for client in &work {
            for (base, _) in &client.bases {
                let alone = ClientWork { bases: vec![(*base, 1.0)], ..client.clone() };
                let (mut bases, _) = bench.round(&[alone], Limit::default(), false).await;
                own.push(bases.swap_remove(*base as usize));
            }
        }
        let last = bench.network.tensors.iter().rfind(|t| t.name.ends_with("weight") && t.shape.len() == 2).expect("a classifier");
        let distance = |a: &Base, b: &Base, scope| {
            let of = |(name, a): (&String, &Vec<f32>)| -> f64 {
                let values = a.iter().zip(&b[name]).filter(|_| scope == Scope::All || *name == last.name);
                values.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            a.iter().map(of).sum::<f64>()
        };
        let near = |got: &[Vec<f64>], others: &[Base], scope| {
            for (row, a) in got.iter().zip(&own) {
                assert_eq!(row.len(), others.len());
                for (got, b) in row.iter().zip(others) {
                    let wanted = distance(a, b, scope);
                    assert!((got - wanted).abs() <= 1e-5 * wanted, "{got} for {wanted}, {scope:?}");
                }
            }
        };
        let (bases, totals) = bench.round(&work, Limit::default(), false).await;
        // The same lanes, averaged into other bases than they were taken from.
        let elsewhere: Vec<ClientWork> = work
            .iter()
            .map(|client| ClientWork {
                bases: client.bases.iter().map(|(base, share)| ((base + 2) % 4, *share)).collect(),
                ..client.clone()
            })
            .collect();
        for (lanes, scope) in [(None, Scope::All), (Some(2), Scope::All), (Some(3), Scope::LastLayer)] {
            let limit = Limit { lanes, ..Limit::default() };
            let server = Rows::of_bases(&bench.gpu, &bench.network, BASES).expect("the bases fit");
            let begin = || (0..BASES).for_each(|b| server.upload(&bench.gpu, &bench.network, b, &bench.initial[b as usize]));
            let options = TrainOptions { limit, guarded: true, distances: Some(Distances { scope, lanes: true }), ..options(7) };
            let mut trainer = Trainer::new(&bench.gpu, &bench.network, &server, &bench.images, options).await.expect("it fits");
            let staging = Staging::new(&bench.gpu, Trainer::staging_bytes(7));
            begin();
            trainer.train_only(&bench.gpu, &work, 0.02, &staging, 0).expect("submitted");
            assert_eq!(Trainer::totals(&work, &staging.read(&bench.gpu).await.expect("read back")), totals);
            let from_bases = trainer.distances(&bench.gpu, &work, Compared::WithBases).await.expect("read back");
            near(&from_bases, &bench.initial, scope);
            let from_lanes = trainer.distances(&bench.gpu, &work, Compared::WithLanes).await.expect("read back");
            near(&from_lanes, &own, scope);
            trainer.average(&bench.gpu, &server, &work).expect("submitted");
            let got = server.download(&bench.gpu, &bench.network).await.expect("read back");
            assert_eq!(bits(&got), bits(&bases), "waves of {lanes:?} lanes");
            begin();
            trainer.train_only(&bench.gpu, &work, 0.02, &staging, 0).expect("submitted");
            trainer.average(&bench.gpu, &server, &elsewhere).expect("submitted");
            let got = bits(&server.download(&bench.gpu, &bench.network).await.expect("read back"));
            let wanted: Vec<_> = (0..4).map(|b| bits(&bases)[(b + 2) % 4].clone()).collect();
            assert_eq!((&got[0], &got[2], &got[3]), (&wanted[0], &wanted[2], &wanted[3]), "waves of {lanes:?} lanes");
            assert_eq!(got[1], bits(&bench.initial)[1], "a base that no lane is averaged into keeps its bits");
            trainer.program().check_guards(&bench.gpu).await.expect("no stray write");
        }
    });
}

#[test]
fn a_lane_alone_is_the_same_lane_among_many_and_the_average_is_the_plain_one() {
    pollster::block_on(async {
        let bench = Bench::new(false).await;
        let work = ragged();
        let (together, totals) = bench.round(&work, Limit::default(), false).await;
        // Every lane alone, with weight one: the server then holds the lane's own parameters.
        let mut averages: Vec<Vec<f64>> = bench.initial.iter().map(|b| vec![0.0; b.values().map(Vec::len).sum()]).collect();
        for (c, client) in work.iter().enumerate() {
            for (i, (base, weight)) in client.bases.iter().enumerate() {
                let alone = vec![ClientWork { client: 0, batches: client.batches.clone(), bases: vec![(*base, 1.0)] }];
                let (bases, counters) = bench.round(&alone, Limit::default(), false).await;
                assert_eq!(counters[0][0], totals[c][i], "client {c}, base {base}: counters of the lane alone");
                let values = bases[*base as usize].values().flatten();
                averages[*base as usize].iter_mut().zip(values).for_each(|(sum, v)| *sum += f64::from(*weight) * f64::from(*v));
            }
        }
        for base in 0..3 {
            let got: Vec<f32> = together[base].values().flatten().copied().collect();
            for (i, (got, want)) in got.iter().zip(&averages[base]).enumerate() {
                let allowed = 1e-6 * (want.abs() + 1.0);
                assert!((f64::from(*got) - want).abs() <= allowed, "base {base}[{i}]: {got}, plain average {want}");
            }
        }
        // One lane with weight one among the others: its base is its parameters, bit for bit those of the lane alone.
        let mut pinned = work.clone();
        pinned.iter_mut().for_each(|c| c.bases.retain(|(b, _)| *b != 2));
        pinned[1].bases.push((2, 1.0));
        let (among, _) = bench.round(&pinned, Limit::default(), false).await;
        let alone = vec![ClientWork { client: 0, batches: work[1].batches.clone(), bases: vec![(2, 1.0)] }];
        let (alone, _) = bench.round(&alone, Limit::default(), false).await;
        assert_eq!(bits(&among)[2], bits(&alone)[2]);
    });
}

#[test]
fn shared_memory_changes_no_bit() {
    pollster::block_on(async {
        let bench = Bench::new(false).await;
        let (own, totals, _) = bench.round_with(&ragged(), Limit::default(), true, true).await;
        let (shared, counters, _) = bench.round_with(&ragged(), Limit::default(), true, false).await;
        assert_eq!(bits(&own), bits(&shared));
        assert_eq!(totals, counters);
    });
}

#[test]
fn a_thousand_clients_of_eight_bases_train_in_whatever_memory_there_is() {
    // The thousand takes minutes: `./test.sh --complete`.
    let complete = std::env::var_os("SPLITMIX_TESTS").is_some_and(|wanted| wanted == "complete");
    let (clients, memory) = if complete { (1000, 96 << 20) } else { (200, 20 << 20) };
    pollster::block_on(async {
        let mut bench = Bench::with(false, digits(1, 64, 10).expect("the narrowest base")).await;
        // As many bases as a client of full budget trains, from the initial values in turn.
        bench.initial = (0..8).map(|b| bench.initial[b % bench.initial.len()].clone()).collect();
        let work: Vec<ClientWork> = (0..clients)
            .map(|c| ClientWork {
                client: 0,
                batches: vec![(0..2 + c % 2).map(|i| ((c * 3 + i) % IMAGES) as u32).collect()],
                bases: (0..8).map(|b| (b, 0.001)).collect(),
            })
            .collect();
        let (roomy, totals, lanes) =
            bench.round_with(&work, Limit { memory: Some(1 << 30), lanes: None, ..Limit::default() }, false, false).await;
        assert_eq!(totals.iter().flatten().map(|t| t.samples).sum::<u32>(), (8 * clients * 5 / 2) as u32);
        let (tight, counters, few) =
            bench.round_with(&work, Limit { memory: Some(memory), lanes: None, ..Limit::default() }, false, false).await;
        assert!(few * 4 < lanes && lanes as usize <= 8 * clients, "{few} and {lanes} lanes a wave");
        assert_eq!(bits(&roomy), bits(&tight));
        assert_eq!(totals, counters);
    });
}

#[test]
fn bounds_checks_change_no_bit() {
    pollster::block_on(async {
        let work = ragged();
        let (trusted, _) = Bench::new(false).await.round(&work, Limit::default(), true).await;
        let (checked, _) = Bench::new(true).await.round(&work, Limit::default(), true).await;
        assert_eq!(bits(&trusted), bits(&checked));
    });
}

#[test]
fn evaluation_does_not_depend_on_waves_and_its_counters_are_those_of_its_logits() {
    pollster::block_on(async {
        let bench = Bench::new(false).await;
        let server = Rows::of_bases(&bench.gpu, &bench.network, BASES).expect("the bases fit");
        for (b, base) in bench.initial.iter().enumerate() {
            server.upload(&bench.gpu, &bench.network, b as u32, base);
        }
        let labels: Vec<u32> = (0..IMAGES).map(|i| (i * 7 % 10) as u32).collect();
        let batches: Vec<Vec<u32>> = vec![(0..9).collect(), (9..11).collect(), (20..29).collect(), (50..56).collect(), vec![3, 1, 2]];
        let jobs: Vec<Batch> = batches.iter().cloned().map(Batch::from).collect();
        let mut results = Vec::new();
        for (lanes, guarded) in [(None, true), (Some(1), false), (Some(9), false)] {
            let limit = Limit { lanes, memory: None, ..Limit::default() };
            let (ensemble, widths) = (Ensemble::default(), vec![1, 3, 4]);
            let options = EvaluateOptions { batch: 9, widths, ensemble, batches: batches.len() as u32, limit, guarded };
            let mut evaluator = Evaluator::new(&bench.gpu, &bench.network, &server, &bench.images, options).await.expect("it fits");
            let staging = Staging::new(&bench.gpu, evaluator.staging_bytes(batches.len()));
            evaluator.submit(&bench.gpu, &jobs, &staging, 0).expect("submitted");
            let totals = evaluator.totals(&staging.read(&bench.gpu).await.expect("read back"));
            let logits = evaluator.logits(&bench.gpu, &jobs).await.expect("read back");
            if guarded {
                evaluator.program().check_guards(&bench.gpu).await.expect("no stray write");
            }
            results.push((totals, logits));
        }
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);

        let (totals, logits) = &results[0];
        for (w, rows) in logits.iter().enumerate() {
            let mut rows = rows.iter();
            for (batch, totals) in batches.iter().zip(totals) {
                let (mut loss, mut correct) = (0.0f64, 0);
                for image in batch {
                    let row = rows.next().expect("a row an image");
                    let label = labels[*image as usize] as usize;
                    let sum: f64 = row.iter().map(|v| f64::from(*v).exp()).sum();
                    loss += sum.ln() - f64::from(row[label]);
                    let best = row.iter().enumerate().fold(0, |best, (c, v)| if *v > row[best] { c } else { best });
                    correct += u32::from(best == label);
                }
                assert_eq!((totals[w].correct, totals[w].samples as usize), (correct, batch.len()));
                assert!((f64::from(totals[w].loss) - loss).abs() < 1e-4 * loss, "{} against {loss}", totals[w].loss);
            }
        }
    });
}
