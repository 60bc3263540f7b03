//! What all commands' arguments have in common: numbers below 0, paths in the user's home, and messages that say what is wanted.

use crate::run::written::{expanded, least_of};
use clap::builder::{PathBufValueParser, TypedValueParser, ValueParser};
use clap::error::{ContextKind, ErrorKind};
use std::any::TypeId;
use std::num::{ParseFloatError, ParseIntError};
use std::path::PathBuf;

/// A command, its subcommands included, whose options take numbers below 0, so that a message can say what their range is, and whose
/// paths may begin with `~`.
pub(super) fn prepared(command: clap::Command) -> clap::Command {
    let prepare = |argument: clap::Arg| {
        if !argument.get_action().takes_values() {
            return argument;
        }
        let kind = argument.get_value_parser().type_id();
        let (path, real) = (kind == TypeId::of::<PathBuf>(), kind == TypeId::of::<f64>());
        let argument = if path { argument.value_parser(ValueParser::new(PathBufValueParser::new().try_map(expanded))) } else { argument };
        // clap takes -1e-4 for options of one letter each.
        if argument.is_positional() { argument } else { argument.allow_negative_numbers(true).allow_hyphen_values(real) }
    };
    command.mut_args(prepare).mut_subcommands(prepared)
}

/// An error of the arguments; where a number cannot be read, in words that say which numbers can.
pub(super) fn explained(error: clap::Error) -> clap::Error {
    let part = |kind| error.get(kind).map(ToString::to_string);
    let (Some(argument), Some(value), Some(source)) =
        (part(ContextKind::InvalidArg), part(ContextKind::InvalidValue), std::error::Error::source(&error))
    else {
        return error;
    };
    let name = argument.split(' ').next().unwrap_or_default();
    let wanted = if source.is::<ParseIntError>() {
        format!("a whole number, {}", least_of(name.trim_start_matches('-')))
    } else if source.is::<ParseFloatError>() {
        "a number, for example 0.5".into()
    } else {
        return error;
    };
    clap::Error::raw(ErrorKind::ValueValidation, format!("{name} {value}: it must be {wanted}\n"))
}

#[cfg(test)]
mod tests {
    use super::super::Cli;
    use super::*;
    use clap::CommandFactory;

    fn refused(arguments: &str) -> String {
        let tried = prepared(Cli::command()).try_get_matches_from(["splitmix"].into_iter().chain(arguments.split(' ')));
        explained(tried.expect_err(arguments)).to_string()
    }

    #[test]
    fn numbers_that_cannot_be_are_refused_with_their_range() {
        assert_eq!(refused("train --rounds -1"), "error: --rounds -1: it must be a whole number, at least 1\n");
        assert_eq!(refused("train --batch-size 1.5"), "error: --batch-size 1.5: it must be a whole number, at least 3\n");
        assert_eq!(refused("data --seed -1"), "error: --seed -1: it must be a whole number, at least 0\n");
        assert_eq!(refused("train --lr fast"), "error: --lr fast: it must be a number, for example 0.5\n");
        assert_eq!(refused("train --lr --flip"), "error: --lr --flip: it must be a number, for example 0.5\n");
        assert_eq!(refused("eval --lambda 0.1,x"), "error: --lambda 0.1,x: it must be a number, for example 0.5\n");
        assert!(refused("eval --eval-batch-size -1").contains("-1 is not in 3.."));
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
