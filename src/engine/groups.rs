//! Rounds in which clients train networks of different widths: a group of lanes for each, averaged value by value.

use super::corner::{Corner, Settle};
use super::{ClientWork, Compared, ImageStore, Rows, Staging, Totals, TrainOptions, Trainer};
use crate::gpu::Gpu;
use crate::net::Network;
use crate::{Error, Result};

/// The lanes of one width.
#[derive(Debug, Clone)]
pub struct GroupSetting {
    /// The corner of the server's network that they train; `None`: all of it.
    pub corner: Option<Network>,
    /// How.
    pub options: TrainOptions,
}

/// What a group does in a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupWork {
    /// What its clients do; the shares of a base's lanes add up to 1 in the group.
    pub clients: Vec<ClientWork>,
    /// The weight of the group's average of each base, among those of other groups.
    pub weights: Vec<f32>,
}

/// The programs of local training of all groups, and of their common average.
pub struct LaneGroups {
    groups: Vec<(Trainer, Option<Corner>)>,
    /// Where there are corners.
    settle: Option<Settle>,
    /// Dispatches of the last round.
    pub dispatches: u64,
    /// Submits of the last round.
    pub submits: u64,
}

impl LaneGroups {
    /// Builds the programs. One group that trains whole bases is averaged base by base; corners are averaged value by value over
    /// those that hold it.
    ///
    /// # Errors
    /// [`Error::Config`] for several groups not all of which are corners, and as [`Trainer::new`]; [`Error::Gpu`] where the device
    /// refuses.
    pub async fn new(gpu: &Gpu, network: &Network, server: &Rows, images: &ImageStore, settings: Vec<GroupSetting>) -> Result<LaneGroups> {
        let corners = settings.iter().filter(|s| s.corner.is_some()).count();
        if settings.is_empty() || (corners > 0 && corners < settings.len()) || (corners == 0 && settings.len() > 1) {
            return Err(Error::Config("groups of lanes are one of whole bases, or all of corners".into()));
        }
        let settle = if corners > 0 { Some(Settle::new(gpu, network, server).await?) } else { None };
        let mut groups = Vec::new();
        for s in settings {
            let corner = match s.corner {
                Some(narrow) => Some(Corner::merged_by(gpu, network, server, narrow, settle.as_ref()).await?),
                None => None,
            };
            let (own, bases) = corner.as_ref().map_or((network, server), |c| (&c.network, &c.server));
            groups.push((Trainer::new(gpu, own, bases, images, s.options).await?, corner));
        }
        Ok(LaneGroups { groups, settle, dispatches: 0, submits: 0 })
    }

    /// Bytes of staging that a round of so many lanes needs.
    pub fn staging_bytes(lanes: u32) -> u64 {
        Trainer::staging_bytes(lanes)
    }

    /// Tells the number of the next round.
    pub fn set_round(&mut self, round: u32) {
        self.groups.iter_mut().for_each(|(trainer, _)| trainer.set_round(round));
    }

    /// Lanes of a full wave of each group.
    pub fn lanes_per_wave(&self) -> Vec<u32> {
        self.groups.iter().map(|(trainer, _)| trainer.lanes_per_wave()).collect()
    }

    /// Waves that a round's lanes are trained in.
    pub fn waves(&self, work: &[GroupWork]) -> usize {
        let waves = |(w, (trainer, _)): (&GroupWork, &(Trainer, _))| lanes(&w.clients).div_ceil(trainer.lanes_per_wave()) as usize;
        work.iter().zip(&self.groups).map(waves).sum()
    }

    /// Submits a round: local training of every group's clients, and the new averages. The lanes' counters go to `staging` at
    /// `offset`, in the order that [`LaneGroups::totals`] expects. Nothing is awaited.
    ///
    /// # Errors
    /// [`Error::Config`] where a client's work exceeds what its group was made for.
    pub fn round(
        &mut self,
        gpu: &Gpu,
        server: &Rows,
        work: &[GroupWork],
        learning_rate: f32,
        staging: &Staging,
        offset: u64,
    ) -> Result<()> {
        assert_eq!(work.len(), self.groups.len(), "work of every group");
        (self.dispatches, self.submits) = (0, 0);
        let mut at = offset;
        if let Some(settle) = &self.settle {
            self.submits += submit(gpu, |encoder| settle.begin(encoder));
        }
        for ((trainer, corner), w) in self.groups.iter_mut().zip(work).filter(|(_, w)| !w.clients.is_empty()) {
            if let Some(corner) = corner {
                self.submits += submit(gpu, |encoder| self.dispatches += corner.take(gpu, encoder));
            }
            let bases = corner.as_ref().map_or(server, |c| &c.server);
            trainer.round(gpu, bases, &w.clients, learning_rate, staging, at)?;
            self.dispatches += trainer.dispatches;
            self.submits += trainer.submits;
            if let Some(corner) = corner {
                self.submits += submit(gpu, |encoder| self.dispatches += corner.merge(gpu, encoder, &w.weights));
            }
            at += Trainer::staging_bytes(lanes(&w.clients));
        }
        if let Some(settle) = &self.settle {
            self.submits += submit(gpu, |encoder| self.dispatches += settle.settle(gpu, encoder));
        }
        gpu.check()
    }

    /// The only group, of whole bases: where lanes wait for their average there is no other.
    fn whole(&mut self) -> &mut Trainer {
        assert!(self.groups.len() == 1 && self.settle.is_none(), "lanes that wait for their average train whole bases");
        &mut self.groups[0].0
    }

    /// [`Trainer::train_only`] of groups that train whole bases.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there, and where groups train corners.
    pub fn train_only(&mut self, gpu: &Gpu, work: &[GroupWork], learning_rate: f32, staging: &Staging, offset: u64) -> Result<()> {
        self.whole().train_only(gpu, &work[0].clients, learning_rate, staging, offset)
    }

    /// [`Trainer::distances`] of such lanes.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub async fn distances(&mut self, gpu: &Gpu, work: &[GroupWork], compared: Compared) -> Result<Vec<Vec<f64>>> {
        self.whole().distances(gpu, &work[0].clients, compared).await
    }

    /// [`Trainer::average`] of such lanes.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn average(&mut self, gpu: &Gpu, server: &Rows, work: &[GroupWork]) -> Result<()> {
        let trainer = self.whole();
        trainer.average(gpu, server, &work[0].clients)?;
        (self.dispatches, self.submits) = (trainer.dispatches, trainer.submits);
        Ok(())
    }

    /// Counters of every client of every group, one a base that it trained, on clean and on attacked images, out of the bytes that
    /// were read back.
    pub fn totals(work: &[GroupWork], bytes: &[u8]) -> [Vec<Vec<Totals>>; 2] {
        let [mut clean, mut adversarial] = [Vec::new(), Vec::new()];
        let mut rest = bytes;
        for w in work {
            let (own, others) = rest.split_at(Trainer::staging_bytes(lanes(&w.clients)) as usize);
            clean.extend(Trainer::totals(&w.clients, own));
            adversarial.extend(Trainer::adversarial_totals(&w.clients, own));
            rest = others;
        }
        [clean, adversarial]
    }
}

/// Lanes of so many clients' work.
fn lanes(work: &[ClientWork]) -> u32 {
    work.iter().map(|c| c.bases.len() as u32).sum()
}

/// Records and submits something. Returns the number of submits.
fn submit(gpu: &Gpu, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> u64 {
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("corners") });
    record(&mut encoder);
    gpu.submit(encoder);
    1
}
