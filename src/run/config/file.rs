//! Configurations in TOML files, and the defaults in `--help`.

use super::super::written::{expanded, explained, read_options, read_text};
use super::*;
use crate::net::Architecture;
use std::path::Path;

impl NetworkChoice {
    /// Reads the TOML file that is named; anything else is as it was.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Config`] naming the file and what in it describes no network.
    pub fn read(self) -> Result<NetworkChoice> {
        match self {
            NetworkChoice::Named(path) if Path::new(&path).extension().is_some_and(|e| e == "toml") => {
                let file = expanded(path.into()).map_err(|e| Error::Config(format!("network = {e}")))?;
                let text = read_text(&file, "cannot read the network")?;
                let described = Architecture::from_toml(&text).map_err(|e| {
                    let message = e.to_string();
                    let between = if message.starts_with("line ") { ", " } else { ": " };
                    Error::Config(format!("{}{between}{message}", file.display()))
                })?;
                Ok(NetworkChoice::Described(described))
            }
            other => Ok(other),
        }
    }
}

impl TrainConfig {
    /// Reads the TOML text of a configuration file; keys that are not in it have their defaults. `file` is its
    /// name in errors. The values are not validated yet, as flags may still replace some.
    ///
    /// # Errors
    /// [`Error::Config`] naming the file, the line and the key; an unknown key comes with the nearest known one.
    pub fn from_toml(text: &str, file: &Path) -> Result<TrainConfig> {
        toml::from_str(text).map_err(|error| {
            let (line, message) = explained(text, &error);
            Error::Config(format!("{}, line {line}: {message}", file.display()))
        })
    }

    /// The same of options that are read already, as those of a sweep.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn from_table(options: &toml::Table) -> Result<TrainConfig> {
        let text = options.to_string();
        toml::from_str(&text).map_err(|error| Error::Config(explained(&text, &error).1))
    }

    /// Reads a configuration file, then lets the given flags win. Without a file the flags win over the defaults.
    /// The result is still to be validated.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Config`] for what it holds.
    pub fn load(file: Option<&Path>, flags: TrainOverrides) -> Result<TrainConfig> {
        let mut config = match file {
            None => TrainConfig::default(),
            Some(path) => TrainConfig::from_toml(&read_options(path, "cannot read the configuration")?, path)?,
        };
        flags.apply(&mut config);
        config.with_files()
    }

    /// The same with its network read where a file describes it, and with the user's home in the place of `~` in paths.
    ///
    /// # Errors
    /// As [`NetworkChoice::read`], and [`Error::Config`] for another user's home.
    pub fn with_files(mut self) -> Result<TrainConfig> {
        let place = |key: &str, path: PathBuf| match path.to_string_lossy().contains(['\n', '\t', '\r', '\u{8}', '\u{c}']) {
            // What TOML reads in "C:\new".
            true => Err(Error::Config(format!(
                "{key} = {}: a path has no tab or line break: write backslashes twice, or the path in single quotes",
                path.display()
            ))),
            false => expanded(path).map_err(|e| Error::Config(format!("{key} = {e}"))),
        };
        self.out = place("out", self.out)?;
        self.data_dir = self.data_dir.map(|path| place("data-dir", path)).transpose()?;
        self.clients_file = self.clients_file.map(|path| place("clients-file", path)).transpose()?;
        self.init = self.init.map(|path| place("init", path)).transpose()?;
        self.network = self.network.read()?;
        Ok(self)
    }

    /// The TOML text that [`TrainConfig::from_toml`] reads back to the same configuration.
    ///
    /// # Errors
    /// [`Error::Config`] when a path is not valid Unicode, which TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        let text = toml::to_string(self);
        text.map_err(|error| Error::Config(format!("the configuration cannot be written as TOML: {error}")))
    }
}

