//! The training methods: each describes itself at the end of its file, and everything else that depends on the method reads it from here.

use super::options::{MethodOption, OwnOptions};
use super::{Algorithm, fed_avg, fesem, hetero_fl, ifca, split_mix};
use crate::fl::budget::{Budgets, Ratio};
use crate::text::{all_of, one_of, written_as_text};
use crate::{Error, Result};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// All methods, in the order of `--help`; the first is the default. A new one is its file and a line here.
pub static METHODS: &[&Method] = &[
    &split_mix::METHOD,
    &fed_avg::METHOD,
    &hetero_fl::METHOD,
    &hetero_fl::SLIMMABLE,
    &fesem::METHOD,
    &ifca::METHOD,
    #[cfg(test)]
    &super::probe::METHOD,
];

/// A training method.
#[derive(Clone, Copy)]
pub struct Method {
    /// Its name in files and on the command line, in small letters.
    pub name: &'static str,
    /// What it is, in a few words for `--help`.
    pub help: &'static str,
    /// Keys of the options that it reads of those that only some methods read. An option that no method lists here concerns all.
    pub reads: &'static [&'static str],
    /// Options of its own.
    pub options: &'static [MethodOption],
    /// Options that must keep their default with it: key and reason.
    pub refuses: &'static [(&'static str, &'static str)],
    /// Options that it does not read, with more to say than which methods do: key and hint.
    pub hints: &'static [(&'static str, &'static str)],
    /// Checks rules between its own options; each is within its range already.
    pub check: fn(&Settings) -> Result<()>,
    /// The algorithm with its options.
    pub build: fn(&Settings) -> Arc<dyn Algorithm>,
}

/// What a method may be built from.
pub struct Settings<'a> {
    /// The largest width that each group of clients can train.
    pub budgets: &'a Budgets,
    /// Width of one base of an ensemble.
    pub base_width: Ratio,
    /// Width of a network that all clients train.
    pub width: Ratio,
    /// Whether a client counts once for every width that it trains.
    pub count_widths: bool,
    /// The methods' own options.
    pub own: &'a OwnOptions,
}

impl Method {
    /// Whether a run of this method depends on the option of that key, as far as the method decides.
    pub fn concerns(&self, key: &str) -> bool {
        let lists = |method: &Method| method.reads.contains(&key) || method.options.iter().any(|option| option.key() == key);
        lists(self) || !METHODS.iter().any(|method| lists(method))
    }

    /// Why an option of other methods has no effect with this one.
    pub fn why_not(&self, key: &str) -> String {
        match self.hints.iter().find(|(other, _)| *other == key) {
            Some((_, hint)) => (*hint).into(),
            None => format!("it is for {}", all_of(&names(|method| method.concerns(key)))),
        }
    }
}

/// The names of the methods of some kind.
fn names(wanted: impl Fn(&Method) -> bool) -> Vec<&'static str> {
    METHODS.iter().filter(|method| wanted(method)).map(|method| method.name).collect()
}

/// What `--method` chooses from, for `--help`.
pub fn help() -> String {
    let described = METHODS.iter().map(|method| format!("`{}` ({})", method.name, method.help));
    format!("Algorithm: {}", described.collect::<Vec<_>>().join("; "))
}

/// One of [`METHODS`], by its name.
#[derive(Clone, Copy)]
pub struct MethodName(&'static Method);

written_as_text!(MethodName);

impl Default for MethodName {
    fn default() -> MethodName {
        MethodName(METHODS[0])
    }
}

impl Deref for MethodName {
    type Target = Method;
    fn deref(&self) -> &Method {
        self.0
    }
}

impl PartialEq for MethodName {
    fn eq(&self, other: &MethodName) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl FromStr for MethodName {
    type Err = Error;
    /// In any letter case.
    ///
    /// # Errors
    /// [`Error::Config`] listing the names.
    fn from_str(text: &str) -> Result<MethodName> {
        let found = METHODS.iter().find(|method| method.name.eq_ignore_ascii_case(text));
        let unknown = || Error::Config(format!("\"{text}\" is not a training method: choose {}", one_of(&names(|_| true))));
        found.map(|method| MethodName(method)).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_name_options_that_exist_and_share_only_equal_ones() {
        let keys = crate::run::TrainConfig::keys();
        for (i, method) in METHODS.iter().enumerate() {
            assert!(METHODS[..i].iter().all(|other| other.name != method.name), "{}", method.name);
            let named = method.reads.iter().chain(method.refuses.iter().chain(method.hints).map(|(key, _)| key));
            for key in named {
                assert!(keys.iter().any(|own| own == key), "{}: {key}", method.name);
            }
            assert!(method.hints.iter().all(|(key, _)| !method.concerns(key)), "{}", method.name);
            for option in method.options {
                assert_eq!(keys.iter().filter(|key| *key == option.key()).count(), 1, "{}", option.key());
                assert_eq!(MethodOption::of(option.key()), Some(option));
            }
        }
    }

    #[test]
    fn an_option_concerns_the_methods_that_read_it_or_all() {
        let of = |key: &str| names(|method| method.concerns(key));
        assert_eq!(of("base-width"), ["split-mix"]);
        assert_eq!(of("count-widths"), ["shetero-fl"]);
        assert_eq!(of("budgets"), ["split-mix", "hetero-fl", "shetero-fl"]);
        assert_eq!(of("probe-parts"), ["probe"]);
        assert_eq!(of("lr").len(), METHODS.len());
        let fedavg: MethodName = "FedAvg".parse().unwrap();
        assert_eq!(fedavg.why_not("base-width"), "it is for split-mix");
        assert_eq!(fedavg.why_not("budgets"), "its clients all train one width");
    }

    #[test]
    fn a_name_that_is_not_there_is_refused_with_those_that_are() {
        let message = "fedprox".parse::<MethodName>().unwrap_err().to_string();
        assert!(message.contains("is not a training method: choose split-mix, fedavg, hetero-fl, shetero-fl"), "{message}");
        for name in ["Split-Mix", "SPLIT-MIX"] {
            assert_eq!(name.parse::<MethodName>().unwrap(), MethodName::default());
        }
    }
}
