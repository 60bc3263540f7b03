//! HeteroFL and SHeteroFL on the engine, against plain training of each corner on its own and the plain average over holders.

use crate::pseudo::{self, noise};
use kernels_tests::corner::{average_over_holders, corner_places, take_corner};
use splitmix_fl::engine::{
    ClientWork, Corner, GroupSetting, GroupWork, ImageStore, LaneGroups, LocalTraining, Narrower, Optimizer, Rows, Staging, Totals,
    TrainOptions, Trainer,
};
use splitmix_fl::gpu::{Gpu, GpuOptions};
use splitmix_fl::net::{Architecture, Network, TensorKind, TensorSpec};
use std::collections::BTreeMap;

const BASES: u32 = 2;
const IMAGES: usize = 40;
const BATCH: u32 = 6;
const RATE: f32 = 0.05;

type Base = BTreeMap<String, Vec<f32>>;

/// Corners of the Digits network, the widest of 1/8.
struct Bench {
    gpu: Gpu,
    wide: Network,
    /// 1/16 and 1/10: 4 and 7 channels of 8, so one is no multiple of four.
    narrow: [Network; 2],
    images: ImageStore,
    initial: Vec<Base>,
}

/// Dimensions in which a tensor is cut.
fn dimensions(spec: &TensorSpec) -> Vec<usize> {
    match spec.kind {
        TensorKind::LinearWeight { from } => vec![spec.shape[0], from.channels as usize, (from.height * from.width) as usize],
        _ => spec.shape.clone(),
    }
}

fn cut(wide: &Network, narrow: &Network, base: &Base) -> Base {
    let pairs = wide.tensors.iter().zip(&narrow.tensors);
    pairs
        .map(|(w, n)| {
            let values: Vec<f64> = base[&w.name].iter().map(|v| f64::from(*v)).collect();
            let own = take_corner(&dimensions(w), &dimensions(n), &values);
            (w.name.clone(), own.into_iter().map(|v| v as f32).collect())
        })
        .collect()
}

impl Bench {
    async fn new() -> Bench {
        let adapter = std::env::var("SPLITMIX_ADAPTER").ok();
        let gpu = Gpu::open(&GpuOptions { adapter, ..Default::default() }).await.unwrap_or_else(|error| panic!("{error}"));
        let digits = Architecture::built_in("digits").expect("built in");
        let wide = digits.corner(1, 8, 10).expect("a width");
        let narrow = [16, 10].map(|d| digits.corner(1, d, 10).expect("a width"));
        let pixels: Vec<u8> = (0..IMAGES * wide.input.len() as usize).map(|i| (noise(1, i) * 127.0 + 128.0) as u8).collect();
        let labels: Vec<u8> = (0..IMAGES).map(|i| (i * 7 % 10) as u8).collect();
        let images = ImageStore::new(&gpu, wide.input, &[(&pixels, &labels)]).expect("they fit");
        let initial = (0..BASES).map(|b| pseudo::base(&wide, b)).collect();
        Bench { gpu, wide, narrow, images, initial }
    }

    fn options(&self, scale: f32, narrower: Vec<Narrower>) -> TrainOptions {
        TrainOptions::new(LocalTraining { batch: BATCH, steps: 3, scale, narrower, ..LocalTraining::default() }, 6)
    }

    fn server(&self, network: &Network, bases: &[Base]) -> Rows {
        let server = Rows::of_bases(&self.gpu, network, BASES).expect("they fit");
        bases.iter().enumerate().for_each(|(b, base)| server.upload(&self.gpu, network, b as u32, base));
        server
    }

    /// The corners of the initial bases after a client has trained them on its own.
    async fn alone(&self, network: &Network, client: &ClientWork, options: TrainOptions) -> Vec<Base> {
        let corners: Vec<Base> = self.initial.iter().map(|base| cut(&self.wide, network, base)).collect();
        let server = self.server(network, &corners);
        let client = ClientWork { bases: client.bases.iter().map(|(b, _)| (*b, 1.0)).collect(), ..client.clone() };
        let mut trainer = Trainer::new(&self.gpu, network, &server, &self.images, options).await.expect("it fits");
        let staging = Staging::new(&self.gpu, Trainer::staging_bytes(6));
        trainer.round(&self.gpu, &server, &[client], RATE, &staging, 0).expect("submitted");
        staging.read(&self.gpu).await.expect("read back");
        server.download(&self.gpu, network).await.expect("read back")
    }

