//! What all commands' arguments have in common: numbers below 0, paths in the user's home, and messages that say what is wanted.

use super::Cli;
use crate::fl::Attack;
use crate::run::config::{List, Names, Stages, TrainConfig, Widths};
use crate::run::written::{example_of, expanded, least_of, most_of, nearest};
use crate::text::one_of;
use crate::{Error, Result};
use clap::CommandFactory;
use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::any::TypeId;
use std::ffi::OsString;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};
use std::path::PathBuf;
use std::time::Duration;

/// A command, its subcommands included, whose options take numbers below 0, so that a message can say what their range is, and whose
/// paths may begin with `~`.
pub(super) fn prepared(command: clap::Command) -> clap::Command {
    let prepare = |argument: clap::Arg| {
        if !argument.get_action().takes_values() {
            return argument;
        }
        let kind = argument.get_value_parser().type_id();
        let path = kind == TypeId::of::<PathBuf>();
        let real = kind == TypeId::of::<f64>() || kind == TypeId::of::<Duration>();
        let in_files = path && argument.get_long().is_some_and(|long| TrainConfig::keys().iter().any(|key| key == long));
        let place = move |path: PathBuf| expanded(path).and_then(|path| if in_files { writable(path) } else { Ok(path) });
        let argument = if path { argument.value_parser(ValueParser::new(PathBufValueParser::new().try_map(place))) } else { argument };
        // clap takes -1e-4 for options of one letter each.
        if argument.is_positional() { argument } else { argument.allow_negative_numbers(true).allow_hyphen_values(real) }
    };
    command.mut_args(prepare).mut_subcommands(prepared)
}

/// A path that is kept in the files of a run, which are text.
///
/// # Errors
/// [`Error::Config`] for a name that is no text.
fn writable(path: PathBuf) -> Result<PathBuf> {
    let shown = path.display().to_string();
    let wrong =
        || Error::Config(format!("{shown}: the name is not UTF-8 text, and the run's files cannot hold it: rename the file or folder"));
    path.into_os_string().into_string().map(PathBuf::from).map_err(|_| wrong())
}

/// A length of time with its unit.
///
/// # Errors
/// [`Error::Config`] with the wanted form.
pub(super) fn time(text: &str) -> Result<Duration> {
    let wrong =
        |_| Error::Config(format!("\"{text}\" is not a length of time: write a number with its unit, for example 90m, 2h or 1day 6h"));
    humantime::parse_duration(text).map_err(wrong)
}

/// What is wrong with the arguments, in one line; nothing where help or the version is wanted. `arguments` are all, the program's name
/// first.
pub(super) fn refusal(error: &clap::Error, arguments: impl IntoIterator<Item = OsString>) -> Option<Error> {
    let arguments: Vec<String> = arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let (mut command, mut called) = (prepared(Cli::command()), "splitmix".to_string());
    for argument in arguments.iter().skip(1) {
        let Some(next) = command.find_subcommand(argument).cloned() else { break };
        called = format!("{called} {argument}");
        command = next;
    }
    let part = |kind| error.get(kind).map(|value| value.to_string().replace(['<', '>'], "")).unwrap_or_default();
    let list = |kind| match error.get(kind) {
        Some(ContextValue::Strings(all)) => all.iter().map(|one| one.replace(['<', '>'], "")).collect(),
        Some(one) => vec![one.to_string().replace(['<', '>'], "")],
        None => Vec::new(),
    };
    let (argument, value) = (part(ContextKind::InvalidArg), part(ContextKind::InvalidValue));
    let name = argument.split(' ').next().unwrap_or_default();
    Some(Error::Config(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::DisplayVersion => return None,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if value.is_empty() => {
            let example = example_of(name.trim_start_matches('-'));
            format!("{name}: it needs a value: write {}", example.map_or(argument.clone(), |example| format!("{name} {example}")))
        }
        ErrorKind::InvalidValue => {
            let choice: Vec<String> = list(ContextKind::ValidValue);
            let choice: Vec<&str> = choice.iter().map(String::as_str).collect();
            format!("{name} {value}: it must be {}", one_of(&choice))
        }
        ErrorKind::ValueValidation => invalid(name, &value, std::error::Error::source(error)),
        ErrorKind::UnknownArgument => unknown(name, &arguments, &command, &called),
        ErrorKind::InvalidSubcommand => {
            let (value, names) = (part(ContextKind::InvalidSubcommand), command.get_subcommands().map(|c| c.get_name().to_string()));
            let hint = nearest(&value, &names.collect::<Vec<_>>()).map(|name| format!("did you mean {name}?"));
            format!("{value}: {called} has no such command: {}", hint.unwrap_or(format!("{called} --help lists its commands")))
        }
        ErrorKind::ArgumentConflict => {
            let others: Vec<String> = list(ContextKind::PriorArg);
            let argument = if argument.is_empty() { part(ContextKind::InvalidSubcommand) } else { argument.clone() };
            match others.as_slice() {
                [other] if *other == argument => twice(name, &arguments, &command),
                _ => format!("{argument}: it cannot be combined with {}: leave one of them out", others.join(", ")),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<String> = list(ContextKind::InvalidArg);
            let command = called.trim_start_matches("splitmix ");
            format!("{command} needs {}: add what is missing; {called} --help explains it", missing.join(" and "))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            format!("{first}: {called} --help explains the arguments")
        }
    }))
}

