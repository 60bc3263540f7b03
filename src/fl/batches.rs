//! Cutting a client's images into batches.
//!
//! Batch norm needs at least two images in a batch: over one, every channel of a linear layer has variance 0 and
//! the layer's output no longer depends on the image. So when a cut would leave a last batch of one image, the
//! last two batches share their images evenly instead (33 images at batch size 32: 17 + 16). No image is lost, no
//! batch exceeds the batch size, and the number of steps is that of the plain cut, `⌈n / batch size⌉`.

use super::random::{Purpose, rng};
use crate::net::SMALLEST_BATCH;
use crate::{Error, Result};
use rand::seq::SliceRandom;

/// Sizes of the batches that `images` images are cut into: full ones, then the partial one (see the module's rule
/// for a last batch of one). Their sum is `images`; a single image is a batch of one.
///
/// # Errors
/// [`Error::Config`] when `batch_size` is under [`SMALLEST_BATCH`].
pub fn batch_sizes(images: usize, batch_size: usize) -> Result<Vec<usize>> {
    if batch_size < SMALLEST_BATCH {
        return Err(Error::Config(format!(
            "a batch size of {batch_size} is too small: batch norm needs two images in every batch, and only from \
             {SMALLEST_BATCH} on can every number of images be cut so"
        )));
    }
    let mut sizes = vec![batch_size; images / batch_size];
    match images % batch_size {
        0 => {}
        1 if !sizes.is_empty() => {
            sizes.pop();
            let shared = batch_size + 1;
            sizes.extend([shared.div_ceil(2), shared / 2]);
        }
        rest => sizes.push(rest),
    }
    Ok(sizes)
}

/// `images` in their order, cut by [`batch_sizes`].
///
/// # Errors
/// As [`batch_sizes`].
pub fn cut(images: &[u32], batch_size: usize) -> Result<Vec<Vec<u32>>> {
    let mut rest = images;
    let sizes = batch_sizes(images.len(), batch_size)?;
    Ok(sizes
        .into_iter()
        .map(|size| {
            let (batch, after) = rest.split_at(size);
            rest = after;
            batch.to_vec()
        })
        .collect())
}

/// The batches of evaluation: fixed order, the last one partial. A batch never mixes clients, as in batch-norm mode
/// `batch` its statistics are part of the result. The method's batch size is 128 in tests and the training batch
/// size in validation.
///
/// # Errors
/// As [`batch_sizes`].
pub fn evaluation_batches(images: &[u32], batch_size: usize) -> Result<Vec<Vec<u32>>> {
    cut(images, batch_size)
}

/// The batches of client `client` in round `round`: `epochs` passes over `images`, each in its own order (keyed by
/// seed, round, client and epoch), the last batch of a pass partial.
///
/// # Errors
/// As [`batch_sizes`].
pub fn local_batches(seed: u64, round: usize, client: usize, epochs: usize, images: &[u32], batch_size: usize) -> Result<Vec<Vec<u32>>> {
    let mut batches = Vec::new();
    for epoch in 0..epochs {
        let mut order = images.to_vec();
        order.shuffle(&mut rng(seed, Purpose::Batches, round as u64, client as u64, epoch as u64));
        batches.append(&mut cut(&order, batch_size)?);
    }
    Ok(batches)
}

/// As many full batches of client `client` in round `round` as it is asked for, its images in a new order each time they are used up;
/// what does not fill a batch is left out. A client with fewer images than a batch has them all in each of its batches.
pub fn cycled_batches(seed: u64, round: usize, client: usize, steps: usize, images: &[u32], batch_size: usize) -> Vec<Vec<u32>> {
    let size = batch_size.min(images.len()).max(1);
    let mut batches = Vec::new();
    for pass in 0.. {
        if batches.len() >= steps || images.is_empty() {
            break;
        }
        let mut order = images.to_vec();
        order.shuffle(&mut rng(seed, Purpose::Batches, round as u64, client as u64, pass));
        batches.extend(order.chunks_exact(size).map(<[u32]>::to_vec));
    }
    batches.truncate(steps);
    batches
}

