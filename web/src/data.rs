//! Images and labels.

use crate::convert::{fail, give_all, read};
use serde::{Deserialize, Serialize};
use splitmix_fl::data::{self as sets, Dataset, Domain, ImageSet, Origin};
use splitmix_fl::run::config::DataSource;
use splitmix_fl::{Error, Result};
use std::rc::Rc;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Labelled images of one size. */
export interface ImageArrays {
  /** Bytes of all images, red, green and blue of a pixel after each other, row by row, image by image. */
  pixels: Uint8Array;
  /** The class of each image, an index into the classes. */
  labels: Uint8Array;
}
/** A data set in arrays. */
export interface DataArrays {
  /** Names of the classes. */
  classes: string[];
  /** Rows of an image. */
  height: number;
  /** Columns of an image. */
  width: number;
  /** The domains, in the order in which clients are numbered. */
  domains: { name: string; train: ImageArrays; test: ImageArrays }[];
}
"#;

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript types.
    #[wasm_bindgen(typescript_type = "DataArrays")]
    pub type DataArrays;
}

#[derive(Default, Deserialize)]
struct Arrays {
    #[serde(with = "serde_bytes")]
    pixels: Vec<u8>,
    #[serde(with = "serde_bytes")]
    labels: Vec<u8>,
}

#[derive(Deserialize)]
struct DomainArrays {
    name: String,
    train: Arrays,
    test: Arrays,
}

#[derive(Default, Deserialize)]
struct AllArrays {
    classes: Vec<String>,
    height: u32,
    width: u32,
    domains: Vec<DomainArrays>,
}

/// A domain of a data set.
#[derive(Serialize, Tsify)]
pub struct DomainInfo {
    /// Its name.
    pub name: String,
    /// `genuine` images, or `generated` by a program.
    pub origin: String,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
}

/// Images and labels of several domains.
#[wasm_bindgen]
pub struct Data {
    pub(crate) dataset: Rc<Dataset>,
    pub(crate) source: DataSource,
}

#[wasm_bindgen]
impl Data {
    /// The data inside the package: four domains of digits, two of them generated.
    pub fn embedded() -> std::result::Result<Data, JsValue> {
        Ok(Data { dataset: Rc::new(sets::embedded().map_err(fail)?), source: DataSource::Embedded })
    }

    /// Your own images. They are resized to the network's input where they have another size.
    #[wasm_bindgen(js_name = fromArrays)]
    pub fn from_arrays(arrays: DataArrays) -> std::result::Result<Data, JsValue> {
        Data::new(&arrays).map_err(fail)
    }

    /// Names of the classes.
    #[wasm_bindgen(getter)]
    pub fn classes(&self) -> Vec<String> {
        self.dataset.classes.clone()
    }

    /// The domains.
    #[wasm_bindgen(getter)]
    pub fn domains(&self) -> std::result::Result<Vec<Ts<DomainInfo>>, JsValue> {
        let info = |d: &Domain| DomainInfo { name: d.name.clone(), origin: d.origin.to_string(), train: d.train.len(), test: d.test.len() };
        give_all(self.dataset.domains.iter().map(info))
    }

    /// Rows and columns of an image.
    #[wasm_bindgen(getter, js_name = imageSize)]
    pub fn image_size(&self) -> Vec<u32> {
        let (height, width) = self.dataset.image_size();
        vec![height, width]
    }

    /// A test image of a domain: bytes of red, green and blue, row by row.
    #[wasm_bindgen(js_name = testImage)]
    pub fn test_image(&self, domain: usize, index: usize) -> std::result::Result<Vec<u8>, JsValue> {
        Ok(self.test_set(domain, index)?.image(index).to_vec())
    }

    /// The class of a test image.
    #[wasm_bindgen(js_name = testLabel)]
    pub fn test_label(&self, domain: usize, index: usize) -> std::result::Result<u8, JsValue> {
        Ok(self.test_set(domain, index)?.labels[index])
    }
}

impl Data {
    fn new(arrays: &JsValue) -> Result<Data> {
        let all: AllArrays = read("data", arrays)?;
        let set = |a: Arrays| ImageSet { height: all.height, width: all.width, pixels: a.pixels, labels: a.labels };
        let domains = all.domains.into_iter().map(|d| Domain {
            name: d.name,
            origin: Origin::Genuine,
            train: set(d.train),
            test: set(d.test),
            validation: 0,
        });
        let dataset = Dataset::new("arrays", all.classes, domains.collect())?;
        Ok(Data { dataset: Rc::new(dataset), source: DataSource::Directory })
    }

    fn test_set(&self, domain: usize, index: usize) -> std::result::Result<&ImageSet, JsValue> {
        let set = self.dataset.domains.get(domain).map(|d| &d.test).filter(|set| index < set.len());
        set.ok_or_else(|| fail(Error::Data(format!("there is no test image {index} of domain {domain}"))))
    }
}
