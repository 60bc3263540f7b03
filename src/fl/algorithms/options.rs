//! Options that belong to a method alone: it declares them in its own file; files, flags and checkpoints follow.

use super::registry::METHODS;
use crate::text::one_of;
use crate::{Error, Result};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// An option that is a whole number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whole {
    /// The key in files; with two hyphens, the flag.
    pub key: &'static str,
    /// What it means, for `--help`.
    pub help: &'static str,
    /// The smallest value.
    pub least: usize,
    /// The largest value.
    pub most: usize,
    /// The value when it is not given.
    pub default: usize,
}

/// An option that is a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// The key in files; with two hyphens, the flag.
    pub key: &'static str,
    /// What it means, for `--help`.
    pub help: &'static str,
    /// The smallest value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
    /// The value when it is not given.
    pub default: f64,
}

/// An option that is one of some names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The key in files; with two hyphens, the flag.
    pub key: &'static str,
    /// What it means, for `--help`.
    pub help: &'static str,
    /// The names, in small letters.
    pub names: &'static [&'static str],
    /// The name when it is not given.
    pub default: &'static str,
}

/// An option that is on or off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Switch {
    /// The key in files; with two hyphens, the flag.
    pub key: &'static str,
    /// What it means, for `--help`.
    pub help: &'static str,
    /// Whether it is on when it is not given.
    pub default: bool,
}

/// An option of any kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MethodOption {
    /// A whole number.
    Whole(Whole),
    /// A number.
    Number(Number),
    /// One of some names.
    Choice(Choice),
    /// On or off.
    Switch(Switch),
}

/// A value of an option.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Of [`Whole`].
    Whole(usize),
    /// Of [`Number`].
    Number(f64),
    /// Of [`Choice`].
    Name(&'static str),
    /// Of [`Switch`].
    Switch(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Whole(number) => number.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Name(name) => name.fmt(f),
            Value::Switch(on) => on.fmt(f),
        }
    }
}

impl MethodOption {
    /// The option of that key, of whatever method.
    pub fn of(key: &str) -> Option<&'static MethodOption> {
        MethodOption::all().find(|option| option.key() == key)
    }

    /// The options of all methods. Methods may share one: it is among them once.
    pub fn all() -> impl Iterator<Item = &'static MethodOption> {
        let listed = |before: usize, key: &str| METHODS[..before].iter().any(|method| method.options.iter().any(|o| o.key() == key));
        let new = move |(i, method): (usize, &&'static super::registry::Method)| {
            method.options.iter().filter(move |option| !listed(i, option.key()))
        };
        METHODS.iter().enumerate().flat_map(new)
    }

    /// The key in files; with two hyphens, the flag.
    pub fn key(&self) -> &'static str {
        self.parts().0
    }

    /// What it means.
    pub fn help(&self) -> &'static str {
        self.parts().1
    }

    /// The value when it is not given.
    pub fn default(&self) -> Value {
        self.parts().2
    }

    fn parts(&self) -> (&'static str, &'static str, Value) {
        match self {
            MethodOption::Whole(o) => (o.key, o.help, Value::Whole(o.default)),
            MethodOption::Number(o) => (o.key, o.help, Value::Number(o.default)),
            MethodOption::Choice(o) => (o.key, o.help, Value::Name(o.default)),
            MethodOption::Switch(o) => (o.key, o.help, Value::Switch(o.default)),
        }
    }

    /// What a value must be, in words, whatever its range.
    pub fn wanted(&self) -> String {
        match self {
            MethodOption::Whole(option) => format!("a whole number, at least {}", option.least),
            MethodOption::Number(_) => "a number".into(),
            MethodOption::Choice(option) => one_of(option.names),
            MethodOption::Switch(_) => "true or false".into(),
        }
    }

    /// The value that a file has; nothing if it is of another kind.
    fn read(&self, value: &serde_json::Value) -> Option<Value> {
        match self {
            MethodOption::Whole(_) => value.as_u64().and_then(|number| usize::try_from(number).ok()).map(Value::Whole),
            MethodOption::Number(_) => value.as_f64().map(Value::Number),
            MethodOption::Choice(option) => option.name(value.as_str()?).map(Value::Name),
            MethodOption::Switch(_) => value.as_bool().map(Value::Switch),
        }
    }

    /// # Errors
    /// [`Error::Config`] naming the key, the value and the range, if the value is outside the range.
    fn check(&self, value: Value) -> Result<()> {
        let what = match (self, value) {
            (MethodOption::Whole(o), Value::Whole(number)) if number < o.least => format!("at least {}", o.least),
            (MethodOption::Whole(o), Value::Whole(number)) if number > o.most => format!("at most {}", o.most),
            (MethodOption::Number(o), Value::Number(number)) if !(o.least..=o.most).contains(&number) => {
                format!("a number from {} to {}", o.least, o.most)
            }
            _ => return Ok(()),
        };
        Err(Error::Config(format!("{} = {value}: it must be {what}", self.key())))
    }
}

impl Choice {
    /// The name that a text means, in any letter case.
    pub fn name(&self, text: &str) -> Option<&'static str> {
        self.names.iter().find(|name| name.eq_ignore_ascii_case(text)).copied()
    }
}

/// Values of methods' own options by key: flat among the other keys of a configuration. Those that are not given are absent and have their
/// defaults; a validated configuration has all those of its method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnOptions(BTreeMap<&'static str, Value>);

impl OwnOptions {
    /// The value of a whole number.
    pub fn whole(&self, option: &Whole) -> usize {
        match self.0.get(option.key) {
            Some(Value::Whole(number)) => *number,
            _ => option.default,
        }
    }

    /// The value of a number.
    pub fn number(&self, option: &Number) -> f64 {
        match self.0.get(option.key) {
            Some(Value::Number(number)) => *number,
            _ => option.default,
        }
    }

    /// The name that is chosen.
    pub fn choice(&self, option: &Choice) -> &'static str {
        match self.0.get(option.key) {
            Some(Value::Name(name)) => name,
            _ => option.default,
        }
    }

    /// Whether it is on.
    pub fn switch(&self, option: &Switch) -> bool {
        match self.0.get(option.key) {
            Some(Value::Switch(on)) => *on,
            _ => option.default,
        }
    }

    /// The keys and values that are given.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    /// Takes a value.
    pub fn set(&mut self, option: &MethodOption, value: Value) {
        self.0.insert(option.key(), value);
    }

    /// Takes the values of another one.
    pub fn extend(&mut self, other: OwnOptions) {
        self.0.extend(other.0);
    }

    /// Checks every value's range, and takes the defaults of those of `options` that are absent.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, the value and the range.
    pub fn complete(&mut self, options: &[MethodOption]) -> Result<()> {
        for option in MethodOption::all() {
            self.0.get(option.key()).map_or(Ok(()), |value| option.check(*value))?;
        }
        for option in options {
            self.0.entry(option.key()).or_insert(option.default());
        }
        Ok(())
    }
}

impl Serialize for OwnOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl<'de> Deserialize<'de> for OwnOptions {
    /// Takes all keys that the configuration around it does not know.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<OwnOptions, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = OwnOptions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("options of methods")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<OwnOptions, A::Error> {
                let mut own = OwnOptions::default();
                while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
                    let option = MethodOption::of(&key).ok_or_else(|| A::Error::unknown_field(&key, &[]))?;
                    let read = option.read(&value);
                    let wrong = || A::Error::custom(format!("invalid value of `{key}`: it must be {}", option.wanted()));
                    own.set(option, read.ok_or_else(wrong)?);
                }
                Ok(own)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}
