//! How options are written: messages for values of the wrong kind, and paths that begin at the user's home.

use super::config::{KINDS, TrainConfig};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Longest value that a message repeats, in characters.
const LONG: usize = 60;

/// Reads a text file.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, `action` saying what was tried; [`Error::Data`] naming the line that is not UTF-8.
pub fn read_text(path: &Path, action: &'static str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { action, path: path.into(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::Data(format!("{}, line {line}: this is not UTF-8 text: save the file as UTF-8", path.display()))
    })
}

/// A path as its user means it: `~` at its beginning is the user's home. No shell has seen the paths in files and those after `=`.
///
/// # Errors
/// [`Error::Config`] for another user's home and for a path that begins with a variable, which would become folders of these names.
pub fn expanded(path: PathBuf) -> Result<PathBuf> {
    // Not by components: `./~` and `./$x` are names like others.
    let Some(text) = path.to_str() else { return Ok(path) };
    let wrong = |what: &str| Error::Config(format!("{text}: {what}"));
    if text.starts_with("$") {
        return Err(wrong("variables are not replaced here: write the whole path, or ~/ for your home, or ./$ for a folder of this name"));
    }
    let Some(rest) = text.strip_prefix('~') else { return Ok(path) };
    match rest.strip_prefix(std::path::is_separator) {
        None if !rest.is_empty() => Err(wrong("only your own home is known as ~/: write the whole path, or ./~ for a folder of this name")),
        inside => {
            let home = dirs::home_dir().ok_or_else(|| wrong("your home folder is not known: write the whole path"))?;
            // `~//x` is `~/x`: joined, an absolute path would take the place of home.
            Ok(home.join(inside.unwrap_or_default().trim_start_matches(std::path::is_separator)))
        }
    }
}

/// What is wrong with the TOML text of a configuration: line (from 1) and message, with the wanted form by example.
pub(super) fn explained(text: &str, error: &toml::de::Error) -> (usize, String) {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = line_of(text, start);
    let entry = entry_at(text, start);
    if let Some(unknown) = unknown_key(error.message()) {
        let section = entry.as_ref().is_some_and(|(_, value)| value.is_table());
        let hint = if section { "; the file has no sections: leave the line out".into() } else { suggestion(unknown) };
        return (line, format!("unknown key \"{unknown}\"{hint}"));
    }
    let Some((key, value)) = entry.filter(|(key, _)| TrainConfig::keys().contains(key)) else {
        return (line, one_line(error.message()));
    };
    // A description of a network is tried against two forms, and the error is of neither.
    if let (toml::Value::Table(network), "network") = (&value, key.as_str())
        && let Err(error) = crate::net::Architecture::from_toml(&network.to_string())
    {
        return (line, format!("{key}: {error}"));
    }
    let of_kind = ["invalid type", "invalid value", "invalid length", "data did not match"];
    match of_kind.iter().any(|head| error.message().starts_with(head)) {
        true => (line, wanted(&key, &value)),
        false => (line, format!("{key}: {}", one_line(error.message()))),
    }
}

/// The message of a value of another kind than the option's: what it must be, and how that is written.
fn wanted(key: &str, value: &toml::Value) -> String {
    let kind = KINDS.iter().find(|(name, _)| name.replace('_', "-") == key).map_or("", |(_, kind)| kind);
    let default = default_of(key, kind);
    let text = match value {
        toml::Value::String(text) => text.trim().to_string(),
        other => other.to_string(),
    };
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let (what, example) = match kind {
        "usize" | "u64" => {
            let number = text.parse::<f64>().ok().filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 1e15).map(|n| n.to_string());
            (format!("a whole number, {}", least_of(key)), number.unwrap_or(default))
        }
        "f64" => {
            let number = text.replace(',', ".").parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| n.to_string());
            ("a number".into(), number.unwrap_or(default))
        }
        "bool" => {
            let yes = ["true", "yes", "on", "1", "1.0"].contains(&text.to_lowercase().as_str());
            ("true or false, without quotes".into(), yes.to_string())
        }
        "Names" | "Widths" => {
            let what = if kind == "Names" { "a list of names, each in quotes" } else { "a list of widths" };
            let items: Vec<String> = match value {
                toml::Value::Array(items) => items.iter().map(|i| i.as_str().map_or(quoted(&i.to_string()), quoted)).collect(),
                _ => text.split(',').map(|part| quoted(part.trim())).collect(),
            };
            (what.into(), format!("[{}]", items.join(", ")))
        }
        "NetworkChoice" => ("the name of a network or of its file, in quotes".into(), quoted("digits")),
        "Ratio" => ("a width".into(), default),
        "PathBuf" | "String" if !value.is_array() && !value.is_table() => ("text in quotes".into(), quoted(&text)),
        _ => ("text in quotes".into(), default),
    };
    format!("{key} = {}: it must be {what}: write {key} = {example}", short(&value.to_string()))
}

