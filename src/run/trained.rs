//! A trained model together with the data and clients that it is tested on.

use super::checkpoint::{Checkpoint, Header};
use super::config::{BnMode, ValidConfig};
use super::model::{self, Images, Model, TestSettings};
use crate::data::Dataset;
use crate::engine::{AttackOptions, Attacker, Batch, ImageStore};
use crate::fl::{Attack, Client, Ratio};
use crate::gpu::Gpu;
use crate::{Error, Result};
use std::rc::Rc;

/// A model with its data on a GPU.
pub struct Trained {
    /// The device that it is on.
    pub gpu: Gpu,
    /// What its checkpoint says of it.
    pub header: Header,
    /// The configuration of its training, with this machine's places in it.
    pub config: ValidConfig,
    /// The model.
    pub model: Model,
    /// The images that it was trained on and is tested on.
    pub dataset: Rc<Dataset>,
    /// The clients that have them.
    pub clients: Vec<Client>,
    /// The images on the GPU.
    pub images: Images,
    /// How these data differ from those of its training, in words; `None` where they are the same, whatever their domains are called.
    pub other_data: Option<String>,
}

/// Images that a picture is normalised with where nothing else is said.
const CONTEXT: usize = 127;

/// A picture before and after an attack, as 8-bit images.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackedPicture {
    /// H·W·3 bytes.
    pub pixels: Vec<u8>,
    /// Probabilities of the classes before.
    pub before: Vec<f32>,
    /// Probabilities after.
    pub after: Vec<f32>,
}

impl Trained {
    /// A model of a checkpoint (its file's name in `file`) with its data; in batch-norm mode `post`, every client estimates its
    /// statistics. `config` is that of the checkpoint, but for places.
    ///
    /// # Errors
    /// [`Error::Data`] where model and data do not fit each other, [`Error::Gpu`] for the device's.
    pub async fn new(gpu: Gpu, checkpoint: Checkpoint, file: &str, dataset: Rc<Dataset>, config: ValidConfig) -> Result<Trained> {
        let header = checkpoint.header.clone();
        let mut model = Model::from_checkpoint(&gpu, checkpoint, file)?;
        if model.classes != dataset.classes.len() {
            return Err(Error::Data(format!(
                "{file}: the model knows {} classes, the data has {}: use the data that it was trained on",
                model.classes,
                dataset.classes.len()
            )));
        }
        let clients = model::partition(&dataset, &config)?.clients;
        model.check_clients(clients.len())?;
        let other_data = header.data.as_ref().and_then(|then| then.difference_from(&dataset, &clients));
        let images = Images::new(&gpu, &dataset, model.network.input)?;
        model.estimate_statistics(&gpu, &images, &clients, &config).await?;
        Ok(Trained { gpu, header, config, model, dataset, clients, images, other_data })
    }

    /// The model's own widths: those of its training, or the one it is mixed for.
    pub fn widths(&self) -> Vec<Ratio> {
        self.header.mixed.as_ref().map_or_else(|| self.config.widths.0.clone(), |m| vec![m.width])
    }

    /// The bases by their accuracy on the validation images, the best first.
    ///
    /// # Errors
    /// As [`Model::order_by_accuracy`].
    pub async fn order_by_accuracy(&self, lambda: f64) -> Result<Vec<(u32, f64)>> {
        let (batch, limit) = (self.config.batch_size, self.config.limit());
        let settings = TestSettings { widths: Vec::new(), lambda, order: Vec::new(), batch, limit };
        self.model.order_by_accuracy(&self.gpu, &self.images, &self.clients, &settings).await
    }

    /// The clients with at most so many test images each, spread evenly over their own: attacks on all take long.
    pub fn clients_with_tests(&self, most: Option<usize>) -> Vec<Client> {
        let mut clients = self.clients.clone();
        clients.iter_mut().for_each(|c| c.test = spread(&c.test, most.unwrap_or(usize::MAX)));
        clients
    }

    /// The number of the client of that name, where clients have parameters or a base of their own; else 0.
    ///
    /// # Errors
    /// [`Error::Config`] where a client has to be named and is not, or the other way round, or there is none of that name.
    pub fn client_of_norms(&self, name: Option<&str>) -> Result<u32> {
        self.model.check_choice(name)?;
        name.map_or(Ok(0), |name| client_number(&self.clients, name))
    }

    /// Whether a picture is judged with test images of the model's data, and with which: with batch statistics a network cannot
    /// judge a picture alone. Of one domain, or of all in turn,
    /// spread evenly over its test images; 127 where no number is given.
    ///
    /// # Errors
    /// [`Error::Config`] for no images, a domain that there is not, or a model that judges each picture alone.
    pub fn context(&self, count: Option<usize>, domain: Option<&str>) -> Result<Context> {
        if self.model.bn_mode != BnMode::Batch {
            return match (count, domain) {
                (None, None) => Ok(Context { pixels: Vec::new(), labels: Vec::new() }),
                _ => Err(Error::Config(
                    "context and domain: this model normalises by running statistics, each picture alone: leave them out".into(),
                )),
            };
        }
        let count = count.unwrap_or(CONTEXT);
        if count == 0 {
            return Err(Error::Config("context = 0: a picture needs at least one other to be normalised with".into()));
        }
        let domains: Vec<_> = self.dataset.domains.iter().filter(|d| domain.is_none_or(|name| d.name == name)).collect();
        if domains.is_empty() {
            let names: Vec<_> = self.dataset.domains.iter().map(|d| d.name.as_str()).collect();
            return Err(Error::Config(format!("domain: no {:?}; the data has {}", domain.unwrap_or_default(), names.join(", "))));
        }
        let most = domains.iter().map(|d| d.test.len()).min().unwrap_or(0) * domains.len();
        if most == 0 {
            return Err(Error::Data("context: a domain of the data has no test images for a picture to be normalised with".into()));
        }
        // Of each domain every so many: test images are often sorted by class.
        let count = count.min(most);
        let chosen = (0..count).map(|i| {
            let (number, test) = (i % domains.len(), &domains[i % domains.len()].test);
            let of_domain = (count - number).div_ceil(domains.len());
            (test, i / domains.len() * test.len() / of_domain)
        });
        let (pixels, labels) = chosen.map(|(set, i)| (set.image(i), set.labels[i])).unzip::<_, _, Vec<_>, _>();
        Ok(Context { pixels: pixels.concat(), labels })
    }

