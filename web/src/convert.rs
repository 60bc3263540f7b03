//! What JavaScript says, in Rust's types, and the other way round.

use js_sys::{Object, Reflect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_aux::serde_introspection::serde_introspect;
pub use splitmix_fl::camel_case as option_name;
use splitmix_fl::fl::Ratio;
use splitmix_fl::run::TrainConfig;
use splitmix_fl::{Error, Result};
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::*;

/// An error as JavaScript gets it: an `Error` of name `SplitmixError` with a `kind`.
pub(crate) fn fail(error: Error) -> JsValue {
    let kind = match &error {
        Error::Config(_) => "config",
        Error::Data(_) => "data",
        Error::Gpu(_) => "gpu",
        Error::Training(_) => "training",
        Error::Interrupted(_) => "interrupted",
        Error::Io { .. } | Error::Network(_) => "system",
    };
    let js = js_sys::Error::new(&error.to_string());
    js.set_name("SplitmixError");
    // An object that was made here takes any property.
    let _ = Reflect::set(&js, &"kind".into(), &kind.into());
    js.into()
}

/// What a JavaScript value says, if anything.
///
/// # Errors
/// [`Error::Config`] with what is wrong about it, such as a field that the type does not have.
pub(crate) fn read<T: DeserializeOwned + Default>(what: &str, value: &JsValue) -> Result<T> {
    if value.is_undefined() || value.is_null() {
        return Ok(T::default());
    }
    // serde-wasm-bindgen asks an object for the fields that it knows, and so denies no unknown ones.
    let fields = serde_introspect::<T>();
    if let Some(object) = value.dyn_ref().filter(|_| !fields.is_empty()) {
        check_fields(what, object, fields)?;
    }
    serde_wasm_bindgen::from_value(value.clone()).map_err(|error| Error::Config(format!("{what}: {error}")))
}

/// # Errors
/// [`Error::Config`] for a key of the object that is none of the fields.
pub(crate) fn check_fields(what: &str, object: &Object, fields: &[&str]) -> Result<()> {
    match Object::keys(object).iter().filter_map(|key| key.as_string()).find(|key| !fields.contains(&key.as_str())) {
        Some(key) => Err(Error::Config(format!("{what}: there is no {key}; there are {}", fields.join(", ")))),
        None => Ok(()),
    }
}

/// A value as JavaScript gets it, with its TypeScript type.
pub(crate) fn give<T: Tsify + Serialize>(value: &T) -> std::result::Result<Ts<T>, JsValue> {
    Ok(Ts::new_unchecked(value.into_js()?.unchecked_into()))
}

/// The same of several.
pub(crate) fn give_all<T: Tsify + Serialize>(values: impl IntoIterator<Item = T>) -> std::result::Result<Vec<Ts<T>>, JsValue> {
    values.into_iter().map(|value| give(&value)).collect()
}

/// The keys of the options that there are in a browser, in their order.
pub fn option_keys() -> Vec<String> {
    TrainConfig::keys().into_iter().filter(|key| TrainConfig::about(key).browser).collect()
}

/// The configuration that options in camelCase make of another, not yet validated.
///
/// # Errors
/// [`Error::Config`] for an option that there is not or whose value cannot be.
pub(crate) fn configuration(base: &TrainConfig, options: &JsValue) -> Result<TrainConfig> {
    configured(base, read("options", options)?)
}

fn configured(base: &TrainConfig, given: serde_json::Map<String, serde_json::Value>) -> Result<TrainConfig> {
    let keys = option_keys();
    let mut all = serde_json::to_value(base).map_err(|error| Error::Config(format!("options: {error}")))?;
    for (name, value) in given {
        let key = kebab(&name);
        if !TrainConfig::about(&key).browser {
            return Err(Error::Config(format!("options: {name} is for the command line alone: in a browser, leave it out")));
        }
        if !keys.contains(&key) {
            let names: Vec<String> = keys.iter().map(|key| option_name(key)).collect();
            return Err(Error::Config(format!("options: there is no {name}; there are {}", names.join(", "))));
        }
        all[&key] = value;
    }
    serde_json::from_value(all).map_err(|error| Error::Config(format!("options: {error}")))
}

/// `clientsPerDomain` as `clients-per-domain`.
fn kebab(name: &str) -> String {
    name.chars().flat_map(|c| c.is_ascii_uppercase().then_some('-').into_iter().chain([c.to_ascii_lowercase()])).collect()
}

/// A width, `0.375` or `"3/8"`.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub(crate) enum Width {
    Number(f64),
    Text(String),
}

impl Width {
    /// # Errors
    /// [`Error::Config`] for what is no width.
    pub fn ratio(&self) -> Result<Ratio> {
        match self {
            Width::Text(text) => text.parse(),
            Width::Number(number) => {
                // Bases are at most so narrow.
                let of = |d: u32| (number * f64::from(d)).fract() == 0.0 && *number > 0.0 && *number <= 1.0;
                let denominator = (1..=1024).find(|d| of(*d));
                let denominator =
                    denominator.ok_or_else(|| Error::Config(format!("width {number}: it is a share such as 0.375 or \"3/8\"")))?;
                format!("{}/{denominator}", number * f64::from(denominator)).parse()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_options_both_ways() {
        for key in TrainConfig::keys() {
            assert_eq!(kebab(&option_name(&key)), key);
        }
        assert_eq!(option_name("clients-per-domain"), "clientsPerDomain");
    }

    #[test]
    fn options_of_the_command_line_alone_are_refused_and_others_are_taken() {
        let with = |name: &str, value: &str| {
            configured(&TrainConfig::default(), serde_json::Map::from_iter([(name.to_string(), serde_json::Value::from(value))]))
        };
        let native: Vec<String> = TrainConfig::keys().into_iter().filter(|key| !option_keys().contains(key)).collect();
        for key in ["data", "data-dir", "clients-file", "test-ratio", "rounds-before", "init", "adapter", "out", "checkpoint-every"] {
            assert!(native.contains(&key.to_string()), "{key}");
        }
        for key in native {
            let name = option_name(&key);
            let message = with(&name, "x").unwrap_err().to_string();
            assert!(message.contains(&format!("{name} is for the command line alone")), "{message}");
        }
        assert_eq!(with("memoryLimit", "1MiB").unwrap().memory_limit.unwrap().0, 1 << 20);
        let message = with("memory", "1MiB").unwrap_err().to_string();
        assert!(message.contains("there is no memory; there are domains") && !message.contains("adapter"), "{message}");
    }

    #[test]
    fn widths_as_numbers_and_as_text() {
        assert_eq!(Width::Number(0.375).ratio().unwrap().to_string(), "3/8");
        assert_eq!(Width::Number(1.0).ratio().unwrap(), Ratio::ONE);
        assert_eq!(Width::Text("1/8".into()).ratio().unwrap(), Ratio::EIGHTH);
        for bad in [0.0, -0.5, 1.5, f64::NAN, 0.1234567] {
            assert!(Width::Number(bad).ratio().is_err(), "{bad}");
        }
    }
}
