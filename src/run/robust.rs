//! What a test after an attack found, and signs that the attack did not work and robust accuracy is overstated.

use super::model::Report;
use crate::engine::{Adversarial, Pgd};
use crate::fl::Attack;
use serde::{Deserialize, Serialize};

impl From<Attack> for Pgd {
    fn from(attack: Attack) -> Pgd {
        Pgd {
            start: attack.start(),
            epsilon: attack.epsilon(),
            step_size: attack.step_size(),
            steps: attack.steps(),
            restarts: attack.restarts(),
            targeted: attack.is_targeted(),
        }
    }
}

impl Adversarial {
    /// Training on images that `attack`, of one try, has changed: their share λ in the loss, and the seed of its random start.
    pub fn by(attack: &Attack, lambda: f32, seed: u32) -> Adversarial {
        let Pgd { start, epsilon, step_size: alpha, steps, .. } = (*attack).into();
        Adversarial { lambda, seed, start, epsilon, alpha, steps }
    }
}

/// Accuracies after an attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustReport {
    /// The attack.
    #[serde(deserialize_with = "recorded")]
    pub attack: Attack,
    /// Accuracies, as of a test without attack.
    #[serde(flatten)]
    pub report: Report,
    /// How the attack went, one entry a width.
    pub progress: Vec<Progress>,
}

/// An attack as a report of any version names it.
fn recorded<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Attack, D::Error> {
    Attack::recorded(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// What a model does at one λ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// Share of the adversarial batch norms.
    pub lambda: f64,
    /// Accuracies on the images as they are.
    pub standard: Report,
    /// Accuracies after attacks made against the model at this λ.
    pub attacked: Vec<RobustReport>,
}

/// How an attack against one width went, over all images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Mean cross entropy where the steps begin.
    pub start_loss: f64,
    /// Mean cross entropy of the attacked images, each one's worst restart.
    pub loss: f64,
    /// Images without a gradient at any step.
    pub without_gradient: u32,
    /// Images attacked.
    pub images: u32,
}

/// Signs of masked gradients among attacks on one model, as sentences (Carlini et al., "On Evaluating Adversarial
/// Robustness", 2019; the flags of AutoAttack): images without any gradient, a loss that did not rise, and a descent of
/// several steps that is weaker than FGSM in the same ball.
///
/// Images are counted, so a few of them are no sign. Accuracies differ where their difference is above two standard errors of the
/// difference of two binomial shares, by Agresti and Caffo (2000, The American Statistician 54: one success and one failure are added to
/// each). It is cautious, as both attacks had the same images. Images without a gradient are a sign where their share is above two standard
/// errors of the accuracy, which they overstate by that share at most.
pub fn signs_of_masking(points: &[GridPoint]) -> Vec<String> {
    let mut signs = Vec::new();
    for GridPoint { lambda, attacked, .. } in points {
        let at = if points.len() > 1 { format!(", lambda {lambda}") } else { String::new() };
        for r in attacked.iter().filter(|r| r.attack.epsilon() > 0.0 && r.attack.steps() > 0) {
            for (accuracy, progress) in r.report.widths.iter().zip(&r.progress) {
                let mut add = |what: String| signs.push(format!("width {}{at}, {}: {what}", accuracy.width, r.attack));
                let Progress { start_loss, loss, without_gradient, images } = *progress;
                let own = Share { share: accuracy.mean.unwrap_or(0.0), images };
                if f64::from(without_gradient) / f64::from(images.max(1)) > 2.0 * own.variance().sqrt() {
                    add(format!("{without_gradient} of {images} images had no gradient at any step"));
                }
                if loss <= start_loss {
                    add(format!("the loss did not rise: {start_loss:.4} before the steps, {loss:.4} after"));
                }
                let same_ball =
                    |f: &&RobustReport| f.attack.is_fgsm() && !f.attack.is_targeted() && f.attack.epsilon() == r.attack.epsilon();
                let compared = !r.attack.is_fgsm() && !r.attack.is_targeted() && r.attack.steps() > 1;
                let fgsm = attacked.iter().find(same_ball).and_then(|f| f.report.widths.iter().find(|w| w.width == accuracy.width));
                if let (true, Some(one_step)) = (compared, fgsm.and_then(|w| w.mean))
                    && own.is_above(Share { share: one_step, images })
                {
                    add(format!("weaker than one step: {:.1}% are left, {:.1}% after FGSM", own.share * 100.0, one_step * 100.0));
                }
            }
        }
    }
    signs
}

/// Widths at which an attack lowered no accuracy, one sentence per attack and λ: too weak an attack looks like a robust model.
pub fn without_effect(points: &[GridPoint]) -> Vec<String> {
    let mut all = Vec::new();
    for GridPoint { lambda, standard, attacked } in points {
        for r in attacked {
            let unchanged =
                standard.widths.iter().zip(&r.report.widths).filter(|(clean, own)| own.mean > Some(0.0) && own.mean >= clean.mean);
            let widths: Vec<String> = unchanged.map(|(clean, _)| clean.width.to_string()).collect();
            if !widths.is_empty() {
                let at = if points.len() > 1 { format!(", lambda {lambda}") } else { String::new() };
                all.push(format!(
                    "{} lowers no accuracy at width {}{at}: it says nothing about robustness there",
                    r.attack,
                    widths.join(", ")
                ));
            }
        }
    }
    all
}