    /// Class probabilities of pictures, H·W·3 bytes each, at each width: `[width][picture][class]`. Every picture is judged in a batch
    /// of its own, so that it does not depend on the others.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub async fn predict(
        &self,
        pictures: &[Vec<u8>],
        widths: &[Ratio],
        lambda: f64,
        context: &Context,
        client: u32,
    ) -> Result<Vec<Vec<Vec<f32>>>> {
        let each = 1 + context.count();
        let pixels: Vec<u8> = pictures.iter().flat_map(|p| p.iter().chain(&context.pixels)).copied().collect();
        let mut all = self.model.predict(&self.gpu, &pixels, &self.settings(widths, lambda, each), client).await?;
        all.iter_mut().for_each(|of_width| *of_width = std::mem::take(of_width).into_iter().step_by(each).collect());
        Ok(all)
    }

    fn settings(&self, widths: &[Ratio], lambda: f64, each: usize) -> TestSettings {
        TestSettings { widths: widths.to_vec(), lambda, order: Vec::new(), batch: each, limit: self.config.limit() }
    }

    /// Attacks a picture of H·W·3 bytes, which shows class `label`, against the mix of a width at a λ, and rounds the result to 8 bits as a
    /// picture has them. What it is judged with is attacked, too, as all images of a batch are in a test of robust accuracy.
    ///
    /// # Errors
    /// As [`Trained::predict`]; [`Error::Config`] for a label that there is not.
    #[allow(clippy::too_many_arguments)]
    pub async fn attack_picture(
        &self,
        picture: &[u8],
        label: u8,
        width: Ratio,
        lambda: f64,
        attack: Attack,
        context: &Context,
        client: u32,
    ) -> Result<AttackedPicture> {
        if usize::from(label) >= self.model.classes {
            return Err(Error::Config(format!("label {label}: the model knows {} classes", self.model.classes)));
        }
        self.model.check_lambda(lambda)?;
        let pixels = [picture, &context.pixels].concat();
        let labels = [&[label], context.labels.as_slice()].concat();
        let store = ImageStore::new(&self.gpu, self.model.network.input, &[(&pixels, &labels)])?;
        let batches = [Batch { client, images: (0..labels.len() as u32).collect() }];
        let part = self.model.parts(&self.gpu, &[width]).await?.remove(0);
        let options = AttackOptions {
            attack: attack.into(),
            bases: part.counts()[0],
            ensemble: self.model.ensemble(lambda, &[])?,
            batch: labels.len() as u32,
            batches: 1,
            seed: self.config.seed as u32,
            limit: self.config.limit(),
            guarded: false,
        };
        let mut attacker = Attacker::new(&self.gpu, part.network(), part.server(), &store, options).await?;
        let attacker_images = attacker.images(&self.gpu, &batches).await?.remove(0);
        let attacked: Vec<u8> = attacker_images.iter().flatten().map(|v| (v * 255.0).round() as u8).collect();
        let settings = self.settings(&[width], lambda, labels.len());
        let mut before = self.model.predict(&self.gpu, &pixels, &settings, client).await?.remove(0);
        let mut after = self.model.predict(&self.gpu, &attacked, &settings, client).await?.remove(0);
        let length = self.model.network.input.len() as usize;
        Ok(AttackedPicture { pixels: attacked[..length].to_vec(), before: before.swap_remove(0), after: after.swap_remove(0) })
    }
}

/// Images that a picture is judged with.
pub struct Context {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Context {
    /// Number of its images.
    pub fn count(&self) -> usize {
        self.labels.len()
    }
}

/// Number of the client of that name.
///
/// # Errors
/// [`Error::Config`] listing the names there are.
pub fn client_number(clients: &[Client], name: &str) -> Result<u32> {
    clients.iter().position(|c| c.name == name).map(|i| i as u32).ok_or_else(|| {
        let names: Vec<&str> = clients.iter().map(|c| c.name.as_str()).collect();
        Error::Config(format!("client: none is called {name:?}; there are {}", names.join(", ")))
    })
}

/// At most so many of a list, at equal distances.
fn spread(all: &[u32], most: usize) -> Vec<u32> {
    let count = most.min(all.len());
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn a_part_of_a_list_is_spread_over_it() {
        let all: Vec<u32> = (10..20).collect();
        assert_eq!(spread(&all, 4), [10, 12, 15, 17]);
        assert_eq!(spread(&all, 10), all);
        assert_eq!(spread(&all, 99), all);
        assert_eq!(spread(&[], 3), [0u32; 0]);
    }
}
