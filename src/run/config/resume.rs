//! What of a configuration may differ from that of a run that continues, and from one that is trained together with it.

use super::*;

impl ValidConfig {
    /// The same with the checksum of the file that the run of `saved` began with, where it is to begin with that and says no checksum.
    pub fn with_checksum_of(mut self, saved: &TrainConfig) -> ValidConfig {
        if self.init_checksum.is_none() && self.init == saved.init {
            self.0.init_checksum.clone_from(&saved.init_checksum);
        }
        self
    }
}

impl TrainConfig {
    pub(super) fn stages(&self) -> &[Stage] {
        self.rounds_before.as_ref().map_or(&[], |stages| &stages.0)
    }

    /// The number of rounds that the learning-rate schedule of (0-based) round `round` spreads over: that of the run when the round
    /// was trained.
    pub fn rounds_planned(&self, round: usize) -> usize {
        self.stages().iter().find(|stage| round < stage.trained).map_or(self.rounds, |stage| stage.planned)
    }

    /// The configuration with which a run of this one, `done` rounds of which are trained, continues to `rounds` rounds in all. The rates of
    /// the rounds already trained stay what they were; from the next round on a cosine spreads over the new number.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer rounds than are trained, or for fewer than planned under a cosine schedule.
    pub fn continued(mut self, rounds: usize, done: usize) -> Result<TrainConfig> {
        if rounds < done {
            return Err(Error::Config(format!(
                "rounds = {rounds}: the run has {done} rounds already: write more than {done} to train on, or leave rounds out"
            )));
        }
        if self.schedule == Schedule::Cos && done > 0 && rounds != self.rounds {
            if rounds < self.rounds {
                return Err(Error::Config(format!(
                    "rounds = {rounds}: the learning rates of the {done} rounds already trained follow a cosine over {} rounds, which can be \
                     raised but not lowered: write more than {}, or leave rounds out",
                    self.rounds, self.rounds
                )));
            }
            let stages = &mut self.rounds_before.get_or_insert_with(|| List(Vec::new())).0;
            // Of a number that was raised before a round was trained with it, nothing is left.
            if stages.last().is_none_or(|last| last.trained < done) {
                stages.push(Stage { trained: done, planned: self.rounds });
            }
        }
        self.rounds = rounds;
        Ok(self)
    }

    /// Whether a run of `saved` was continued to this configuration by [`TrainConfig::continued`], as far as the rounds go.
    fn continues(&self, saved: &TrainConfig) -> bool {
        let (now, then) = (self.stages(), saved.stages());
        match now.split_last() {
            Some((last, before)) => self.rounds > saved.rounds && before == then && last.planned == saved.rounds,
            None => false,
        }
    }

    /// Whether (0-based) round `round` is followed by a validation: by interval, and after the last, also that of before more rounds were
    /// added.
    pub fn validates_after(&self, round: usize) -> bool {
        let last = |stage: &Stage| stage.trained == stage.planned && round + 1 == stage.trained;
        (round + 1).is_multiple_of(self.validate_every) || round + 1 == self.rounds || self.stages().iter().any(last)
    }

    /// Whether (0-based) round `round` is followed by a checkpoint.
    pub fn saves_after(&self, round: usize) -> bool {
        (round + 1).is_multiple_of(self.checkpoint_every) || round + 1 == self.rounds
    }