    /// A round of groups: the server's bases and every client's counters.
    async fn grouped(&self, groups: Vec<GroupSetting>, work: &[GroupWork]) -> (Vec<Base>, Vec<Vec<Totals>>) {
        let server = self.server(&self.wide, &self.initial);
        let mut lanes = LaneGroups::new(&self.gpu, &self.wide, &server, &self.images, groups).await.expect("they fit");
        let staging = Staging::new(&self.gpu, LaneGroups::staging_bytes(20));
        lanes.round(&self.gpu, &server, work, RATE, &staging, 0).expect("submitted");
        let [totals, attacked] = LaneGroups::totals(work, &staging.read(&self.gpu).await.expect("read back"));
        assert!(attacked.iter().flatten().all(|t| t.samples == 0));
        (server.download(&self.gpu, &self.wide).await.expect("read back"), totals)
    }
}

fn batches(sizes: &[usize], first: usize) -> Vec<Vec<u32>> {
    let mut next = first;
    let mut batch = |size: &usize| {
        next += size;
        (next - size..next).map(|i| (i % IMAGES) as u32).collect()
    };
    sizes.iter().map(&mut batch).collect()
}

fn client(batches: Vec<Vec<u32>>, bases: &[(u32, f32)]) -> ClientWork {
    ClientWork { client: 0, batches, bases: bases.to_vec() }
}

fn close(got: &[f32], want: &[f64], what: &str) {
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*g) - w).abs() <= 2e-5 * (1.0 + w.abs()), "{what}[{i}]: {g}, not {w}");
    }
}

/// A round of HeteroFL: lanes of two widths, neither the server's, on two bases.
#[test]
fn a_round_is_the_average_over_those_who_hold_each_value() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let scales = [16.0, 10.0];
        // Base 0 has both clients of the first group and the second's; base 1 the second group's only.
        let work = [
            GroupWork {
                clients: vec![client(batches(&[6, 4], 0), &[(0, 0.25)]), client(batches(&[6, 6, 5], 11), &[(0, 0.75)])],
                weights: vec![0.4, 0.0],
            },
            GroupWork { clients: vec![client(batches(&[5], 20), &[(0, 1.0), (1, 1.0)])], weights: vec![0.6, 0.6] },
        ];
        let settings = (0..2).map(|g| GroupSetting { corner: Some(bench.narrow[g].clone()), options: bench.options(scales[g], vec![]) });
        let (bases, totals) = bench.grouped(settings.collect(), &work).await;
        assert_eq!(totals.iter().map(|t| t.len()).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(totals.iter().map(|t| t[0].samples).collect::<Vec<_>>(), [10, 17, 5]);

        // Each client on its own, with its weight w_k: of base 0, then of base 1.
        let mut held: Vec<(usize, [f64; 2], Vec<Base>)> = Vec::new();
        for (g, group) in work.iter().enumerate() {
            for c in &group.clients {
                let trained = bench.alone(&bench.narrow[g], c, bench.options(scales[g], vec![])).await;
                let weight = |b: u32| {
                    let share = c.bases.iter().find(|(own, _)| *own == b).map_or(0.0, |(_, share)| *share);
                    f64::from(share * group.weights[b as usize])
                };
                held.push((g, [weight(0), weight(1)], trained));
            }
        }
        let mut kept = 0;
        for b in 0..BASES as usize {
            for (t, spec) in bench.wide.tensors.iter().enumerate() {
                let name = &spec.name;
                let f64s = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
                let own: Vec<_> = held
                    .iter()
                    .filter(|(_, weight, _)| weight[b] > 0.0)
                    .map(|(g, weight, trained)| (dimensions(&bench.narrow[*g].tensors[t]), weight[b], f64s(&trained[b][name])))
                    .collect();
                let of_clients: Vec<_> = own.iter().map(|(shape, weight, values)| (shape.as_slice(), *weight, values.as_slice())).collect();
                let before = f64s(&bench.initial[b][name]);
                let want = average_over_holders(&dimensions(spec), &before, &of_clients);
                close(&bases[b][name], &want, &format!("base {b}, {name}"));
                // What is outside the widest corner keeps its bits.
                let mut inside = vec![false; spec.len()];
                corner_places(&dimensions(spec), &dimensions(&bench.narrow[1].tensors[t])).into_iter().for_each(|i| inside[i] = true);
                for i in (0..spec.len()).filter(|i| !inside[*i]) {
                    assert_eq!(bases[b][name][i].to_bits(), bench.initial[b][name][i].to_bits(), "base {b}, {name}[{i}]");
                    kept += 1;
                }
            }
        }
        assert!(kept > 100);
    });
}

