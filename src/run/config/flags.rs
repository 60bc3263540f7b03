//! The methods' own options as flags of the command line.

use crate::Error;
use crate::fl::algorithms::options::{Choice, MethodOption, OwnOptions, Value};
use crate::text::one_of;
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

/// The flag of an option.
fn flag(option: &'static MethodOption) -> Arg {
    let (parser, value): (ValueParser, _) = match option {
        MethodOption::Whole(_) => (clap::value_parser!(usize).into(), "NUMBER"),
        MethodOption::Number(_) => (clap::value_parser!(f64).into(), "NUMBER"),
        MethodOption::Choice(choice) => (ValueParser::new(|text: &str| name(choice, text)), "NAME"),
        MethodOption::Switch(_) => (clap::value_parser!(bool), "BOOL"),
    };
    let flag = Arg::new(option.key()).long(option.key()).help_heading("Method").help(option.help()).value_parser(parser).value_name(value);
    if matches!(option, MethodOption::Switch(_)) { flag.num_args(0..=1).default_missing_value("true") } else { flag }
}

fn name(choice: &Choice, text: &str) -> crate::Result<&'static str> {
    choice.name(text).ok_or_else(|| Error::Config(format!("\"{text}\" is not known: choose {}", one_of(choice.names))))
}

impl clap::Args for OwnOptions {
    fn augment_args(command: Command) -> Command {
        command.args(MethodOption::all().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        OwnOptions::augment_args(command)
    }
}

impl clap::FromArgMatches for OwnOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<OwnOptions, clap::Error> {
        let mut own = OwnOptions::default();
        own.update_from_arg_matches(matches)?;
        Ok(own)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for option in MethodOption::all() {
            let key = option.key();
            let value = match option {
                MethodOption::Whole(_) => matches.get_one(key).copied().map(Value::Whole),
                MethodOption::Number(_) => matches.get_one(key).copied().map(Value::Number),
                MethodOption::Choice(_) => matches.get_one(key).copied().map(Value::Name),
                MethodOption::Switch(_) => matches.get_one(key).copied().map(Value::Switch),
            };
            value.into_iter().for_each(|value| self.set(option, value));
        }
        Ok(())
    }
}