/// An option's default as it is written in a file, or an example where it has none.
fn default_of(key: &str, kind: &str) -> String {
    let default = toml::Table::try_from(TrainConfig::default()).ok().and_then(|all| all.get(key).map(ToString::to_string));
    let example = match kind {
        "usize" | "u64" => "4",
        "f64" => "0.5",
        "bool" => "true",
        "ByteSize" => "\"2GiB\"",
        "PartitionName" => "\"iid\"",
        "TestPartition" => "\"own\"",
        "Stages" => "[\"18/18\"]",
        _ => "\"name\"",
    };
    default.unwrap_or_else(|| example.into())
}

/// The least value of an option that is a whole number, in words: what the check of a configuration says of a 0.
pub(crate) fn least_of(key: &str) -> String {
    let any = "at least 0".to_string();
    let Ok(mut options) = toml::Table::try_from(TrainConfig::default()) else { return any };
    options.insert(key.into(), toml::Value::Integer(0));
    let checked = options.try_into::<TrainConfig>().map(TrainConfig::validate);
    let Ok(Err(Error::Config(message))) = checked else { return any };
    let least = message.strip_prefix(&format!("{key} = 0: it must be ")).and_then(|range| range.split([',', ':']).next());
    least.map_or(any, String::from)
}

/// The entry of a TOML text whose key or value is at a byte offset.
fn entry_at(text: &str, offset: usize) -> Option<(String, toml::Value)> {
    let whole = toml::de::DeTable::parse(text).ok()?;
    let at = |span: std::ops::Range<usize>| span.contains(&offset);
    let (key, _) = whole.get_ref().iter().find(|(key, value)| at(key.span()) || at(value.span()))?;
    let key = key.get_ref().to_string();
    let value = toml::from_str::<toml::Table>(text).ok()?.remove(&key)?;
    Some((key, value))
}

/// Line number (from 1) of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// A message of the TOML reader, which may have several lines, as one.
pub(crate) fn one_line(message: &str) -> String {
    message.trim().replace('\n', ", ")
}

fn short(text: &str) -> String {
    let text = one_line(text);
    if text.chars().count() <= LONG { text } else { text.chars().take(LONG).chain("…".chars()).collect() }
}

fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

