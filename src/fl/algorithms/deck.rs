//! Base sampling (paper, Algorithm 2): the server's shuffled deck of bases.

use super::State;
use crate::fl::random::{Purpose, rng};
use crate::{Error, Result};
use rand::seq::SliceRandom;
use serde::Deserialize;

/// One deck of base indices that serves every client of every round, so that over time every base is trained
/// equally often even by clients that can afford only one.
///
/// A client's first base is the next card; when all cards are dealt the deck is shuffled anew. Shuffle `s` is a
/// pure function of the seed, so the number of cards dealt is the whole state: save it and a resumed run deals
/// exactly what an uninterrupted one would.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deck {
    bases: usize,
    dealt: u64,
}

impl Deck {
    /// A fresh deck of `bases` cards.
    ///
    /// # Errors
    /// [`Error::Config`] when `bases` is 0.
    pub fn new(bases: usize) -> Result<Deck> {
        match bases {
            0 => Err(Error::Config("an ensemble needs at least one base".into())),
            _ => Ok(Deck { bases, dealt: 0 }),
        }
    }

    /// As it is kept between rounds.
    pub fn to_state(&self) -> State {
        State::from_iter([("bases".into(), self.bases.into()), ("dealt".into(), self.dealt.into())])
    }

    /// Out of what was kept.
    ///
    /// # Errors
    /// [`Error::Data`] where that is no deck.
    pub fn from_state(state: &State) -> Result<Deck> {
        let deck = serde_json::from_value(state.clone().into()).ok().filter(|deck: &Deck| deck.bases > 0);
        deck.ok_or_else(|| Error::Data("the state of sampling is not a deck of bases".into()))
    }

    /// Number of cards: the bases of the ensemble.
    pub fn bases(&self) -> usize {
        self.bases
    }

    /// The bases that client `client` trains in round `round`: the next card, then `count − 1` others drawn
    /// uniformly without replacement. The result starts with the card and holds no base twice.
    ///
    /// # Errors
    /// [`Error::Config`] when `count` is 0 or above the number of bases; nothing is dealt then.
    pub fn deal(&mut self, seed: u64, round: u64, client: u64, count: usize) -> Result<Vec<usize>> {
        if count == 0 || count > self.bases {
            return Err(Error::Config(format!(
                "client {client} asks for {count} bases of an ensemble of {}: its budget must be at least one base \
                 and at most the largest budget",
                self.bases
            )));
        }
        let mut cards: Vec<usize> = (0..self.bases).collect();
        let shuffle = self.dealt / self.bases as u64;
        cards.shuffle(&mut rng(seed, Purpose::Deck, shuffle, 0, 0));
        let first = cards[(self.dealt % self.bases as u64) as usize];
        self.dealt += 1;

        let mut others: Vec<usize> = (0..self.bases).filter(|&base| base != first).collect();
        let (drawn, _) = others.partial_shuffle(&mut rng(seed, Purpose::Bases, round, client, 0), count - 1);
        let mut bases = vec![first];
        bases.extend_from_slice(drawn);
        Ok(bases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn first_cards_go_through_the_whole_deck_before_any_repeats() {
        let mut deck = Deck::new(8).unwrap();
        let mut shuffles = BTreeSet::new();
        for shuffle in 0..20u64 {
            let order: Vec<usize> = (0..8).map(|i| deck.deal(1, shuffle, i, 1).unwrap()[0]).collect();
            assert_eq!(order.iter().copied().collect::<BTreeSet<_>>().len(), 8, "{order:?}");
            shuffles.insert(order);
        }
        assert!(shuffles.len() > 15, "the deck is hardly ever shuffled: {shuffles:?}");
    }

    #[test]
    fn a_client_never_has_a_base_twice_and_gets_as_many_as_asked() {
        let mut deck = Deck::new(8).unwrap();
        for client in 0..200 {
            let count = (client % 8 + 1) as usize;
            let bases = deck.deal(3, 0, client, count).unwrap();
            assert_eq!(bases.iter().copied().collect::<BTreeSet<_>>().len(), count);
            assert!(bases.iter().all(|&base| base < 8));
        }
        assert_eq!(deck.dealt, 200);
    }

    #[test]
    fn the_other_bases_are_uniform() {
        // 2 of 4 bases: the second is each of the three others a third of the time. 3000 draws, p = 1/3:
        // standard deviation 26, so 5 of them is 130.
        let mut counts = [[0i32; 4]; 4];
        let mut deck = Deck::new(4).unwrap();
        for client in 0..12_000 {
            let bases = deck.deal(5, 0, client, 2).unwrap();
            counts[bases[0]][bases[1]] += 1;
        }
        for (first, row) in counts.iter().enumerate() {
            assert_eq!(row.iter().sum::<i32>(), 3000);
            for (second, &count) in row.iter().enumerate() {
                let wanted = if first == second { 0 } else { 1000 };
                assert!((count - wanted).abs() <= 130, "{first} then {second}: {count}");
            }
        }
    }

    #[test]
    fn a_resumed_deck_deals_on() {
        let deal = |deck: &mut Deck, clients: std::ops::Range<u64>| -> Vec<Vec<usize>> {
            clients.map(|client| deck.deal(9, client / 5, client, 3).unwrap()).collect()
        };
        let mut whole = Deck::new(8).unwrap();
        let mut wanted = deal(&mut whole, 0..13);
        let saved = whole.to_state();
        assert_eq!(serde_json::to_string(&saved).unwrap(), r#"{"bases":8,"dealt":13}"#);
        wanted.extend(deal(&mut whole, 13..40));

        let mut first = Deck::new(8).unwrap();
        let mut got = deal(&mut first, 0..13);
        let mut resumed = Deck::from_state(&saved).unwrap();
        got.extend(deal(&mut resumed, 13..40));
        assert_eq!(got, wanted);
        assert_eq!(resumed, whole);
    }

    #[test]
    fn seeds_differ() {
        let order = |seed| -> Vec<usize> {
            let mut deck = Deck::new(16).unwrap();
            (0..16).map(|client| deck.deal(seed, 0, client, 1).unwrap()[0]).collect()
        };
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn what_is_no_deck_is_refused() {
        for state in ["{}", r#"{"bases":0,"dealt":1}"#, r#"{"bases":8}"#, r#"{"bases":8,"dealt":1,"more":2}"#] {
            let told = Deck::from_state(&serde_json::from_str(state).unwrap()).unwrap_err().to_string();
            assert!(told.contains("not a deck"), "{state}: {told}");
        }
    }

    #[test]
    fn one_base_and_bad_counts() {
        let mut deck = Deck::new(1).unwrap();
        assert_eq!(deck.deal(0, 0, 0, 1).unwrap(), [0]);
        for count in [0, 2] {
            let message = deck.deal(0, 0, 7, count).unwrap_err().to_string();
            assert!(message.contains("client 7"), "{message}");
        }
        assert_eq!(deck.dealt, 1, "a refused deal takes no card");
        assert!(Deck::new(0).is_err());
    }
}
