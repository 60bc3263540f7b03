//! A training that begins with the bases of another one.

use super::checkpoint::{Checkpoint, LOCAL, Tensor, client_name, tensor_name};
use super::config::ValidConfig;
use super::model::Model;
use crate::fl::Ratio;
use crate::gpu::Gpu;
use crate::net::{TensorKind, TensorSpec};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Puts the bases of a checkpoint (its file's name in `file`) into a model that is freshly initialised for a run of `config`. What the batch
/// norms of one have and those of the other lack is derived: a single norm becomes both of dual ones, the clean one of dual ones the
/// single one; running statistics that are not there begin anew; what all share becomes each client's own. Returns what was done so,
/// in words.
///
/// # Errors
/// [`Error::Config`] naming what differs where the checkpoint is of other bases, is a mixed model, or its clients keep more to
/// themselves than this run's, or are not as many; [`Error::Data`] for a tensor that is missing or of another shape.
pub(super) fn begin_from(gpu: &Gpu, model: &mut Model, checkpoint: Checkpoint, file: &str, config: &ValidConfig) -> Result<Vec<String>> {
    let mut checkpoint = checkpoint;
    let header = &checkpoint.header;
    let refused = |what: String| Err(Error::Config(format!("init = {file}: {what}")));
    if header.mixed.is_some() {
        return refused("this is a mixed model, whose bases are no longer those of a training: name a checkpoint of the training".into());
    }
    let words = |bases: usize, width: Ratio, network: &str, classes: usize| {
        format!("{bases} base{} of width {width} of {network} for {classes} classes", if bases == 1 { "" } else { "s" })
    };
    let theirs = words(header.bases, header.base_width, &header.network, header.classes);
    let own = words(model.server.count as usize, model.algorithm.base_width(), &model.network.name, model.classes);
    if theirs != own {
        return refused(format!("it has {theirs}, this run {own}: choose the same network, method and base-width, or leave init out"));
    }
    let clients = model.local.as_ref().map(|local| local.clients as usize);
    let before = header.config.clone();
    let missing = model.network.tensors.iter().find(|t| before.keeps(t) && !config.keeps(t));
    if let Some(tensor) = missing {
        return refused(match (before.local_bn, config.local_bn) {
            (true, false) => "its clients keep batch norms of their own, without which its bases are not whole: set local-bn = true".into(),
            _ => format!(
                "its clients keep {} to themselves, without which its bases are not whole: set personal = {}",
                tensor.name, before.personal
            ),
        });
    }
    let (then, now) = (header.norms(), model.network.norms);
    let mut notes = Vec::new();
    match (then.dual, now.dual) {
        (false, true) => notes.push("its batch norms become both the clean and the adversarial ones"),
        (true, false) => notes.push("its clean batch norms are taken, the adversarial ones are left out"),
        _ => {}
    }
    match (then.tracked, now.tracked) {
        (false, true) => notes.push("it has no running statistics: they begin at mean 0 and variance 1"),
        (true, false) => notes.push("its running statistics are left out"),
        _ => {}
    }
    let begun = |norm: bool| model.network.tensors.iter().any(|t| t.kind.is_norm() == norm && config.keeps(t) && !before.keeps(t));
    match (begun(true), begun(false)) {
        (true, false) => notes.push("every client begins with its batch norms"),
        (false, true) => notes.push("every client begins with its values of what is personal"),
        (true, true) => notes.push("every client begins with its batch norms and its values of what is personal"),
        (false, false) => {}
    }

    let mut tensors = BTreeMap::new();
    for base in 0..header.bases {
        for spec in &model.network.tensors {
            let tensor = taken(&mut checkpoint.tensors, spec, &|name| tensor_name(base, name), &spec.shape, file)?;
            if let Some(clients) = clients.filter(|_| config.keeps(spec)) {
                let shape = [clients, spec.len()];
                let of_clients = match before.keeps(spec) {
                    true => taken(&mut checkpoint.tensors, spec, &|name| client_name(LOCAL, base, name), &shape, file)?,
                    false => Tensor { shape: shape.to_vec(), data: tensor.data.repeat(clients) },
                };
                tensors.insert(client_name(LOCAL, base, &spec.name), of_clients);
            }
            tensors.insert(tensor_name(base, &spec.name), tensor);
        }
    }
    checkpoint.tensors = tensors;
    checkpoint.header.config = config.clone().into();
    model.load_bases(gpu, checkpoint, file)?;
    Ok(notes.into_iter().map(|note| format!("init = {file}: {note}")).collect())
}

/// The values of tensor `spec`, by its own name or that of the tensor that it is derived from; `full` makes a name of the file of one.
fn taken(
    tensors: &mut BTreeMap<String, Tensor>,
    spec: &TensorSpec,
    full: &dyn Fn(&str) -> String,
    shape: &[usize],
    file: &str,
) -> Result<Tensor> {
    let single = spec.name.replace(".adversarial.", ".");
    let (name, single) = (full(&spec.name), full(&single));
    let found = [&name, &single].into_iter().find_map(|name| tensors.get(name));
    let begun = match spec.kind {
        TensorKind::RunningMean => Some(0.0),
        TensorKind::RunningVariance => Some(1.0),
        _ => None,
    };
    match (found, begun) {
        (Some(tensor), _) if tensor.shape == shape => Ok(tensor.clone()),
        (Some(tensor), _) => Err(Error::Data(format!(
            "{file}: tensor {name} should have shape {shape:?} but has {:?}: choose the same network and, with local-bn or personal, as many clients",
            tensor.shape
        ))),
        (None, Some(value)) => Ok(Tensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] }),
        (None, None) => Err(Error::Data(format!("{file}: no tensor {name}: choose the network that the file was trained with"))),
    }
}