/// With the method of tests in `fl/algorithms/probe.rs`, which has an option of each kind and nothing outside its file.
#[cfg(test)]
mod tests {
    use crate::report::difference;
    use crate::run::{TrainConfig, TrainOverrides, ValidConfig};
    use clap::{CommandFactory, Parser};
    use std::path::Path;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        train: TrainOverrides,
    }

    fn of(toml: &str) -> crate::Result<ValidConfig> {
        TrainConfig::from_toml(toml, Path::new("my.toml")).and_then(TrainConfig::validate)
    }

    fn flags(arguments: &str) -> Result<ValidConfig, String> {
        let all = Program::try_parse_from(std::iter::once("x").chain(arguments.split_whitespace())).map_err(|e| e.to_string())?;
        TrainConfig::load(None, all.train).and_then(TrainConfig::validate).map_err(|e| e.to_string())
    }

    fn width(config: &TrainConfig) -> String {
        config.algorithm().base_width().to_string()
    }

    #[test]
    fn they_reach_the_method_from_flags_and_files() {
        let given = flags("--method probe --probe-parts 3 --probe-pull 0 --probe-on LAST --probe-halves").unwrap();
        let written = of("method = \"probe\"\nprobe-parts = 3\nprobe-pull = 0\nprobe-on = \"last\"\nprobe-halves = true").unwrap();
        assert_eq!((given, width(&written).as_str()), (written, "1/6"));
        assert_eq!(width(&flags("--method probe").unwrap()), "1/4");
        let text = of("method = \"probe\"").unwrap().to_toml().unwrap();
        assert!(text.ends_with("probe-halves = false\nprobe-on = \"all\"\nprobe-parts = 4\nprobe-pull = 0.5\n"), "{text}");
        let help = crate::run::config::show_defaults(Program::command()).render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("--probe-parts <NUMBER> Parts of the probed width. [default: 4]"), "{help}");
        assert!(help.contains("Algorithm: `split-mix` (an ensemble of narrow bases"), "{help}");
        assert!(flags("--probe-on first").unwrap_err().contains("\"first\" is not known: choose all or last"));
        assert!(TrainConfig::keys().contains(&"probe-parts".to_string()));
    }

    #[test]
    fn their_values_are_checked_as_those_of_other_options() {
        let wrong = |line: &str| of(&format!("method = \"probe\"\n{line}")).unwrap_err().to_string();
        for (line, said) in [
            ("probe-parts = \"3\"", "my.toml, line 2: probe-parts = \"3\": it must be a whole number, at least 1: write probe-parts = 3"),
            ("probe-parts = 0", "probe-parts = 0: it must be at least 1"),
            ("probe-parts = 65", "probe-parts = 65: it must be at most 64"),
            ("probe-pull = \"much\"", "my.toml, line 2: probe-pull = \"much\": it must be a number: write probe-pull = 0.5"),
            ("probe-pull = -1", "probe-pull = -1: it must be a number from 0 to 1000000"),
            ("probe-on = \"first\"", "my.toml, line 2: probe-on = \"first\": it must be all or last, in quotes: write probe-on = \"all\""),
            ("probe-halves = 1", "my.toml, line 2: probe-halves = 1: it must be true or false, without quotes: write probe-halves = true"),
            ("probe-part = 1", "my.toml, line 2: unknown key \"probe-part\": did you mean probe-parts?"),
            ("probe-on = \"last\"\nprobe-pull = 2", "probe-pull = 2: the last layer takes at most 1"),
            ("local-bn = true", "local-bn = true: nothing is probed there"),
        ] {
            assert_eq!(wrong(line), said);
        }
        let json = |text: &str| serde_json::from_str::<TrainConfig>(text).unwrap_err().to_string();
        assert!(json(r#"{"probe-parts": true}"#).starts_with("invalid value of `probe-parts`: it must be a whole number, at least 1"));
        assert!(json(r#"{"xyzzy": 1}"#).starts_with("unknown field `xyzzy`"));
    }

    #[test]
    fn they_are_part_of_a_run_of_their_method_alone() {
        let probe = |more: &str| of(&format!("method = \"probe\"\n{more}")).unwrap();
        let other = |more: &str| of(&format!("method = \"fedavg\"\n{more}")).unwrap();
        let text = serde_json::to_string(&probe("probe-parts = 3")).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), *probe("probe-parts = 3"));
        // Files from before a method had an option: it has its default.
        let before = text.replace(",\"probe-halves\":false", "");
        assert_ne!(before, text);
        assert_eq!(serde_json::from_str::<TrainConfig>(&before).unwrap().validate().unwrap(), probe("probe-parts = 3"));
        let refused = probe("probe-on = \"last\"").check_resume(&probe("")).unwrap_err().to_string();
        assert!(refused.starts_with("probe-on is \"last\" but the run was started with \"all\": set it back"), "{refused}");
        assert!(!probe("probe-pull = 5").trains_together(&probe("")).unwrap() && probe("seed = 2").trains_together(&probe("")).unwrap());
        let differs = difference(&probe("probe-pull = 1"), &probe("")).unwrap();
        assert_eq!(differs, Some(("probe-pull".into(), ["1.0", "0.5"].map(String::from))));

        let given = other("probe-parts = 3");
        assert_eq!(given.warnings(), ["probe-parts = 3 has no effect with fedavg: it is for probe"]);
        given.check_resume(&other("")).unwrap();
        assert!(given.trains_together(&other("")).unwrap() && difference(&given, &other("")).unwrap().is_none());
        assert!(!other("").to_toml().unwrap().contains("probe"));
        assert_eq!(probe("").warnings(), Vec::<String>::new());
    }
}