/// Steps that every client takes where their sizes differ: the mean of their numbers of full batches, rounded, at least 1.
pub fn mean_steps(sizes: impl Iterator<Item = usize>, epochs: usize, batch_size: usize) -> usize {
    let (mut steps, mut clients) = (0, 0);
    for size in sizes {
        steps += size / batch_size.max(1) * epochs;
        clients += 1;
    }
    ((steps as f64 / f64::from(clients.max(1))).round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_different_sizes_take_the_same_number_of_full_batches() {
        assert_eq!(mean_steps([64, 100, 31, 8].into_iter(), 1, 32), 1);
        assert_eq!(mean_steps([640, 100, 31, 8].into_iter(), 2, 32), 12);
        assert_eq!(mean_steps([3].into_iter(), 1, 32), 1);
        let images: Vec<u32> = (0..70).collect();
        let batches = cycled_batches(1, 2, 3, 5, &images, 32);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [32; 5]);
        // Within a pass no image comes twice.
        let pass: std::collections::BTreeSet<_> = batches[..2].concat().into_iter().collect();
        assert_eq!(pass.len(), 64);
        assert_ne!(batches[0], batches[2]);
        let few = cycled_batches(1, 2, 3, 3, &images[..5], 32);
        assert_eq!(few.iter().map(Vec::len).collect::<Vec<_>>(), [5; 3]);
        assert!(cycled_batches(1, 2, 3, 3, &[], 32).is_empty());
    }

    #[test]
    fn sizes_by_hand() {
        let sizes = |images, batch| batch_sizes(images, batch).unwrap();
        assert_eq!(sizes(111, 32), [32, 32, 32, 15]);
        assert_eq!(sizes(64, 32), [32, 32]);
        assert_eq!(sizes(0, 32), [0usize; 0]);
        assert_eq!(sizes(1, 32), [1]);
        assert_eq!(sizes(2, 32), [2]);
        assert_eq!(sizes(33, 32), [17, 16]);
        assert_eq!(sizes(65, 32), [32, 17, 16]);
        assert_eq!(sizes(4, 3), [2, 2]);
    }

    #[test]
    fn every_number_of_images_keeps_the_rule() {
        for batch in SMALLEST_BATCH..40 {
            for images in 2..200 {
                let sizes = batch_sizes(images, batch).unwrap();
                assert_eq!(sizes.iter().sum::<usize>(), images);
                assert_eq!(sizes.len(), images.div_ceil(batch));
                assert!(sizes.iter().all(|&size| (2..=batch).contains(&size)), "{images} by {batch}: {sizes:?}");
            }
        }
    }

    #[test]
    fn too_small_batches_are_refused() {
        for batch in 0..SMALLEST_BATCH {
            assert!(batch_sizes(10, batch).unwrap_err().to_string().contains("too small"));
        }
    }

    #[test]
    fn evaluation_keeps_the_order() {
        let images: Vec<u32> = (100..361).collect();
        let batches = evaluation_batches(&images, 128).unwrap();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [128, 128, 5]);
        assert_eq!(batches.concat(), images);
    }

    #[test]
    fn every_epoch_is_a_permutation_with_its_own_order() {
        let images: Vec<u32> = (0..111).map(|index| 7 * index).collect();
        let batches = local_batches(1, 2, 3, 2, &images, 32).unwrap();
        assert_eq!(batches.len(), 8);
        let epochs = [batches[..4].concat(), batches[4..].concat()];
        assert_ne!(epochs[0], epochs[1]);
        for epoch in epochs {
            assert_ne!(epoch, images);
            let mut sorted = epoch;
            sorted.sort_unstable();
            assert_eq!(sorted, images);
        }
    }

    #[test]
    fn the_order_is_keyed() {
        let images: Vec<u32> = (0..50).collect();
        let order = |seed, round, client| local_batches(seed, round, client, 1, &images, 32).unwrap();
        assert_eq!(order(1, 2, 3), order(1, 2, 3));
        assert_ne!(order(1, 2, 3), order(2, 2, 3));
        assert_ne!(order(1, 2, 3), order(1, 3, 3));
        assert_ne!(order(1, 2, 3), order(1, 2, 4));
        // A longer run starts with the shorter one's epochs.
        assert_eq!(local_batches(1, 2, 3, 3, &images, 32).unwrap()[..2], order(1, 2, 3)[..]);
    }

    #[test]
    fn no_images_no_batches() {
        assert!(local_batches(1, 0, 0, 5, &[], 32).unwrap().is_empty());
        assert!(evaluation_batches(&[], 128).unwrap().is_empty());
    }
}
