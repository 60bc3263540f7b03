//! Widths as exact fractions, and the budgets of the clients.

use crate::text::written_as_text;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A width as a fraction of the full network, exact, in (0, 1], in lowest terms.
///
/// Exact because widths are counted: `⌊budget/r⌋` in floating point loses a base when 0.3/0.1 comes out as
/// 2.999….
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    numerator: u32,
    denominator: u32,
}

impl Ratio {
    /// The full network.
    pub const ONE: Ratio = Ratio { numerator: 1, denominator: 1 };

    /// The paper's base width, 1/8.
    pub const EIGHTH: Ratio = Ratio::part(8);

    /// `1 / denominator`, for constants; the denominator must not be 0.
    const fn part(denominator: u32) -> Ratio {
        Ratio { numerator: 1, denominator }
    }

    /// `numerator / denominator` in lowest terms.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 < numerator ≤ denominator`.
    pub fn new(numerator: u32, denominator: u32) -> Result<Ratio> {
        if numerator == 0 || numerator > denominator {
            return Err(Error::Config(format!("a width must be above 0 and at most 1, but {numerator}/{denominator} is not")));
        }
        let divisor = gcd(numerator, denominator);
        Ok(Ratio { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// The numerator in lowest terms.
    pub fn numerator(self) -> u32 {
        self.numerator
    }

    /// The denominator in lowest terms.
    pub fn denominator(self) -> u32 {
        self.denominator
    }

    /// The nearest double.
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// `⌊self / unit⌋`: how many networks of width `unit` fit.
    pub fn floor_div(self, unit: Ratio) -> usize {
        let whole = u64::from(self.numerator) * u64::from(unit.denominator);
        let part = u64::from(self.denominator) * u64::from(unit.numerator);
        // At most 2³²−1 (1 over 1/(2³²−1)), so it fits wherever there is memory for that many networks.
        (whole / part) as usize
    }

    /// `channels · self`, rounded down, at least 1: the channels of a layer at this width (paper, section 3).
    pub fn of_channels(self, channels: usize) -> usize {
        let product = channels as u128 * u128::from(self.numerator) / u128::from(self.denominator);
        (product as usize).max(1)
    }

    /// `count · self`.
    ///
    /// # Errors
    /// [`Error::Config`] when the product is 0 or above 1, or its terms do not fit 32 bits.
    pub fn times(self, count: usize) -> Result<Ratio> {
        let divisor = gcd64(count as u64, u64::from(self.denominator)).max(1);
        let numerator = (count as u64 / divisor).checked_mul(u64::from(self.numerator));
        let denominator = u64::from(self.denominator) / divisor;
        match numerator.map(u32::try_from) {
            Some(Ok(numerator)) => Ratio::new(numerator, denominator as u32),
            _ => Err(Error::Config(format!("{count} times the width {self} is above 1"))),
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    gcd64(u64::from(a), u64::from(b)) as u32
}

fn gcd64(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd64(b, a % b) }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Ratio) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Ratio) -> Ordering {
        let left = u64::from(self.numerator) * u64::from(other.denominator);
        let right = u64::from(other.numerator) * u64::from(self.denominator);
        left.cmp(&right)
    }
}

impl fmt::Display for Ratio {
    /// `1/8`, or `1` for the full width.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` so that a width can be aligned in a table.
        match self.denominator {
            1 => f.pad(&self.numerator.to_string()),
            _ => f.pad(&format!("{}/{}", self.numerator, self.denominator)),
        }
    }
}

impl FromStr for Ratio {
    type Err = Error;

