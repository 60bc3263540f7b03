//! `splitmix import`

use super::{check_new, configuration, note, print};
use crate::data as sets;
use crate::net::TensorKind;
use crate::run::checkpoint::{import, imported_classes, tensor_name};
use crate::run::config::DataSource;
use crate::run::model::wanted_tensors;
use crate::run::run_dir::write_atomically;
use crate::run::{Checkpoint, Header, TrainOverrides, ValidConfig};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Parameters of another program, such as the authors': a safetensors file with PyTorch's names and shapes. A PyTorch
    /// file becomes one by safetensors.torch.save_file(torch.load(FILE)["server_model"]["server"], OUT).
    file: PathBuf,
    /// The checkpoint to write.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// TOML file with the options that the parameters were trained with; flags win.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: TrainOverrides,
}

/// Classes that parameters are of: the outputs of their last linear layer. Where the file has none, the import says what is wrong.
fn classes_of(bytes: &[u8], file: &Path, config: &ValidConfig) -> Result<usize> {
    let network = config.network(2)?;
    let Some(classifier) = network.tensors.iter().rfind(|t| matches!(t.kind, TensorKind::LinearWeight { .. })) else { return Ok(2) };
    let layer = classifier.name.strip_suffix(".weight").unwrap_or(&classifier.name);
    let inputs = classifier.shape.last().copied().unwrap_or(0);
    match imported_classes(bytes, &file.display().to_string(), layer, inputs)? {
        None => Ok(2),
        Some(classes @ 2..=256) => Ok(classes),
        Some(classes) => Err(Error::Data(format!(
            "{}: {} has {classes} outputs: a classifier of 2 to 256 classes is wanted; check the network",
            file.display(),
            classifier.name
        ))),
    }
}

/// Checks that the data which the checkpoint will name is there: `eval` and others take it.
fn check_data(config: &ValidConfig) -> Result<()> {
    let domains = &config.domains.0;
    match (config.data, &config.data_dir, &config.clients_file) {
        (DataSource::Embedded, ..) if !domains.is_empty() => sets::embedded_domains(domains).map(|_| ()),
        (DataSource::Directory, Some(folder), _) => sets::check_domains(folder, domains),
        (DataSource::Csv, _, Some(file)) if !file.exists() => {
            Err(Error::Config(format!("clients-file = {}: there is no such file: check the path", file.display())))
        }
        _ => Ok(()),
    }
}

pub(super) fn run(args: Args) -> Result<()> {
    let config = configuration(args.config.as_deref(), args.options)?;
    if config.keeps_any() {
        let key = if config.local_bn { "local-bn" } else { "personal" };
        return Err(Error::Config(format!("{key}: what stays with the clients is in no file of another program: leave it out")));
    }
    let algorithm = config.algorithm();
    if algorithm.own_bases(&algorithm.start(config.seed, algorithm.bases()?)?).is_some() {
        return Err(Error::Config(format!(
            "method = {}: no file of another program says which client has which base: choose another method",
            config.method
        )));
    }
    check_new(&args.to)?;
    check_data(&config)?;
    if args.file.is_dir() {
        return Err(Error::Config(format!("{} is a folder: name the safetensors file in it", args.file.display())));
    }
    let bytes = std::fs::read(&args.file).map_err(|source| Error::Io { action: "cannot read", path: args.file.clone(), source })?;
    let classes = classes_of(&bytes, &args.file, &config)?;
    let network = config.network(classes)?;
    let bases = algorithm.bases()?;
    let imported = import(&bytes, &args.file.display().to_string(), &wanted_tensors(&network), bases)?;
    let notes = imported.notes();
    let tensors = imported.bases.into_iter().enumerate().flat_map(|(b, tensors)| {
        let named = network.tensors.iter().zip(tensors);
        named.map(move |(spec, tensor)| (tensor_name(b, &spec.name), tensor)).collect::<Vec<_>>()
    });
    let checkpoint = Checkpoint {
        header: Header {
            network: network.name.clone(),
            classes,
            image: [network.input.channels, network.input.height, network.input.width].map(|n| n as usize),
            bases,
            base_width: algorithm.base_width(),
            max_width: algorithm.full_width()?,
            rounds_done: 0,
            best: None,
            state: None,
            own_bases: None,
            mixed: None,
            config: config.into(),
            data: None,
        },
        tensors: tensors.collect(),
    };
    write_atomically(&args.to, &checkpoint.to_bytes()?)?;
    notes.iter().for_each(note);
    print(&format!("{bases} bases in {}\n", args.to.display()))
}