    /// Checks that a run started with `saved` can continue with this configuration to the same result: only options
    /// that do not touch what is learnt may differ, and the number of rounds: freely where the learning rate does not depend on it, else as
    /// [`TrainConfig::continued`] changes it (the last round of before was validated, and stays so). Both are to be validated
    /// configurations.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first option that differs, with both values.
    pub fn check_resume(&self, saved: &TrainConfig) -> Result<()> {
        let (now, then) = (self.as_object()?, saved.as_object()?);
        let shown = |value: Option<&serde_json::Value>| match value {
            // A described network is long.
            Some(serde_json::Value::Object(network)) => network.get("name").map_or("another".into(), |name| format!("{name} of a file")),
            Some(value) => value.to_string(),
            None => "no value".to_string(),
        };
        let mut free = TrainConfig::keys();
        free.retain(|key| TrainConfig::about(key).is_free_on_resume() && key != "out");
        for key in TrainConfig::keys() {
            let may_differ = match key.as_str() {
                "rounds" => self.schedule != Schedule::Cos || self.continues(saved),
                "rounds-before" => self.continues(saved),
                key => TrainConfig::about(key).is_free_on_resume() || self.ignores(key),
            };
            if !may_differ && now.get(&key) != then.get(&key) {
                let (own, before) = (shown(now.get(&key)), shown(then.get(&key)));
                // Other rounds than a resume asks for are those of an edited file.
                let what = match key.as_str() {
                    "rounds" if self.rounds > saved.rounds => {
                        format!("set it back to {before}; to train on, resume with --rounds {own}")
                    }
                    "rounds" => format!("set it back to {before}"),
                    key => format!(
                        "set it back or resume without {key}, or start another run in another folder; only rounds (raised), {} may change",
                        free.join(", ")
                    ),
                };
                return Err(Error::Config(format!("{key} is {own} but the run was started with {before}: {what}")));
            }
        }
        Ok(())
    }

    /// Whether a run with this configuration and one with the other can be trained together. Attacks and augmentation draw by one seed a
    /// program and clients' own batch norms are one table a program, so a run with these is trained alone.
    ///
    /// # Errors
    /// [`Error::Config`] where a configuration cannot be written.
    pub fn trains_together(&self, other: &TrainConfig) -> Result<bool> {
        let (own, others) = (self.as_object()?, other.as_object()?);
        let may_differ = |key: &str| TrainConfig::about(key).together || self.ignores(key);
        let same = TrainConfig::keys().iter().all(|key| may_differ(key) || own.get(key) == others.get(key));
        Ok(same
            && self.lambda_train == 0.0
            && self.augment().is_none()
            && !self.keeps_any()
            && self.server_optimizer().is_none()
            && !self.scaffold)
    }