/// A share of images.
#[derive(Clone, Copy)]
struct Share {
    share: f64,
    images: u32,
}

impl Share {
    /// With a success and a failure more.
    fn adjusted(self) -> f64 {
        (self.share * f64::from(self.images) + 1.0) / (f64::from(self.images) + 2.0)
    }

    fn variance(self) -> f64 {
        self.adjusted() * (1.0 - self.adjusted()) / (f64::from(self.images) + 2.0)
    }

    /// Whether it is above another by more than the number of images allows.
    fn is_above(self, other: Share) -> bool {
        self.adjusted() - other.adjusted() > 2.0 * (self.variance() + other.variance()).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::Ratio;
    use crate::run::model::Accuracy;

    fn accuracies(mean: f64) -> Report {
        Report { widths: vec![Accuracy { width: Ratio::ONE, mean: Some(mean), domains: vec![], clients: vec![] }] }
    }

    fn report(attack: &str, mean: f64, start_loss: f64, loss: f64, without_gradient: u32) -> RobustReport {
        RobustReport {
            attack: Attack::recorded(attack).unwrap(),
            report: accuracies(mean),
            progress: vec![Progress { start_loss, loss, without_gradient, images: 400 }],
        }
    }

    fn point(attacked: Vec<RobustReport>) -> GridPoint {
        GridPoint { lambda: 0.5, standard: accuracies(0.95), attacked }
    }

    fn signs(attacked: Vec<RobustReport>) -> Vec<String> {
        signs_of_masking(&[point(attacked)])
    }

    #[test]
    fn tries_of_a_targeted_attack_go_round_the_other_classes() {
        let attack = Pgd::from("pgd-20-targeted-restarts12-eps4".parse::<Attack>().unwrap());
        assert_eq!([0, 1, 8, 9].map(|r| attack.shift(r, 10)), [1, 2, 9, 1], "every other class, then from the first again");
        assert_eq!(Pgd::from(Attack::fgsm(8.0).unwrap()).shift(3, 10), 0);
    }

    #[test]
    fn a_sound_set_of_attacks_shows_no_sign() {
        let sound = vec![report("fgsm", 0.5, 1.0, 2.0, 0), report("pgd-20", 0.4, 1.0, 3.0, 0), report("pgd-20-eps0", 0.9, 1.0, 1.0, 400)];
        assert_eq!(signs(sound), Vec::<String>::new());
    }

    #[test]
    fn a_few_images_are_no_sign() {
        // One image of 400.
        assert_eq!(signs(vec![report("fgsm", 0.890, 0.2, 0.4, 0), report("pgd-7", 0.892, 0.2, 0.5, 3)]), Vec::<String>::new());
        // Nothing is left to be found where all is lost already, or where nothing is.
        for same in [0.0, 1.0] {
            assert_eq!(signs(vec![report("fgsm", same, 1.0, 2.0, 0), report("pgd-20", same, 1.0, 3.0, 0)]), Vec::<String>::new());
        }
        // √(2 · 0.5 · 0.5 / 402) = 0.035: seven points are allowed, seven and a half are not.
        let weaker =
            |by: f64| signs(vec![report("fgsm", 0.5 - by / 2.0, 1.0, 2.0, 0), report("pgd-20", 0.5 + by / 2.0, 1.0, 3.0, 0)]).len();
        assert_eq!((weaker(0.069), weaker(0.075)), (0, 1));
    }

    #[test]
    fn every_sign_is_told_with_its_width_and_attack() {
        let masked =
            || vec![report("fgsm", 0.5, 1.0, 2.0, 0), report("pgd-20", 0.7, 1.0, 1.0, 60), report("pgd-20-eps4", 0.6, 1.0, 2.0, 0)];
        let told = signs(masked());
        assert_eq!(
            told,
            [
                "width 1, pgd-20: 60 of 400 images had no gradient at any step",
                "width 1, pgd-20: the loss did not rise: 1.0000 before the steps, 1.0000 after",
                "width 1, pgd-20: weaker than one step: 70.0% are left, 50.0% after FGSM",
            ]
        );
        assert!(signs_of_masking(&[point(masked()), point(vec![])])[0].starts_with("width 1, lambda 0.5, pgd-20: "));
    }

    #[test]
    fn an_attack_that_lowers_no_accuracy_is_told() {
        let attacked = || vec![report("fgsm", 0.949, 1.0, 2.0, 0), report("fgsm-eps1", 0.95, 1.0, 1.1, 0)];
        assert_eq!(
            without_effect(&[point(attacked())]),
            ["fgsm-eps1 lowers no accuracy at width 1: it says nothing about robustness there"]
        );
        assert!(without_effect(&[point(vec![]), point(attacked())])[0].contains("at width 1, lambda 0.5: "));
    }

    #[test]
    fn a_grid_of_an_earlier_version_is_read() {
        let json = serde_json::to_string(&report("fgsm-eps1", 0.5, 1.0, 2.0, 0)).unwrap().replace("fgsm-eps1", "fgsm-eps0.5");
        assert_eq!(serde_json::from_str::<RobustReport>(&json).unwrap().attack, Attack::fgsm(0.5).unwrap());
    }
}
