//! What is trained in a benchmark: noise for images, and clients with the paper's budgets.

use super::BenchOptions;
use crate::Result;
use crate::engine::{Batch, ClientWork, ImageStore, Rows};
use crate::gpu::Gpu;
use crate::net::{Network, Norms};
use crate::run::model::initial_bases;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Classes of every network.
const CLASSES: usize = 10;
/// Where images and bases come from.
const SEED: u64 = 1;
/// Images on the GPU, which clients share: more than a cache holds.
const IMAGES: u32 = 4096;

/// An ensemble and images on the GPU.
pub(super) struct Workload {
    pub options: BenchOptions,
    pub network: Network,
    pub server: Rows,
    pub images: ImageStore,
}

impl Workload {
    pub fn new(gpu: &Gpu, options: &BenchOptions) -> Result<Workload> {
        let width = options.base_width;
        let network = options.network.architecture()?.base(width.numerator(), width.denominator(), CLASSES as u32)?;
        let server = initial_bases(gpu, &network, options.bases as usize, options.base_width, SEED, true)?;
        // Large images are fewer.
        let count = (IMAGES * 784 / (network.input.height * network.input.width)).max(2 * options.batch) as usize;
        let mut pixels = vec![0; count * network.input.len() as usize];
        ChaCha8Rng::seed_from_u64(SEED).fill_bytes(&mut pixels);
        let labels: Vec<u8> = (0..count).map(|i| (i % CLASSES) as u8).collect();
        let images = ImageStore::new(gpu, network.input, &[(&pixels, &labels)])?;
        Ok(Workload { options: options.clone(), network, server, images })
    }

    /// The same ensemble with dual batch norms, for adversarial training.
    pub fn dual(&self, gpu: &Gpu) -> Result<(Network, Rows)> {
        let network = self.network.clone().with_norms(Norms { dual: true, tracked: false });
        let server = initial_bases(gpu, &network, self.options.bases as usize, self.options.base_width, SEED, true)?;
        Ok((network, server))
    }

    /// Clients that together train so many lanes, every one for all steps with full batches.
    pub fn clients(&self, lanes: u32) -> Vec<ClientWork> {
        let o = &self.options;
        let clients = deal(lanes, o.bases);
        let mut trained = vec![0u32; o.bases as usize];
        for base in clients.iter().flatten() {
            trained[*base as usize] += 1;
        }
        let mut batches = self.batches();
        clients
            .into_iter()
            .map(|bases| ClientWork {
                client: 0,
                batches: (0..o.steps).map(|_| batches.next().expect("without end")).collect(),
                bases: bases.into_iter().map(|b| (b, 1.0 / trained[b as usize] as f32)).collect(),
            })
            .collect()
    }

    /// Batches for an evaluation of at least so many lanes: each takes one lane a base.
    pub fn evaluation(&self, lanes: u32) -> Vec<Batch> {
        self.batches().take(lanes.div_ceil(self.options.bases) as usize).map(Batch::from).collect()
    }

    /// Batches of a validation: so many clients with so many images each, the last batch of each partial.
    pub fn validation(&self, clients: usize, images: usize) -> Vec<Batch> {
        let batch = self.options.batch as usize;
        let cut = |first: usize| (0..images).step_by(batch).map(move |i| (first + i, batch.min(images - i)));
        let all = (0..clients).flat_map(|c| cut(c * images));
        let image = |i: usize| (i as u64 % u64::from(self.images.count)) as u32;
        all.map(|(first, size)| (first..first + size).map(image).collect::<Vec<_>>().into()).collect()
    }

    /// Numbers of bases that are mixed: 1, 2, 4, … and all.
    pub fn widths(&self) -> Vec<u32> {
        let all = self.options.bases;
        let doubling = std::iter::successors(Some(1u32), |n| n.checked_mul(2));
        doubling.take_while(|n| *n < all).chain([all]).collect()
    }

    /// Full batches of images, no image twice in one, without end.
    fn batches(&self) -> impl Iterator<Item = Vec<u32>> {
        let (batch, count) = (self.options.batch, self.images.count);
        (0u32..).map(move |k| (0..batch).map(|i| ((u64::from(k) * u64::from(batch) + u64::from(i)) % u64::from(count)) as u32).collect())
    }
}

/// The bases of each client: budgets of 1/8, 1/4, 1/2 and all of the bases in turn (the paper's 8-4-2-1), taken from the
/// bases in a circle, until all lanes are dealt. The last client may get fewer.
fn deal(lanes: u32, bases: u32) -> Vec<Vec<u32>> {
    let mut clients = Vec::new();
    let mut dealt = 0;
    while dealt < lanes {
        let budget = bases.div_ceil(8 >> (clients.len() % 4));
        let count = budget.min(lanes - dealt);
        clients.push((dealt..dealt + count).map(|i| i % bases).collect());
        dealt += count;
    }
    clients
}

/// The clients of the first so many lanes, the last one with those of its bases that are among them.
pub(super) fn first_lanes(work: &[ClientWork], lanes: u32) -> Vec<ClientWork> {
    let mut left = lanes as usize;
    let mut out = Vec::new();
    for client in work {
        if left == 0 {
            break;
        }
        let mut client = client.clone();
        client.bases.truncate(left);
        left -= client.bases.len();
        out.push(client);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_dealt_as_the_papers_budgets() {
        let sizes = |lanes, bases| deal(lanes, bases).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(15, 8), [1, 2, 4, 8]);
        assert_eq!(sizes(17, 8), [1, 2, 4, 8, 1, 1]);
        assert_eq!(sizes(3, 1), [1, 1, 1]);
        assert_eq!(deal(190, 8).len(), 52);
        // Neighbours in the circle: no client trains a base twice, and all bases are trained equally often.
        let mut trained = [0; 8];
        for client in deal(184, 8) {
            let distinct: std::collections::BTreeSet<_> = client.iter().collect();
            assert_eq!(distinct.len(), client.len());
            client.iter().for_each(|b| trained[*b as usize] += 1);
        }
        assert_eq!(trained, [23; 8]);
    }

    #[test]
    fn the_first_lanes_end_inside_a_client() {
        let client = |bases: &[u32]| ClientWork { client: 0, batches: vec![vec![0, 1]], bases: bases.iter().map(|b| (*b, 1.0)).collect() };
        let work = [client(&[0]), client(&[1, 2, 3]), client(&[4])];
        assert_eq!(first_lanes(&work, 3), [client(&[0]), client(&[1, 2])]);
        assert_eq!(first_lanes(&work, 5), work);
    }
}