    /// Whether a key is that of another method's own option.
    fn ignores(&self, key: &str) -> bool {
        MethodOption::of(key).is_some() && !self.method.concerns(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refused, valid};
    use super::*;
    use crate::net::Architecture;

    #[test]
    fn validation_and_checkpoints_include_the_last_round() {
        let config = valid(|c| {
            c.rounds = 5;
            c.validate_every = 2;
            c.checkpoint_every = 10;
        });
        let config = config.unwrap();
        let rounds = |when: &dyn Fn(usize) -> bool| (0..5).filter(|&round| when(round)).collect::<Vec<_>>();
        assert_eq!(rounds(&|round| config.validates_after(round)), [1, 3, 4]);
        assert_eq!(rounds(&|round| config.saves_after(round)), [4]);
    }

    #[test]
    fn a_run_may_have_more_rounds_whatever_its_schedule() {
        let start = TrainConfig::from(valid(|c| c.rounds = 18).unwrap());
        let rates = |config: &TrainConfig| -> Vec<f64> {
            (0..config.rounds)
                .map(|round| {
                    let settings = config.round_settings(round);
                    settings.schedule.rate(settings.lr, round, settings.rounds)
                })
                .collect()
        };
        let cosine = |round: usize, rounds: usize| 0.5 * 0.05 * (1.0 + libm::cos(std::f64::consts::PI * round as f64 / rounds as f64));
        // After the last round: the rates of before stay, the new ones are those of a run of 36 rounds.
        let more = start.clone().continued(36, 18).unwrap().validate().unwrap();
        assert_eq!(more.rounds_before.as_ref().unwrap().to_string(), "18/18");
        let expected: Vec<f64> = (0..36).map(|round| cosine(round, if round < 18 { 18 } else { 36 })).collect();
        assert_eq!(rates(&more), expected);
        assert!(more.validates_after(17) && more.validates_after(35));
        more.check_resume(&start).unwrap();
        // Before the last one, and once more; a number under which no round was trained leaves nothing.
        let twice = start.clone().continued(30, 10).unwrap().continued(40, 10).unwrap().continued(50, 25).unwrap().validate().unwrap();
        assert_eq!(twice.rounds_before.as_ref().unwrap().to_string(), "10/18,25/40");
        assert_eq!([9, 10, 24, 25].map(|round| twice.rounds_planned(round)), [18, 40, 40, 50]);
        assert!(!twice.validates_after(9));
        assert_eq!(TrainConfig::from_toml(&twice.to_toml().unwrap(), std::path::Path::new("x")).unwrap(), *twice);
        // Nothing is trained yet, or the same number: nothing to remember.
        assert_eq!(start.clone().continued(7, 0).unwrap().rounds_before, None);
        assert_eq!(start.clone().continued(18, 18).unwrap(), start);
        let refused = |config: &TrainConfig, rounds, done| config.clone().continued(rounds, done).unwrap_err().to_string();
        assert_eq!(
            refused(&start, 5, 18),
            "rounds = 5: the run has 18 rounds already: write more than 18 to train on, or leave rounds out"
        );
        assert!(refused(&start, 12, 10).contains("can be raised but not lowered: write more than 18"));
        let constant = TrainConfig::from(valid(|c| c.schedule = Schedule::None).unwrap());
        assert_eq!(constant.clone().continued(12, 10).unwrap(), TrainConfig { rounds: 12, ..constant.clone() });
        assert!(refused(&constant, 9, 10).contains("has 10 rounds already"));
        // A hand that edits the file is noticed.
        for (rounds, stages) in [(36, None), (36, Some("18/20")), (18, Some("9/18")), (36, Some("9/12,18/18"))] {
            let edited = TrainConfig { rounds, rounds_before: stages.map(|s| s.parse().unwrap()), ..start.clone() };
            assert!(edited.check_resume(&start).is_err(), "{rounds} {stages:?}");
        }
        refused_stages("18/18", 18);
        refused_stages("20/30,10/40", 50);
        refused_stages("10/30,20/30", 50);
        for text in ["18", "0/3", "4/3", "a/b", ""] {
            assert!(text.parse::<Stage>().is_err(), "{text}");
        }
    }

    fn refused_stages(stages: &str, rounds: usize) {
        refused(|c| (c.rounds, c.rounds_before) = (rounds, Some(stages.parse().unwrap())), &["rounds-before = ", stages]);
    }

    #[test]
    fn resuming_with_another_value() {
        let saved = valid(|_| {}).unwrap();
        let same = valid(|c| {
            c.out = "elsewhere".into();
            c.adapter = Some("llvmpipe".into());
            c.wave_lanes = Some(7);
            c.eval_batch_size = 16;
        });
        same.unwrap().check_resume(&saved).unwrap();
        let message = valid(|c| c.lr = 0.1).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert!(message.contains("lr is 0.1 but the run was started with 0.05: set it back or resume without lr, or start"), "{message}");
        let message = valid(|c| c.rounds = 90).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert_eq!(message, "rounds is 90 but the run was started with 18: set it back to 18; to train on, resume with --rounds 90");
        let described = Architecture::built_in("alexnet").unwrap();
        let message = valid(|c| c.network = NetworkChoice::Described(described)).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert!(message.starts_with("network is \"alexnet\" of a file but the run was started with \"digits\": "), "{message}");
        let message = valid(|c| c.clients_per_round = Some(3)).unwrap().check_resume(&saved).unwrap_err().to_string();
        assert!(message.contains("started with no value"), "{message}");
        // More rounds would stretch the cosine, but not a constant rate.
        assert!(valid(|c| c.rounds = 90).unwrap().check_resume(&saved).is_err());
        let constant = |rounds| {
            valid(|c| {
                c.schedule = Schedule::None;
                c.rounds = rounds;
            })
        };
        constant(90).unwrap().check_resume(&constant(60).unwrap()).unwrap();
    }
}
