//! How options are written: messages for values of the wrong kind, and paths that begin at the user's home.

use super::config::TrainConfig;
use crate::fl::algorithms::options::MethodOption;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Longest value that a message repeats, in characters.
const LONG: usize = 60;

/// Reads a text file.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, `action` saying what was tried; [`Error::Data`] naming the line that is not UTF-8.
pub fn read_text(path: &Path, action: &'static str) -> Result<String> {
    text_of(read(path, action)?, path)
}

fn read(path: &Path, action: &'static str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io { action, path: path.into(), source })
}

fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::Data(format!("{}, line {line}: this is not UTF-8 text: save the file as UTF-8", path.display()))
    })
}

/// Reads a file of options.
///
/// # Errors
/// As [`read_text`]; [`Error::Data`] for a checkpoint, a picture or a web page.
pub fn read_options(path: &Path, action: &'static str) -> Result<String> {
    const PICTURES: [&[u8]; 4] = [b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF"];
    let bytes = read(path, action)?;
    let what = if bytes.get(8) == Some(&b'{') && std::str::from_utf8(&bytes).is_err() {
        "a checkpoint"
    } else if PICTURES.iter().any(|head| bytes.starts_with(head)) {
        "a picture"
    } else if bytes.trim_ascii_start().starts_with(b"<") {
        "a web page or an XML file"
    } else {
        return text_of(bytes, path);
    };
    Err(Error::Data(format!("{}: this is {what}: name a TOML file of options, as the config.toml in a run's folder", path.display())))
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
    // What is found wrong after the whole table was read has a key and no place.
    let named = unknown_key(error.message()).or_else(|| key_after(error.message(), "invalid value of `"));
    let (entry, start) = match entry_of(text, start, named) {
        Some((key, value, start)) => (Some((key, value)), start),
        None => (None, start),
    };
    let line = line_of(text, start);
    if let Some(unknown) = unknown_key(error.message()) {
        let section = entry.as_ref().is_some_and(|(_, value)| value.is_table());
        let hint = match nearest(unknown, &TrainConfig::keys()) {
            _ if ["grid", "options"].contains(&unknown) => "; this is the file of a sweep: run it with splitmix sweep".into(),
            _ if section => "; the file has no sections: leave the line out".into(),
            Some(nearest) => format!(": did you mean {nearest}?"),
            None => ": splitmix train --help lists the options".into(),
        };
        return (line, format!("unknown key \"{unknown}\"{hint}"));
    }
    let Some((key, value)) = entry.filter(|(key, _)| TrainConfig::keys().contains(key)) else {
        return misspelled(text, error);
    };
    // A description of a network is tried against two forms, and the error is of neither.
    if let (toml::Value::Table(network), "network") = (&value, key.as_str())
        && let Err(error) = crate::net::Architecture::from_toml(&network.to_string())
    {
        return (line, format!("{key}: {error}"));
    }
    let of_kind = ["invalid type", "invalid value", "invalid length", "data did not match"];
    match of_kind.iter().any(|head| error.message().starts_with(head)) {
        true => (line, format!("{key} = {}: {}", short(&value.to_string()), wanted(&key, &value))),
        false => (line, format!("{key}: {}", error.message())),
    }
}

/// What is wrong with a text that is not TOML: line (from 1) and message, with the right form where the line shows what is meant.
pub(crate) fn misspelled(text: &str, error: &toml::de::Error) -> (usize, String) {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    let written = text.lines().nth(line - 1).unwrap_or_default().trim();
    let parts = |line: &str| {
        let (key, value) = line.split_once(['=', ':']).or_else(|| line.split_once(char::is_whitespace)).unwrap_or((line, ""));
        (key.trim().trim_matches('"').to_string(), value.to_string())
    };
    let (key, value) = parts(written);
    if error.message().starts_with("duplicate key") {
        let before = text.lines().take(line - 1).collect::<Vec<_>>().iter().rposition(|line| parts(line.trim()).0 == key);
        let place = before.map_or("above".into(), |before| format!("in line {}", before + 1));
        return (line, format!("{key} is set twice, the first time {place}: leave one of them out"));
    }
    let quotes = ['"', '\'', '“', '”', '„', '‘', '’'];
    let value = if value.contains(quotes) { value.as_str() } else { value.split('#').next().unwrap_or_default() };
    let value = value.trim().trim_start_matches('=').trim_end_matches([';', ',']).trim();
    let plain = value.trim_matches(quotes);
    let is_name = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let what = match value.strip_prefix('[').map(|list| list.trim_end_matches(']')) {
        Some(list) if is_name && !list.contains(['"', '[', '{']) => {
            let item = |item: &str| if item.parse::<f64>().is_ok() { item.to_string() } else { quoted(item) };
            let items: Vec<String> = list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(item).collect();
            format!("a list has brackets, and text in it has quotes: write {key} = [{}]", items.join(", "))
        }
        None if is_name && value.contains('=') && !value.contains(quotes) && !value.starts_with('{') => {
            "write each option on its own line".into()
        }
        None if TrainConfig::keys().contains(&key) && !value.starts_with('{') => wanted(&key, &toml::Value::from(plain)),
        None if is_name && !plain.is_empty() && !value.starts_with('{') && plain.parse::<f64>().is_err() => {
            format!("text needs quotes: write {key} = {}", quoted(plain))
        }
        _ if error.message().starts_with("string values must be quoted") => {
            format!("text needs quotes: write {}", quoted(written.trim_end_matches(',')))
        }
        _ => format!("{}: write each line as key = value, with text in quotes", error.message()),
    };
    (line, format!("{}: {what}", short(written)))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What the value of an option must be, and how that is written.
fn wanted(key: &str, value: &toml::Value) -> String {
    let kind = TrainConfig::kind(key).unwrap_or_default();
    let default = default_of(key, kind);
    let text = match value {
        toml::Value::String(text) => text.trim().to_string(),
        other => other.to_string(),
    };
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
        "Choice" => {
            let names = MethodOption::of(key).map(MethodOption::wanted).unwrap_or_default();
            (format!("{names}, in quotes"), default)
        }
        "NetworkChoice" => ("the name of a network or of its file, in quotes".into(), quoted("digits")),
        "Ratio" => ("a width".into(), if value.is_str() { quoted(&text) } else { default }),
        "PathBuf" | "String" if !value.is_array() && !value.is_table() => ("text in quotes".into(), quoted(&text)),
        _ => ("text in quotes".into(), if value.is_str() && !text.is_empty() { quoted(&text) } else { default }),
    };
    format!("it must be {what}: write {key} = {example}")
}

/// An option's default as it is written on the command line, or an example where it has none; nothing for another command's own option.
pub(crate) fn example_of(key: &str) -> Option<String> {
    let kind = TrainConfig::kind(key)?;
    let default = if kind == "bool" { "true".into() } else { default_of(key, kind) };
    let plain = default.trim_matches(['[', ']', '"']);
    Some(if plain.is_empty() { "NAME".into() } else { plain.into() })
}

/// An option's default as it is written in a file, or an example where it has none.
fn default_of(key: &str, kind: &str) -> String {
    let default = toml::Table::try_from(TrainConfig::default()).ok().and_then(|all| all.get(key).map(ToString::to_string));
    let default = default.or_else(|| toml::Value::try_from(MethodOption::of(key)?.default()).ok().map(|value| value.to_string()));
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

/// The least value of an option that is a whole number, in words.
pub(crate) fn least_of(key: &str) -> String {
    bound(key, 0).unwrap_or_else(|| "at least 0".into())
}

/// The largest value of an option that is a whole number, in words.
pub(crate) fn most_of(key: &str) -> String {
    bound(key, i64::MAX).unwrap_or_else(|| format!("at most {}", i64::MAX))
}

/// What the check of a configuration says that an option must be, where it refuses this value.
fn bound(key: &str, value: i64) -> Option<String> {
    let mut options = toml::Table::try_from(TrainConfig::default()).ok()?;
    options.insert(key.into(), toml::Value::Integer(value));
    let Ok(Err(Error::Config(message))) = options.try_into::<TrainConfig>().map(TrainConfig::validate) else { return None };
    let range = message.strip_prefix(&format!("{key} = {value}: it must be "))?;
    range.split([',', ':']).next().map(String::from)
}

/// The entry of a TOML text that has this name or, without one, whose key or value is at a byte offset: key, value, and an offset in it.
fn entry_of(text: &str, offset: usize, name: Option<&str>) -> Option<(String, toml::Value, usize)> {
    let whole = toml::de::DeTable::parse(text).ok()?;
    let at = |span: std::ops::Range<usize>| span.contains(&offset);
    let (key, _) = whole.get_ref().iter().find(|(key, value)| match name {
        Some(name) => key.get_ref() == name,
        None => at(key.span()) || at(value.span()),
    })?;
    let place = if name.is_some() { key.span().start } else { offset };
    let key = key.get_ref().to_string();
    let value = toml::from_str::<toml::Table>(text).ok()?.remove(&key)?;
    Some((key, value, place))
}

/// Line number (from 1) of a byte offset.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn short(text: &str) -> String {
    let text = text.to_string();
    if text.chars().count() <= LONG { text } else { text.chars().take(LONG).chain("…".chars()).collect() }
}

fn unknown_key(message: &str) -> Option<&str> {
    key_after(message, "unknown field `")
}

/// The key that a message names after this beginning.
fn key_after<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.split('`').next()
}