/// Adds each option's default to its help, for a command that flattens [`TrainOverrides`].
pub fn show_defaults(command: clap::Command) -> clap::Command {
    let defaults = TrainConfig::default().as_object().unwrap_or_default();
    command.mut_args(|argument| {
        let key = argument.get_long().unwrap_or_default();
        let own = || Some(serde_json::Value::from(MethodOption::of(key)?.default().to_string()));
        let default = match defaults.get(key).cloned().or_else(own) {
            Some(serde_json::Value::String(text)) => text,
            // An empty list, and what that means, is in the option's own help.
            None | Some(serde_json::Value::Array(_)) => return argument,
            Some(value) => value.to_string(),
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        argument.help(format!("{help} [default: {default}]"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::valid;

    use super::*;
    use clap::Parser;
    use std::path::Path;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        train: TrainOverrides,
    }

    fn flags(arguments: &str) -> std::result::Result<TrainOverrides, clap::Error> {
        Command::try_parse_from(std::iter::once("test").chain(arguments.split_whitespace())).map(|all| all.train)
    }

    fn wrong(text: &str) -> String {
        TrainConfig::from_toml(text, Path::new("my.toml")).unwrap_err().to_string()
    }

    #[test]
    fn flags_are_the_keys() {
        use clap::CommandFactory;
        let flags: Vec<String> = Command::command()
            .get_arguments()
            .filter(|argument| argument.get_help().is_some())
            .filter_map(|argument| argument.get_long().map(String::from))
            .filter(|flag| flag != "help")
            .collect();
        assert_eq!(flags, TrainConfig::keys());
    }

    #[test]
    fn help_tells_the_defaults() {
        use clap::CommandFactory;
        let help = show_defaults(Command::command()).render_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for shown in ["[default: 8-4-2-1]", "for example 1/8 [default: 1/8]", "[default: embedded]", "[default: 0.0005]"] {
            assert!(help.contains(shown), "{shown} in {help}");
        }
        assert!(!help.contains("[default: []]"));
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "rounds = 7\nlr = 0.5\nwidths = [\"1/8\", 0.25]\nclients-per-round = 3\n").unwrap();
        let flags = flags("--rounds 9 --budgets 8-4-4-1 --rescale-init false --masked-loss --domains a,b").unwrap();
        let config = TrainConfig::load(Some(&file), flags).unwrap().validate().unwrap();
        assert_eq!((config.rounds, config.lr, config.clients_per_round), (9, 0.5, Some(3)));
        assert!(!config.rescale_init && config.rescale_layer && config.masked_loss);
        assert_eq!(config.domains.0, ["a", "b"]);
        assert_eq!(config.budgets.to_string(), "8-4-4-1");
        assert_eq!(config.widths, "1/8,1/4,1".parse().unwrap());
    }

    #[test]
    fn flags_that_cannot_be_read() {
        for arguments in ["--budgets 8-x", "--bn-mode running", "--base-width 2", "--memory-limit lots", "--rounds many"] {
            let message = flags(arguments).unwrap_err().to_string();
            assert!(message.contains(arguments.split(' ').next().unwrap()), "{message}");
        }
    }

    #[test]
    fn a_path_whose_backslashes_were_read_as_tabs_is_refused() {
        let read = |text: &str| TrainConfig::from_toml(text, Path::new("x")).unwrap().with_files();
        let told = read(r#"out = "C:\new""#).unwrap_err().to_string();
        assert_eq!(told, "out = C: ew: a path has no tab or line break: write backslashes twice, or the path in single quotes");
        assert!(read(r"out = 'C:\new'").is_ok() && read(r#"out = "C:\\new""#).is_ok());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = valid(|c| {
            c.method = "fedavg".parse().unwrap();
            c.memory_limit = Some(ByteSize(1 << 30));
            c.data = DataSource::Directory;
            c.data_dir = Some("a \"b\"/c".into());
            c.lr = 0.1 + 0.2;
            c.seed = i64::MAX as u64;
        });
        let config = config.unwrap();
        let text = config.to_toml().unwrap();
        assert_eq!(TrainConfig::from_toml(&text, Path::new("x")).unwrap(), *config);
        assert_eq!(TrainConfig::from_toml("", Path::new("x")).unwrap(), TrainConfig::default());
    }

    #[test]
    fn runs_of_before_are_written_as_they_were() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/results/sweep-digits-60");
        let mut read = 0;
        for run in std::fs::read_dir(folder).unwrap() {
            let Ok(text) = std::fs::read_to_string(run.unwrap().path().join("config.toml")) else { continue };
            let now = TrainConfig::from_toml(&text, Path::new("x")).unwrap().to_toml().unwrap();
            // Options that are newer than the run are between its lines.
            let mut lines = now.lines();
            assert!(text.lines().all(|line| lines.any(|own| own == line)), "{text} is not in {now}");
            read += 1;
        }
        assert!(read >= 4, "{read} runs");
    }

    #[test]
    fn file_errors_name_file_line_and_key() {
        let message = wrong("rounds = 5\n\nclients-per-doman = 3\n");
        assert_eq!(message, "my.toml, line 3: unknown key \"clients-per-doman\": did you mean clients-per-domain?");
        assert!(wrong("local_epochs = 3").contains("did you mean local-epochs?"));
        assert!(wrong("xyzzy = 3").ends_with("unknown key \"xyzzy\": splitmix train --help lists the options"));
        let message = wrong("# c\nrounds = \"many\"");
        assert!(message.starts_with("my.toml, line 2: rounds = \"many\": it must be a whole number"), "{message}");
        let message = wrong("budgets = \"8-x\"");
        assert!(message.starts_with("my.toml, line 1: budgets: ") && message.contains("\"x\""), "{message}");
        let message = wrong("rounds = 2\nwidths = [\n  \"1/8\",\n  \"9/8\",\n]");
        assert!(message.contains("widths: ") && message.contains("\"9/8\" is not a width"), "{message}");
        assert!(wrong("bn-mode = \"running\"").contains("choose batch"));
        assert!(wrong("rounds = \n").starts_with("my.toml, line 1: "));
        assert!(wrong("rounds = 1\nrounds = 2").starts_with("my.toml, line 2: "));
        assert!(wrong("rounds = -1").contains("rounds = -1: "));
        assert!(wrong("[train]\nrounds = 1").contains("unknown key \"train\""));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = TrainConfig::load(Some(Path::new("no/such.toml")), TrainOverrides::default()).unwrap_err();
        assert!(error.to_string().contains("no/such.toml"));
        assert_eq!(error.exit_code(), 2);
    }
}