    /// Reads `1/8`, `0.125` or `1`.
    ///
    /// # Errors
    /// [`Error::Config`] when the text is none of these, is not in (0, 1], or has more than nine decimals.
    fn from_str(text: &str) -> Result<Ratio> {
        let unreadable = || Error::Config(format!("\"{text}\" is not a width: write a fraction in (0, 1] such as 1/8, 0.125 or 1"));
        let number = |digits: &str| -> Result<u32> {
            // `u32::from_str` would also take a leading plus sign.
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(unreadable());
            }
            digits.parse().map_err(|_| unreadable())
        };
        let trimmed = text.trim();
        let (numerator, denominator) = if let Some((over, under)) = trimmed.split_once('/') {
            (number(over.trim())?, number(under.trim())?)
        } else if let Some((whole, decimals)) = trimmed.split_once('.') {
            let whole = if whole.is_empty() { 0 } else { number(whole)? };
            let decimals = decimals.trim_end_matches('0');
            if decimals.len() > 9 {
                return Err(unreadable());
            }
            let scale = 10u32.pow(decimals.len() as u32);
            let fraction = if decimals.is_empty() { 0 } else { number(decimals)? };
            let numerator = whole.checked_mul(scale).and_then(|whole| whole.checked_add(fraction));
            (numerator.ok_or_else(unreadable)?, scale)
        } else {
            (number(trimmed)?, 1)
        };
        Ratio::new(numerator, denominator).map_err(|_| unreadable())
    }
}

impl Serialize for Ratio {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    /// From the text form, or from a number (`0.125` and `1`, as a person would write in TOML).
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Ratio, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Ratio;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a width in (0, 1] such as \"1/8\", 0.125 or 1")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Ratio, E> {
                text.parse().map_err(E::custom)
            }
            // Rust prints the shortest decimals that give the same double, so 0.1 is read as 1/10.
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> std::result::Result<Ratio, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> std::result::Result<Ratio, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> std::result::Result<Ratio, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The budgets of the clients: the largest width that each may train (paper, section 4 and appendix).
///
/// Two kinds, written as text:
/// - groups, `8-4-2-1`: the clients, in order, are cut into as many equal groups as there are parts. A part `P`
///   is the width `1/P`, a part `PdQ` the width `Q/P`. The groups are sorted by width, smallest first.
/// - log-normal, `lnS_M`: shape `S` and scale `M` of a log-normal law over the widths 1/8, 2/8 … 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Budgets {
    /// One width a group, ascending, at least one.
    Groups(Vec<Ratio>),
    /// Log-normal with cumulative distribution `F(w) = ½(1 + erf((ln w − ln scale)/(shape·√2)))`.
    LogNormal {
        /// Standard deviation of the logarithm, above 0.
        shape: f64,
        /// Median width, above 0.
        scale: f64,
    },
}

/// Widths of the log-normal form are eighths.
const EIGHTHS: u32 = 8;

impl Budgets {
    /// Reads one of the forms above.
    ///
    /// # Errors
    /// [`Error::Config`], saying which part cannot be read and which forms are accepted.
    pub fn parse(text: &str) -> Result<Budgets> {
        let wrong = |what: String| {
            Error::Config(format!(
                "\"{text}\": {what}; write groups such as 8-4-2-1 (P means width 1/P, PdQ means Q/P, \
                 as in 4-2-4d3-1) or lnS_M such as ln0.5_0.4 (log-normal with shape S and scale M)"
            ))
        };
        if let Some(law) = text.strip_prefix("ln") {
            let (shape, scale) = law.split_once('_').ok_or_else(|| wrong("no \"_\" between shape and scale".into()))?;
            let positive = |name: &str, number: &str| match number.parse::<f64>() {
                Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
                _ => Err(wrong(format!("the {name} \"{number}\" is not a number above 0"))),
            };
            let (shape, scale) = (positive("shape", shape)?, positive("scale", scale)?);
            // The law is cut off at 1/8; with nothing left above, no client could be given a width.
            let left = 1.0 - log_normal_cdf(0.125, shape, scale);
            if left.is_nan() || left < 1e-9 {
                return Err(wrong("it puts nothing above the width 1/8".into()));
            }
            return Ok(Budgets::LogNormal { shape, scale });
        }
        let mut groups = Vec::new();
        for part in text.split('-') {
            let (denominator, numerator) = part.split_once('d').unwrap_or((part, "1"));
            let ratio = match (denominator.parse(), numerator.parse()) {
                (Ok(denominator), Ok(numerator)) => Ratio::new(numerator, denominator).ok(),
                _ => None,
            };
            groups.push(ratio.ok_or_else(|| wrong(format!("the part \"{part}\" is not a width in (0, 1]")))?);
        }
        groups.sort();
        Ok(Budgets::Groups(groups))
    }