fn suggestion(unknown: &str) -> String {
    let keys = TrainConfig::keys();
    let distance = |key: &String| strsim::damerau_levenshtein(key, &unknown.replace('_', "-").to_lowercase());
    match keys.iter().min_by_key(|key| distance(key)) {
        Some(nearest) if distance(nearest) <= 1 + nearest.len() / 3 => {
            format!(": did you mean {nearest}?")
        }
        _ => ": splitmix train --help lists the options".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        TrainConfig::from_toml(text, Path::new("my.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_value_of_another_kind_is_shown_as_it_is_written() {
        for (line, said) in [
            ("rounds = \"1\"", "rounds = \"1\": it must be a whole number, at least 1: write rounds = 1"),
            ("rounds = \"many\"", "rounds = \"many\": it must be a whole number, at least 1: write rounds = 18"),
            ("rounds = -1", "rounds = -1: it must be a whole number, at least 1: write rounds = 18"),
            ("batch-size = true", "batch-size = true: it must be a whole number, at least 3: write batch-size = 16"),
            ("domain-order = \"2\"", "domain-order = \"2\": it must be a whole number, at least 0: write domain-order = 2"),
            ("seed = 1.0", "seed = 1.0: it must be a whole number, at least 0: write seed = 1"),
            ("clients-per-round = -3", "clients-per-round = -3: it must be a whole number, at least 1: write clients-per-round = 4"),
            ("lr = \"0.1\"", "lr = \"0.1\": it must be a number: write lr = 0.1"),
            ("lr = \"0,1\"", "lr = \"0,1\": it must be a number: write lr = 0.1"),
            ("lr = [0.1]", "lr = [0.1]: it must be a number: write lr = 0.05"),
            ("flip = 1", "flip = 1: it must be true or false, without quotes: write flip = true"),
            ("flip = \"no\"", "flip = \"no\": it must be true or false, without quotes: write flip = false"),
            ("domains = \"mnist\"", "domains = \"mnist\": it must be a list of names, each in quotes: write domains = [\"mnist\"]"),
            (
                "domains = \"mnist, usps\"",
                "domains = \"mnist, usps\": it must be a list of names, each in quotes: write domains = [\"mnist\", \"usps\"]",
            ),
            ("domains = [1]", "domains = [1]: it must be a list of names, each in quotes: write domains = [\"1\"]"),
            ("widths = 0.5", "widths = 0.5: it must be a list of widths: write widths = [\"0.5\"]"),
            ("base-width = true", "base-width = true: it must be a width: write base-width = \"1/8\""),
            ("bn-mode = 1", "bn-mode = 1: it must be text in quotes: write bn-mode = \"batch\""),
            ("budgets = [8, 4]", "budgets = [8, 4]: it must be text in quotes: write budgets = \"8-4-2-1\""),
            ("memory-limit = 4", "memory-limit = 4: it must be text in quotes: write memory-limit = \"2GiB\""),
            ("adapter = 0", "adapter = 0: it must be text in quotes: write adapter = \"0\""),
            ("out = 7", "out = 7: it must be text in quotes: write out = \"7\""),
            ("network = 5", "network = 5: it must be the name of a network or of its file, in quotes: write network = \"digits\""),
        ] {
            assert_eq!(wrong(line), format!("my.toml, line 1: {said}"));
        }
        let message = wrong("rounds = 2\nwidths = [\n  \"1/8\",\n  true,\n]");
        assert_eq!(message, "my.toml, line 4: widths = [\"1/8\", true]: it must be a list of widths: write widths = [\"1/8\", \"true\"]");
        let message = wrong("network = { name = \"x\", input = [3, 8, 8] }");
        assert!(message.starts_with("my.toml, line 1: network: ") && message.contains("layers") && !message.contains('\n'), "{message}");
        assert_eq!(wrong("[train]\nrounds = 1"), "my.toml, line 1: unknown key \"train\"; the file has no sections: leave the line out");
    }

    #[test]
    fn every_option_has_a_kind_that_messages_know() {
        for (key, kind) in KINDS {
            let key = key.replace('_', "-");
            // A date is of no option's kind.
            let message = wrong(&format!("{key} = 2020-01-01"));
            let start = format!("my.toml, line 1: {key} = 2020-01-01: it must be ");
            assert!(message.starts_with(&start) && message.contains(&format!(": write {key} = ")), "{kind}: {message}");
            // What a message says to write is of the right kind, though it may be out of range.
            if let Some((_, example)) = message.split_once(": write ") {
                let read = toml::from_str::<TrainConfig>(example);
                assert!(read.is_ok() || example.contains("2020-01-01"), "{example}: {read:?}");
            }
        }
    }

    #[test]
    fn home_is_where_a_path_with_a_tilde_begins() {
        let home = dirs::home_dir().unwrap();
        let path = |text: &str| expanded(text.into());
        assert_eq!(path("~/x/y").unwrap(), home.join("x/y"));
        assert_eq!(path("~").unwrap(), home);
        assert_eq!(path("~//x").unwrap(), home.join("x"));
        for plain in ["x", "/x/~", "./~x", "a~b", ""] {
            assert_eq!(path(plain).unwrap(), PathBuf::from(plain));
        }
        assert!(path("~bob/x").unwrap_err().to_string().starts_with("~bob/x: only your own home is known as ~/"));
        assert!(path("$HOME/x").unwrap_err().to_string().starts_with("$HOME/x: variables are not replaced here"));
    }

    #[test]
    fn text_of_another_encoding_is_refused_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("latin.toml");
        std::fs::write(&file, b"rounds = 1\n# caf\xe9\n").unwrap();
        let error = read_text(&file, "cannot read").unwrap_err();
        assert_eq!(error.to_string(), format!("{}, line 2: this is not UTF-8 text: save the file as UTF-8", file.display()));
        assert_eq!(error.exit_code(), 2);
        assert_eq!(read_text(folder.path(), "cannot read").unwrap_err().exit_code(), 2);
    }
}