/// An option that is given more than once: the last would count alone.
fn twice(name: &str, arguments: &[String], command: &clap::Command) -> String {
    let lists =
        [TypeId::of::<Names>(), TypeId::of::<Widths>(), TypeId::of::<Stages>(), TypeId::of::<List<Attack>>(), TypeId::of::<List<f64>>()];
    let is_list = |option: &clap::Arg| lists.iter().any(|list| option.get_value_parser().type_id() == *list);
    if !command.get_arguments().any(|option| option.get_long() == name.strip_prefix("--") && is_list(option)) {
        return format!("{name}: it is given twice: leave one of them out");
    }
    let value = |(i, argument): (usize, &String)| match argument.strip_prefix(name)? {
        "" => arguments.get(i + 1).cloned(),
        rest => rest.strip_prefix('=').map(String::from),
    };
    let values: Vec<String> = arguments.iter().enumerate().filter_map(value).collect();
    format!("{name}: it is given twice: write its values with commas between them: {name} {}", values.join(","))
}

/// An option's value that cannot be read or is outside its range.
fn invalid(name: &str, value: &str, source: Option<&(dyn std::error::Error + 'static)>) -> String {
    let Some(source) = source else { return format!("{name} {value}: it cannot be read") };
    let text = source.to_string();
    if let Some(number) = source.downcast_ref::<ParseIntError>() {
        let key = name.trim_start_matches('-');
        let range = match number.kind() {
            IntErrorKind::Zero => "at least 1".into(),
            IntErrorKind::PosOverflow => most_of(key),
            _ => least_of(key),
        };
        return format!("{name} {value}: it must be a whole number, {range}");
    }
    if source.is::<ParseFloatError>() {
        return format!("{name} {value}: it must be a number, for example 0.5");
    }
    // clap's own ranges of whole numbers.
    if let Some((least, most)) = text.split_once(" is not in ").and_then(|(_, range)| range.split_once("..=")) {
        return match most == u32::MAX.to_string() {
            true => format!("{name} {value}: it must be a whole number, at least {least}"),
            false => format!("{name} {value}: it must be a whole number from {least} to {most}"),
        };
    }
    format!("{name}: {text}")
}

/// An argument that a command does not take.
fn unknown(name: &str, arguments: &[String], command: &clap::Command, called: &str) -> String {
    let names: Vec<String> = command.get_arguments().filter_map(|option| option.get_long().map(String::from)).collect();
    // Of a word behind one dash the message has the first letter only.
    let whole = arguments.iter().find(|argument| argument.starts_with(name)).map_or(name, |argument| argument.as_str());
    let whole = whole.split('=').next().unwrap_or_default();
    // Editors make one dash of two.
    let word = whole.trim_start_matches(['-', '–', '—', '−']);
    let has = |option: &str| names.iter().any(|name| name == option);
    if !name.starts_with('-') {
        let hint = match names.iter().find(|option| *option == word) {
            Some(option) => format!("did you mean --{option}?"),
            None if whole.starts_with(['–', '—', '−']) => "options begin with two hyphens, as in --seed".into(),
            None if arguments.iter().any(|argument| argument == "--resume") && has("resume") => {
                format!("name the folder of the run with --out {whole}")
            }
            None if has("to") && !arguments.iter().any(|argument| argument.starts_with("--to")) => {
                format!("name the file to write with --to {whole}")
            }
            None => "write the values of a list with commas between them, and a name with spaces in quotes".into(),
        };
        return format!("{whole}: {called} takes no such argument: {hint}");
    }
    let hint = match nearest(word, &names) {
        Some(option) => format!("did you mean --{option}?"),
        None => format!("{called} --help lists its options"),
    };
    format!("{whole}: {called} has no such option: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &str) -> String {
        let all = || ["splitmix"].into_iter().chain(arguments.split(' ')).map(OsString::from);
        let error = prepared(Cli::command()).try_get_matches_from(all()).expect_err(arguments);
        refusal(&error, all()).expect(arguments).to_string()
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_with_their_range() {
        for (arguments, said) in [
            ("train --rounds -1", "--rounds -1: it must be a whole number, at least 1"),
            ("train --batch-size 1.5", "--batch-size 1.5: it must be a whole number, at least 3"),
            ("data --seed -1", "--seed -1: it must be a whole number, at least 0"),
            ("train --lr fast", "--lr fast: it must be a number, for example 0.5"),
            ("train --lr --flip", "--lr --flip: it must be a number, for example 0.5"),
            ("eval --lambda 0.1,x", "--lambda 0.1,x: it must be a number, for example 0.5"),
            ("eval --eval-batch-size -1", "--eval-batch-size -1: it must be a whole number from 3 to 65536"),
            ("eval --eval-batch-size 4294967296", "--eval-batch-size 4294967296: it must be a whole number from 3 to 65536"),
            ("train --rounds 99999999999999999999", "--rounds 99999999999999999999: it must be a whole number, at most 1000000"),
            ("train --seed 99999999999999999999", "--seed 99999999999999999999: it must be a whole number, at most 9223372036854775807"),
            ("sweep x.toml --together 0", "--together 0: it must be a whole number, at least 1"),
            ("web --port 99999", "--port 99999: it must be a whole number from 0 to 65535"),
            ("data --sheet x.png --samples 0", "--samples 0: it must be a whole number from 1 to 20"),
        ] {
            assert_eq!(refused(arguments), said);
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_no_file_of_a_run_can_hold_are_refused() {
        use std::os::unix::ffi::OsStringExt;
        for option in ["--out", "--data-dir", "--clients-file"] {
            let all = || ["splitmix", "train", option].map(OsString::from).into_iter().chain([OsString::from_vec(b"caf\xe9".to_vec())]);
            let error = prepared(Cli::command()).try_get_matches_from(all()).expect_err(option);
            let said =
                format!("{option}: caf\u{fffd}: the name is not UTF-8 text, and the run's files cannot hold it: rename the file or folder");
            assert_eq!(refusal(&error, all()).expect(option).to_string(), said);
        }
        // A picture may have any name.
        let picture = [OsString::from("splitmix"), "predict".into(), OsString::from_vec(b"caf\xe9.png".to_vec())];
        assert!(prepared(Cli::command()).try_get_matches_from(picture).is_ok());
    }

    #[test]
    fn an_option_given_twice_is_refused_and_a_list_shown_with_commas() {
        for (arguments, said) in [
            ("train --seed 1 --seed 2", "--seed: it is given twice: leave one of them out"),
            ("train --flip --flip", "--flip: it is given twice: leave one of them out"),
            ("data --clients --clients", "--clients: it is given twice: leave one of them out"),
            ("data --config a --config b", "--config: it is given twice: leave one of them out"),
            ("data --domains a --domains=b,c", "--domains: it is given twice: write its values with commas between them: --domains a,b,c"),
            (
                "eval x --attack fgsm --attack pgd-2",
                "--attack: it is given twice: write its values with commas between them: --attack fgsm,pgd-2",
            ),
            (
                "predict a.png --widths 1/8 --widths 1",
                "--widths: it is given twice: write its values with commas between them: --widths 1/8,1",
            ),
        ] {
            assert_eq!(refused(arguments), said);
        }
    }

    #[test]
    fn every_refusal_is_one_line_that_says_what_to_write() {
        let time = "is not a length of time: write a number with its unit, for example 90m, 2h or 1day 6h";
        for (arguments, said) in [
            ("train --epochs 3", "--epochs: splitmix train has no such option: did you mean --local-epochs?".to_string()),
            ("train --roundz=3", "--roundz: splitmix train has no such option: did you mean --rounds?".into()),
            ("train -rounds 3", "-rounds: splitmix train has no such option: did you mean --rounds?".into()),
            ("train --learning_rate 1", "--learning_rate: splitmix train has no such option: did you mean --lr?".into()),
            ("data fetch --xyzzy", "--xyzzy: splitmix data fetch has no such option: splitmix data fetch --help lists its options".into()),
            ("train rounds=3", "rounds: splitmix train takes no such argument: did you mean --rounds?".into()),
            (
                "train --domains mnist usps",
                "usps: splitmix train takes no such argument: write the values of a list with commas between them, and a name with spaces \
                 in quotes"
                    .into(),
            ),
            ("train —rounds 3", "—rounds: splitmix train takes no such argument: did you mean --rounds?".into()),
            ("train --resume rs", "rs: splitmix train takes no such argument: name the folder of the run with --out rs".into()),
            ("mix a b", "b: splitmix mix takes no such argument: name the file to write with --to b".into()),
            ("predict x.png --top 0", "--top 0: it must be a whole number, at least 1".into()),
            ("trian", "trian: splitmix has no such command: did you mean train?".into()),
            ("play", "play: splitmix has no such command: splitmix --help lists its commands".into()),
            ("train --flip maybe", "--flip maybe: it must be true or false".into()),
            ("eval --order best", "--order best: it must be own or accuracy".into()),
            ("train --network", "--network: it needs a value: write --network digits".into()),
            ("train --domains", "--domains: it needs a value: write --domains NAME".into()),
            ("data --sheet", "--sheet: it needs a value: write --sheet FILE".into()),
            (
                "train --partition label",
                "--partition: \"label\" is not a partition: choose iid, dirichlet, shards, classes or sizes".into(),
            ),
            ("train --max-time 5", format!("--max-time: \"5\" {time}")),
            ("train --max-time -1h", format!("--max-time: \"-1h\" {time}")),
            ("sweep x.toml --max-time 1", format!("--max-time: \"1\" {time}")),
            ("data fetch mnist --timeout never", format!("--timeout: \"never\" {time}")),
            ("train --resume --config x", "--resume: it cannot be combined with --config FILE: leave one of them out".into()),
            ("data --clients fetch mnist", "fetch: it cannot be combined with --clients: leave one of them out".into()),
            ("predict", "predict needs IMAGE...: add what is missing; splitmix predict --help explains it".into()),
            ("import", "import needs --to FILE and FILE: add what is missing; splitmix import --help explains it".into()),
            ("eval --page x.html", "eval needs --grid: add what is missing; splitmix eval --help explains it".into()),
        ] {
            assert_eq!(refused(arguments), said);
        }
    }

    #[test]
    fn help_and_the_version_are_no_refusals() {
        for arguments in ["--help", "--version", "train --help", "data fetch -h", "help train"] {
            let all = || ["splitmix"].into_iter().chain(arguments.split(' ')).map(OsString::from);
            let error = prepared(Cli::command()).try_get_matches_from(all()).expect_err(arguments);
            assert!(refusal(&error, all()).is_none() && error.exit_code() == 0, "{arguments}");
        }
    }

    /// What is below 0 and of the right kind goes on to the check of the configuration, which names the range.
    #[test]
    fn every_option_of_a_number_takes_one_below_0() {
        for command in prepared(Cli::command()).get_subcommands() {
            for option in command.get_arguments().filter(|a| a.get_long().is_some() && a.get_action().takes_values()) {
                let name = option.get_long().unwrap_or_default();
                let tried = prepared(Cli::command()).try_get_matches_from(["splitmix", command.get_name(), &format!("--{name}"), "-1"]);
                let Err(error) = tried else { continue };
                // Positional arguments and others may be missing.
                let kinds =
                    [ErrorKind::ValueValidation, ErrorKind::InvalidValue, ErrorKind::MissingRequiredArgument, ErrorKind::ArgumentConflict];
                assert!(kinds.contains(&error.kind()), "{} --{name} -1: {error}", command.get_name());
            }
        }
    }

    #[test]
    fn paths_may_begin_at_home() {
        let parsed = prepared(Cli::command()).try_get_matches_from(["splitmix", "report", "~/runs", "--to=~/page.html"]).unwrap();
        let (_, report) = parsed.subcommand().unwrap();
        let home = dirs::home_dir().unwrap();
        assert_eq!(report.get_one::<PathBuf>("runs"), Some(&home.join("runs")));
        assert_eq!(report.get_one::<PathBuf>("to"), Some(&home.join("page.html")));
        assert!(refused("train --out ~bob/x").contains("only your own home is known"));
    }
}