    /// The largest budget, `R`: the width of the whole ensemble. For the log-normal form it is 1, whether or not
    /// the law gives a client that much.
    pub fn max(&self) -> Ratio {
        match self {
            Budgets::Groups(groups) => groups.iter().copied().max().unwrap_or(Ratio::ONE),
            Budgets::LogNormal { .. } => Ratio::ONE,
        }
    }

    /// The distinct budgets, ascending; for the log-normal form all eighths.
    pub fn widths(&self) -> Vec<Ratio> {
        match self {
            Budgets::Groups(groups) => {
                let mut widths = groups.clone();
                widths.dedup();
                widths
            }
            Budgets::LogNormal { .. } => eighths(),
        }
    }

    /// The budget of every one of `clients` clients, in client order.
    ///
    /// Groups: client `i` of `K` has the width of group `⌊G·i/K⌋`. Log-normal: client `i` has the largest
    /// width `w_j` with `⌊K·(F(w_j) − F(1/8))/(1 − F(1/8))⌋ ≤ i`.
    pub fn client_ratios(&self, clients: usize) -> Vec<Ratio> {
        match self {
            Budgets::Groups(groups) => (0..clients).map(|client| groups[groups.len() * client / clients]).collect(),
            Budgets::LogNormal { shape, scale } => {
                let law = |width: Ratio| log_normal_cdf(width.as_f64(), *shape, *scale);
                let widths = eighths();
                let cut = law(widths[0]);
                let first_client = |width: Ratio| (clients as f64 * (law(width) - cut) / (1.0 - cut)) as usize;
                let starts: Vec<usize> = widths.iter().map(|&width| first_client(width)).collect();
                (0..clients)
                    // The first start is 0 and the starts ascend, so at least one is at or under every client.
                    .map(|client| widths[starts.partition_point(|&start| start <= client).max(1) - 1])
                    .collect()
            }
        }
    }

    /// The budget of client `client` of `clients`; `None` when there is no such client.
    pub fn client_ratio(&self, client: usize, clients: usize) -> Option<Ratio> {
        self.client_ratios(clients).get(client).copied()
    }

    /// Number of bases in the ensemble, `⌊R/r⌋`.
    ///
    /// # Errors
    /// [`Error::Config`] when `r` is above the largest budget.
    pub fn base_count(&self, base_width: Ratio) -> Result<usize> {
        bases(self.max(), base_width)
    }
}

fn eighths() -> Vec<Ratio> {
    (1..=EIGHTHS).filter_map(|numerator| Ratio::new(numerator, EIGHTHS).ok()).collect()
}

/// The log-normal cumulative distribution at `width > 0`. By `libm`, so that every platform cuts the clients at
/// the same place.
fn log_normal_cdf(width: f64, shape: f64, scale: f64) -> f64 {
    let standard = (libm::log(width) - libm::log(scale)) / (shape * std::f64::consts::SQRT_2);
    0.5 * (1.0 + libm::erf(standard))
}

/// Number of bases of width `base_width` that a client with this budget trains, `⌊budget/r⌋` (paper, Algorithm 2).
///
/// # Errors
/// [`Error::Config`] when the budget is under the base width: such a client could train nothing.
pub fn bases(budget: Ratio, base_width: Ratio) -> Result<usize> {
    match budget.floor_div(base_width) {
        0 => Err(Error::Config(format!(
            "a client with budget {budget} cannot train a base of width {base_width}: \
             lower base-width to {budget} or less, or raise the smallest of the budgets"
        ))),
        count => Ok(count),
    }
}