/// A step of SHeteroFL: its gradient is the sum of those that each width has alone, in its corner.
#[test]
fn a_slimmable_step_adds_the_gradients_of_all_widths() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let scales = [16.0, 10.0];
        let plain = |scale, narrower| {
            let mut options = bench.options(scale, narrower);
            options.training.optimizer = Optimizer::Sgd { momentum: 0.0 };
            options.training.weight_decay = 0.0;
            options
        };
        let narrower = (0..2).map(|g| Narrower { network: bench.narrow[g].clone(), scale: scales[g], label: g.to_string() });
        let work = client(batches(&[6], 3), &[(0, 1.0)]);
        let slimmable = bench.alone(&bench.wide, &work, plain(8.0, narrower.collect())).await;
        let mut want: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut sizes = Vec::new();
        for (network, scale) in [(&bench.wide, 8.0), (&bench.narrow[0], scales[0]), (&bench.narrow[1], scales[1])] {
            let (before, after) = (cut(&bench.wide, network, &bench.initial[0]), bench.alone(network, &work, plain(scale, vec![])).await);
            let mut size = 0.0;
            for (w, n) in bench.wide.tensors.iter().zip(&network.tensors) {
                let sum = want.entry(w.name.clone()).or_insert_with(|| vec![0.0; w.len()]);
                for (i, place) in corner_places(&dimensions(w), &dimensions(n)).into_iter().enumerate() {
                    let step = f64::from(after[0][&w.name][i]) - f64::from(before[&w.name][i]);
                    sum[place] += step;
                    size += step * step;
                }
            }
            sizes.push(size);
        }
        assert!(sizes.iter().all(|s| *s > 1e-6), "every width takes a step: {sizes:?}");
        for (name, steps) in want {
            let want: Vec<f64> = bench.initial[0][&name].iter().zip(steps).map(|(before, step)| f64::from(*before) + step).collect();
            close(&slimmable[0][&name], &want, &name);
        }
    });
}

#[test]
fn corners_on_the_gpu_are_those_of_the_twin_and_impossible_groups_are_told() {
    pollster::block_on(async {
        let bench = Bench::new().await;
        let server = bench.server(&bench.wide, &bench.initial);
        let corner = Corner::new(&bench.gpu, &bench.wide, &server, bench.narrow[1].clone()).await.expect("a corner");
        corner.take_now(&bench.gpu);
        let taken = corner.server.download(&bench.gpu, &corner.network).await.expect("read back");
        for (base, initial) in taken.iter().zip(&bench.initial) {
            assert_eq!(*base, cut(&bench.wide, &bench.narrow[1], initial));
        }
        let told = |e: Result<LaneGroups, splitmix_fl::Error>| e.err().expect("refused").to_string();
        let whole = || GroupSetting { corner: None, options: bench.options(8.0, vec![]) };
        let cut = || GroupSetting { corner: Some(bench.narrow[0].clone()), options: bench.options(8.0, vec![]) };
        for settings in [vec![], vec![whole(), whole()], vec![whole(), cut()]] {
            let told = told(LaneGroups::new(&bench.gpu, &bench.wide, &server, &bench.images, settings).await);
            assert!(told.contains("whole bases"), "{told}");
        }
        let alexnet = Architecture::built_in("alexnet").expect("built in").corner(1, 8, 10).expect("a width");
        let other = GroupSetting { corner: Some(alexnet), ..cut() };
        told(LaneGroups::new(&bench.gpu, &bench.wide, &server, &bench.images, vec![other]).await);
    });
}
