//! Metrics as TensorBoard event files.
//!
//! A file is a sequence of records: length, checksum of the length, an `Event` message, its checksum. The messages are those of
//! TensorFlow's `event.proto` and `summary.proto`.

use super::metrics::{RoundCost, RoundMetrics};
use crate::{Error, Result};
use prost::Message;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file of events, one a round.
pub struct TensorBoard {
    file: File,
    path: PathBuf,
}

impl TensorBoard {
    /// Begins a new file in `folder`, which is made where it is not there. A resumed run writes another file; TensorBoard shows them as
    /// one run.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn create(folder: &Path) -> Result<TensorBoard> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io { action: "cannot write TensorBoard's events", path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let now = now();
        // TensorBoard takes files in the order of their names, and two processes may begin in the same second.
        let name = format!("events.out.tfevents.{:010}.{:09}.splitmix", now.as_secs(), now.subsec_nanos());
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(failed(&path))?;
        let mut board = TensorBoard { file, path };
        board.write(Event { wall_time: now.as_secs_f64(), file_version: Some("brain.Event:2".into()), ..Event::default() })?;
        Ok(board)
    }

    /// Adds a round.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn append(&mut self, metrics: &RoundMetrics, cost: &RoundCost) -> Result<()> {
        let mut value = vec![
            ("train/loss".to_string(), metrics.train_loss),
            ("train/accuracy".to_string(), metrics.train_accuracy),
            ("train/learning-rate".to_string(), metrics.lr),
            ("cost/seconds".to_string(), cost.seconds),
        ];
        value.extend(metrics.robust_train_accuracy.map(|a| ("train/robust-accuracy".to_string(), a)));
        // A slash groups: width 1/8 is written 1:8.
        let width = |w: crate::fl::Ratio| w.to_string().replace('/', ":");
        for m in &metrics.validation {
            value.extend(m.accuracy.map(|a| (format!("validation/width {}", width(m.width)), a)));
            value.extend(m.domains.iter().filter_map(|(d, a)| Some((format!("validation of {d}/width {}", width(m.width)), (*a)?))));
        }
        value.extend(
            metrics.robust_validation.as_ref().and_then(|m| Some((format!("robust validation/width {}", width(m.width)), m.accuracy?))),
        );
        let value = value.into_iter().map(|(tag, v)| Value { tag, simple_value: Some(v as f32) }).collect();
        let step = metrics.round as i64 + 1;
        self.write(Event { wall_time: now().as_secs_f64(), step, file_version: None, summary: Some(Summary { value }) })
    }

    fn write(&mut self, event: Event) -> Result<()> {
        let written = self.file.write_all(&record(&event.encode_to_vec())).and_then(|()| self.file.flush());
        written.map_err(|source| Error::Io { action: "cannot write TensorBoard's events", path: self.path.clone(), source })
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A message between its length and checksums.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), message, &masked(message)].concat()
}

/// The checksum of TFRecord files: CRC-32C, rotated, with a constant added.
fn masked(bytes: &[u8]) -> [u8; 4] {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::Ratio;
    use crate::run::metrics::width_metrics;

    #[test]
    fn records_have_their_checksums() {
        // masked_crc32c of TensorBoard itself.
        assert_eq!(masked(&24u64.to_le_bytes()), 0xa3_7f_4b_22u32.to_be_bytes());
    }

    #[test]
    fn a_round_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::create(&folder.path().join("tensorboard")).unwrap();
        let metrics = RoundMetrics {
            round: 4,
            lr: 0.1,
            clients: 2,
            lanes: 3,
            train_loss: 0.5,
            train_accuracy: 0.75,
            robust_train_accuracy: None,
            validation: vec![width_metrics(Ratio::EIGHTH, &[("mnist", Some(0.25)), ("usps", None)])],
            robust_validation: None,
            best: false,
            own_bases: None,
            figures: Default::default(),
        };
        let cost = RoundCost { round: 4, seconds: 2.0, waves: 1, dispatches: 9, submits: 1, together: 1 };
        board.append(&metrics, &cost).unwrap();
        let mut bytes = &std::fs::read(&board.path).unwrap()[..];
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            assert_eq!(bytes[8..12], masked(&bytes[..8]));
            let message = &bytes[12..12 + length];
            assert_eq!(bytes[12 + length..][..4], masked(message));
            events.push(Event::decode(message).unwrap());
            bytes = &bytes[16 + length..];
        }
        assert_eq!((events.len(), events[0].file_version.as_deref(), events[1].step), (2, Some("brain.Event:2"), 5));
        let values = &events[1].summary.as_ref().unwrap().value;
        let of = |tag: &str| values.iter().find(|v| v.tag == tag).and_then(|v| v.simple_value);
        assert_eq!(of("train/loss"), Some(0.5));
        assert_eq!(of("validation/width 1:8"), Some(0.25));
        assert_eq!(of("validation of mnist/width 1:8"), Some(0.25));
        assert_eq!(of("validation of usps/width 1:8"), None);
    }
}