impl Default for Budgets {
    /// The paper's `8-4-2-1`.
    fn default() -> Budgets {
        Budgets::Groups([8, 4, 2, 1].map(Ratio::part).to_vec())
    }
}

impl fmt::Display for Budgets {
    /// The text that [`Budgets::parse`] reads back to the same value, groups sorted by width.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budgets::Groups(groups) => {
                for (index, ratio) in groups.iter().enumerate() {
                    let dash = if index == 0 { "" } else { "-" };
                    match ratio.numerator() {
                        1 => write!(f, "{dash}{}", ratio.denominator())?,
                        numerator => write!(f, "{dash}{}d{numerator}", ratio.denominator())?,
                    }
                }
                Ok(())
            }
            Budgets::LogNormal { shape, scale } => write!(f, "ln{shape}_{scale}"),
        }
    }
}

written_as_text!(Budgets);

impl FromStr for Budgets {
    type Err = Error;
    fn from_str(text: &str) -> Result<Budgets> {
        Budgets::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(text: &str) -> Ratio {
        text.parse().unwrap()
    }

    fn budgets(text: &str) -> Budgets {
        Budgets::parse(text).unwrap()
    }

    /// Number of clients at every width, ascending.
    fn counts(text: &str, clients: usize) -> Vec<(String, usize)> {
        let ratios = budgets(text).client_ratios(clients);
        assert!(ratios.is_sorted());
        let mut counts: Vec<(String, usize)> = Vec::new();
        for ratio in ratios {
            match counts.last_mut() {
                Some((name, count)) if *name == ratio.to_string() => *count += 1,
                _ => counts.push((ratio.to_string(), 1)),
            }
        }
        counts
    }

    fn expect(pairs: &[(&str, usize)]) -> Vec<(String, usize)> {
        pairs.iter().map(|&(name, count)| (name.to_string(), count)).collect()
    }

    #[test]
    fn ratios_are_read_and_shown_in_lowest_terms() {
        let cases = [
            ("1/8", "1/8"),
            ("0.125", "1/8"),
            (".5", "1/2"),
            ("2/16", "1/8"),
            ("1", "1"),
            ("1.0", "1"),
            ("1.", "1"),
            ("4/4", "1"),
            ("0.3", "3/10"),
            (" 3 / 8 ", "3/8"),
            ("0.123456789", "123456789/1000000000"),
            ("0.5000000000000", "1/2"),
        ];
        for (text, shown) in cases {
            assert_eq!(ratio(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_width_is_refused() {
        for text in [
            "",
            "0",
            "0/3",
            "1/0",
            "9/8",
            "1.5",
            "-1/8",
            "+1/8",
            "1/+8",
            "0.1234567891",
            "a",
            "1/8/2",
            "1e-1",
            ".",
            "99999999999",
            "9999999999.5",
            "NaN",
        ] {
            let message = text.parse::<Ratio>().unwrap_err().to_string();
            assert!(message.contains("such as 1/8"), "{text}: {message}");
            assert!(message.contains(&format!("\"{text}\"")), "{message}");
        }
    }

    #[test]
    fn ratios_are_ordered_by_value() {
        assert!(ratio("1/3") < ratio("3/8"));
        assert!(ratio("2/4") == ratio("1/2"));
        assert_eq!(ratio("3/8").max(ratio("1/3")), ratio("3/8"));
    }

    #[test]
    fn division_is_exact() {
        assert_eq!(ratio("0.3").floor_div(ratio("0.1")), 3); // 2 in floating point
        assert_eq!(ratio("1").floor_div(ratio("1/8")), 8);
        assert_eq!(ratio("3/8").floor_div(ratio("1/4")), 1);
        assert_eq!(ratio("1/8").floor_div(ratio("1/4")), 0);
        assert_eq!(ratio("1").floor_div(Ratio::new(1, u32::MAX).unwrap()), u32::MAX as usize);
    }

    #[test]
    fn channels_and_multiples() {
        assert_eq!(ratio("1/8").of_channels(64), 8);
        assert_eq!(ratio("1/3").of_channels(64), 21);
        assert_eq!(ratio("1/128").of_channels(64), 1);
        assert_eq!(ratio("1/8").times(3).unwrap(), ratio("3/8"));
        assert_eq!(ratio("1/8").times(8).unwrap(), Ratio::ONE);
        assert!(ratio("1/8").times(9).is_err());
        assert!(ratio("1/8").times(0).is_err());
        assert!(ratio("1/3").times(usize::MAX).is_err());
    }

    #[test]
    fn ratios_serialise_as_text_and_are_read_from_numbers_too() {
        assert_eq!(serde_json::to_string(&ratio("0.125")).unwrap(), "\"1/8\"");
        for text in ["\"1/8\"", "0.125", "\"0.125\""] {
            assert_eq!(serde_json::from_str::<Ratio>(text).unwrap(), ratio("1/8"));
        }
        assert_eq!(serde_json::from_str::<Ratio>("1").unwrap(), Ratio::ONE);
        assert!(serde_json::from_str::<Ratio>("2").is_err());
        assert!(serde_json::from_str::<Ratio>("true").is_err());
    }

    #[test]
    fn the_papers_default_gives_185_lanes() {
        assert_eq!(counts("8-4-2-1", 50), expect(&[("1/8", 13), ("1/4", 12), ("1/2", 13), ("1", 12)]));
        let r = ratio("1/8");
        let lanes: usize = budgets("8-4-2-1").client_ratios(50).iter().map(|&b| bases(b, r).unwrap()).sum();
        assert_eq!(lanes, 13 + 12 * 2 + 13 * 4 + 12 * 8);
        assert_eq!(lanes, 185);
    }

    #[test]
    fn every_listed_form() {
        // (text, R, bases at r = 1/8, clients of 50 at each width)
        type Case<'a> = (&'a str, &'a str, usize, &'a [(&'a str, usize)]);
        let cases: [Case; 7] = [
            ("8-4-2-1", "1", 8, &[("1/8", 13), ("1/4", 12), ("1/2", 13), ("1", 12)]),
            ("8-1-1-1", "1", 8, &[("1/8", 13), ("1", 37)]),
            ("8-2-1-1", "1", 8, &[("1/8", 13), ("1/2", 12), ("1", 25)]),
            ("8-2-2-1", "1", 8, &[("1/8", 13), ("1/2", 25), ("1", 12)]),
            ("8-4-4-1", "1", 8, &[("1/8", 13), ("1/4", 25), ("1", 12)]),
            ("8-4-8d3-2", "1/2", 4, &[("1/8", 13), ("1/4", 12), ("3/8", 13), ("1/2", 12)]),
            ("4-2-4d3-1", "1", 8, &[("1/4", 13), ("1/2", 12), ("3/4", 13), ("1", 12)]),
        ];
        for (text, max, base_count, widths) in cases {
            let parsed = budgets(text);
            assert_eq!(parsed.to_string(), text);
            assert_eq!(parsed.max(), ratio(max), "{text}");
            assert_eq!(parsed.base_count(ratio("1/8")).unwrap(), base_count, "{text}");
            assert_eq!(counts(text, 50), expect(widths), "{text}");
        }
    }

    #[test]
    fn groups_are_sorted_and_repeats_kept() {
        assert_eq!(budgets("8-4-2-1"), Budgets::default());
        assert_eq!(Ratio::EIGHTH, ratio("1/8"));
        assert_eq!(budgets("1-2-4-8"), budgets("8-4-2-1"));
        assert_eq!(budgets("8-1-1-1").widths(), [ratio("1/8"), Ratio::ONE]);
        assert_eq!(counts("1", 3), expect(&[("1", 3)]));
        // More groups than clients: client i still reads group ⌊4i/2⌋.
        assert_eq!(counts("8-4-2-1", 2), expect(&[("1/8", 1), ("1/2", 1)]));
        assert!(budgets("8-4-2-1").client_ratios(0).is_empty());
    }

    #[test]
    fn log_normal_of_the_paper() {
        // F(j/8) for shape 0.5, scale 0.4 is 0.010001, 0.173607, 0.448648, 0.672305, 0.813957, 0.895663, 0.941269,
        // 0.966568; 50·(F − F(1/8))/(1 − F(1/8)) = 0, 8.26, 22.15, 33.45, 40.60, 44.73, 47.03, 48.31 and 50.
        let widths = [("1/8", 8), ("1/4", 14), ("3/8", 11), ("1/2", 7), ("5/8", 4), ("3/4", 3), ("7/8", 1), ("1", 2)];
        assert_eq!(counts("ln0.5_0.4", 50), expect(&widths));
        assert_eq!(budgets("ln0.5_0.4").to_string(), "ln0.5_0.4");
        assert_eq!(budgets("ln0.5_0.4").base_count(ratio("1/8")).unwrap(), 8);
    }

    #[test]
    fn log_normal_with_few_clients_or_an_extreme_law() {
        for clients in 0..20 {
            for law in ["ln0.5_0.4", "ln0.1_0.9", "ln3_0.2", "ln0.2_5"] {
                assert_eq!(budgets(law).client_ratios(clients).len(), clients);
            }
        }
        // Nearly all the mass beyond 1: everybody has the full width.
        assert_eq!(counts("ln0.1_50", 10), expect(&[("1", 10)]));
    }

    #[test]
    fn one_client_by_index() {
        let parsed = budgets("8-4-2-1");
        assert_eq!(parsed.client_ratio(12, 50), Some(ratio("1/8")));
        assert_eq!(parsed.client_ratio(13, 50), Some(ratio("1/4")));
        assert_eq!(parsed.client_ratio(49, 50), Some(Ratio::ONE));
        assert_eq!(parsed.client_ratio(50, 50), None);
        assert_eq!(parsed.client_ratio(0, 0), None);
    }

    #[test]
    fn a_budget_under_the_base_width_is_an_error() {
        let message = bases(ratio("1/8"), ratio("1/4")).unwrap_err().to_string();
        assert!(message.contains("budget 1/8") && message.contains("base-width"), "{message}");
        assert_eq!(bases(ratio("3/8"), ratio("1/4")).unwrap(), 1);
    }

    #[test]
    fn what_does_not_parse_is_told_with_the_forms() {
        for text in [
            "",
            "8-",
            "8--4",
            "0",
            "8-4d5",
            "8d0",
            "x",
            "8-4-2-1-",
            "ln",
            "ln0.5",
            "ln0.5-0.4",
            "ln0_1",
            "ln1_-1",
            "lnnan_1",
            "ln1_inf",
            "ln0.01_0.01",
            "0.5-1",
            "8d3d1",
        ] {
            let message = Budgets::parse(text).unwrap_err().to_string();
            assert!(message.contains("8-4-2-1") && message.contains("lnS_M"), "{text}: {message}");
        }
        assert!(Budgets::parse("8-x-1").unwrap_err().to_string().contains("the part \"x\""));
    }

    #[test]
    fn budgets_serialise_as_text() {
        for text in ["\"8-4-8d3-2\"", "\"ln0.5_0.4\""] {
            let parsed: Budgets = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), text);
        }
        assert!(serde_json::from_str::<Budgets>("\"9d\"").is_err());
    }
}
