//! Random numbers keyed by what they are for, so that no generator has a state to save.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers decides. Streams of different purposes never overlap.
///
/// The numbers are part of a run's identity: never renumber, only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial parameters; `(base, tensor, 0)`.
    Init = 0,
    /// Order of a domain's training images before they are dealt to clients; `(domain, 0, 0)`.
    PartitionTrain = 1,
    /// Order of a domain's test images before they are dealt to clients; `(domain, 0, 0)`.
    PartitionTest = 2,
    /// Clients of a round; `(round, 0, 0)`.
    Participants = 3,
    /// A shuffle of the deck of bases; `(number of the shuffle, 0, 0)`.
    Deck = 4,
    /// A client's bases after its first; `(round, client, 0)`.
    Bases = 5,
    /// Order of a client's training images in one epoch; `(round, client, epoch)`.
    Batches = 6,
    /// A shuffle of the deck of classes for training images; `(domain, number of the shuffle, 0)`.
    Classes = 7,
    /// The same for test images; `(domain, number of the shuffle, 0)`.
    TestClasses = 8,
    /// Sizes of shares; `(domain, class or 0, 0)`.
    Sizes = 9,
    /// The same for test images of a class-wise split; `(domain, class, 0)`.
    TestSizes = 10,
    /// Order of a client's images of several classes; `(domain, client, 0)`.
    Shares = 11,
    /// Shares of the clients in a class, where they are drawn by label; `(domain, class, 0)`.
    LabelShares = 12,
    /// Order of the shards of a domain; `(domain, 0, 0)`.
    Shards = 13,
    /// Order of a domain's own validation images before they are dealt to clients; `(domain, 0, 0)`.
    PartitionValidation = 14,
    /// Order of a client's test images, where they come class by class or from a list; `(domain, client, 0)`.
    TestShares = 15,
    /// The same for its validation images.
    ValidationShares = 16,
    /// The first centre of each client; `(0, 0, 0)`.
    Centres = 17,
}

/// The generator for `(seed, purpose, a, b, c)`; the meaning of `a`, `b` and `c` is given at each [`Purpose`].
///
/// Stateless: the same five numbers always give the same stream, whatever was drawn before, so a resumed run
/// draws what an uninterrupted one would have. The 256-bit ChaCha key is the four 64-bit numbers side by side
/// and the stream number is the purpose, so two different calls can share no stream.
pub fn rng(seed: u64, purpose: Purpose, a: u64, b: u64, c: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip([seed, a, b, c]) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(purpose as u64);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn same_key_same_stream() {
        let draw = || rng(7, Purpose::Batches, 1, 2, 3).next_u64();
        assert_eq!(draw(), draw());
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let first = |seed, purpose, a, b, c| rng(seed, purpose, a, b, c).next_u64();
        let all = [
            first(1, Purpose::Init, 2, 3, 4),
            first(9, Purpose::Init, 2, 3, 4),
            first(1, Purpose::Deck, 2, 3, 4),
            first(1, Purpose::Init, 9, 3, 4),
            first(1, Purpose::Init, 2, 9, 4),
            first(1, Purpose::Init, 2, 3, 9),
            first(1, Purpose::Init, 3, 2, 4),
        ];
        let distinct: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn the_streams_are_part_of_the_format() {
        // A change here changes every run: it must be deliberate and told in the change log.
        // The first number is that of the published test vector: ChaCha8, all-zero key and nonce.
        assert_eq!(rng(0, Purpose::Init, 0, 0, 0).next_u64().to_le_bytes(), [0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6]);
        assert_eq!(rng(1, Purpose::Batches, 2, 3, 4).next_u64(), 16_348_564_021_606_059_254);
    }
}