/// Names that other programs have for options.
const ELSEWHERE: [(&str, &str); 8] = [
    ("clients", "clients-per-domain"),
    ("learning-rate", "lr"),
    ("gpu", "adapter"),
    ("device", "adapter"),
    ("output", "out"),
    ("output-dir", "out"),
    ("model", "network"),
    ("dataset", "data"),
];

/// The one of the names that is most likely meant, if any is: by its spelling, or by a part of it (`epochs` of `local-epochs`).
pub(crate) fn nearest(unknown: &str, names: &[String]) -> Option<String> {
    let unknown = unknown.replace('_', "-").to_lowercase();
    let known = |name: &str| names.iter().any(|other| other == name);
    let elsewhere = ELSEWHERE.into_iter().filter(|(_, name)| known(name));
    let spellings = names.iter().map(|name| (name.as_str(), name.as_str())).chain(elsewhere);
    let distance = |spelling: &str| strsim::damerau_levenshtein(spelling, &unknown);
    let closest = spellings.min_by_key(|(spelling, _)| distance(spelling));
    if let Some((_, name)) = closest.filter(|(spelling, _)| distance(spelling) <= 1 + spelling.len() / 3) {
        return Some(name.into());
    }
    let has = |name: &&String| unknown.len() >= 4 && name.split('-').any(|word| unknown.split('-').any(|part| part == word));
    names.iter().filter(has).min_by_key(|name| name.len()).cloned()
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
    fn a_line_that_is_not_toml_is_shown_with_the_right_form() {
        for (line, said) in [
            ("budgets = 8-4-2-1", "it must be text in quotes: write budgets = \"8-4-2-1\""),
            ("partition = iid # equal", "it must be text in quotes: write partition = \"iid\""),
            ("base-width = 1/8", "it must be a width: write base-width = \"1/8\""),
            ("lr = fast", "it must be a number: write lr = 0.05"),
            ("lr = 0,5", "it must be a number: write lr = 0.5"),
            ("lr = .5", "it must be a number: write lr = 0.5"),
            ("lr = 1.", "it must be a number: write lr = 1"),
            ("lr =", "it must be a number: write lr = 0.05"),
            ("rounds 5", "it must be a whole number, at least 1: write rounds = 5"),
            ("rounds: 5", "it must be a whole number, at least 1: write rounds = 5"),
            ("rounds == 5", "it must be a whole number, at least 1: write rounds = 5"),
            ("rounds = 05", "it must be a whole number, at least 1: write rounds = 5"),
            ("seed = 3;", "it must be a whole number, at least 0: write seed = 3"),
            ("rounds = 99999999999999999999", "it must be a whole number, at least 1: write rounds = 18"),
            ("flip = True", "it must be true or false, without quotes: write flip = true"),
            ("flip = no", "it must be true or false, without quotes: write flip = false"),
            ("out = \"runs/x", "it must be text in quotes: write out = \"runs/x\""),
            ("out = “runs/x”", "it must be text in quotes: write out = \"runs/x\""),
            ("data-dir = ~/x", "it must be text in quotes: write data-dir = \"~/x\""),
            ("out = \"C:\\Users\"", "it must be text in quotes: write out = 'C:\\Users'"),
            ("domains = [mnist, usps]", "a list has brackets, and text in it has quotes: write domains = [\"mnist\", \"usps\"]"),
            ("widths = [1/8, 1]", "a list has brackets, and text in it has quotes: write widths = [\"1/8\", 1]"),
            ("nonsense = maybe", "text needs quotes: write nonsense = \"maybe\""),
            ("{\"rounds\": 5}", "invalid key-value pair, expected key: write each line as key = value, with text in quotes"),
            ("[data", "unclosed table, expected `]`: write each line as key = value, with text in quotes"),
        ] {
            assert_eq!(
                wrong(&format!("# options\n{line}\nseed = 1\n")).replace("line 3", "line 2"),
                format!("my.toml, line 2: {line}: {said}")
            );
        }
        assert_eq!(wrong("rounds = 5 lr = 3"), "my.toml, line 1: rounds = 5 lr = 3: write each option on its own line");
        assert_eq!(wrong("widths = [\n  1/8,\n]"), "my.toml, line 2: 1/8,: text needs quotes: write \"1/8\"");
        assert_eq!(
            wrong("rounds = 1\nlr = 0.1\nrounds = 2"),
            "my.toml, line 3: rounds is set twice, the first time in line 1: leave one of them out"
        );
    }

    #[test]
    fn the_option_that_is_meant_is_found() {
        let keys = TrainConfig::keys();
        for (unknown, right) in [
            ("epochs", Some("local-epochs")),
            ("learning_rate", Some("lr")),
            ("Rounds", Some("rounds")),
            ("gpu", Some("adapter")),
            ("clients", Some("clients-per-domain")),
            ("padding", Some("crop-padding")),
            ("batch", Some("batch-size")),
            ("xyzzy", None),
        ] {
            assert_eq!(nearest(unknown, &keys).as_deref(), right, "{unknown}");
        }
        assert_eq!(nearest("learning-rate", &["list".into()]), None, "only among the names that are known");
    }

    #[test]
    fn every_option_has_a_kind_that_messages_know() {
        for key in TrainConfig::keys() {
            let kind = TrainConfig::kind(&key).unwrap();
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
    fn files_of_another_kind_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        for (bytes, what) in [
            (&b"\x08\0\0\0\0\0\0\0{}      \xff\xfe"[..], "a checkpoint"),
            (b"\x89PNG\r\n\x1a\n", "a picture"),
            (b"\n<!DOCTYPE html>\n<html></html>", "a web page or an XML file"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let said = format!("{}: this is {what}: name a TOML file of options, as the config.toml in a run's folder", file.display());
            assert_eq!(read_options(&file, "cannot read").unwrap_err().to_string(), said);
        }
        let sweep = wrong("[[grid]]\nseed = [1]");
        assert_eq!(sweep, "my.toml, line 1: unknown key \"grid\"; this is the file of a sweep: run it with splitmix sweep");
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
