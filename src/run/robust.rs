//! What a test after an attack found, and signs that the attack did not work and robust accuracy is overstated.

use super::model::Report;
use crate::fl::Attack;
use serde::{Deserialize, Serialize};

/// Accuracies after an attack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustReport {
    /// The attack.
    pub attack: Attack,
    /// Accuracies, as of a test without attack.
    #[serde(flatten)]
    pub report: Report,
    /// How the attack went, one entry a width.
    pub progress: Vec<Progress>,
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
/// several steps that found no more than FGSM in the same ball.
pub fn signs_of_masking(reports: &[RobustReport]) -> Vec<String> {
    let mut signs = Vec::new();
    for r in reports.iter().filter(|r| r.attack.epsilon() > 0.0 && r.attack.steps() > 0) {
        for (accuracy, progress) in r.report.widths.iter().zip(&r.progress) {
            let mut tell = |what: String| signs.push(format!("width {}, {}: {what}", accuracy.width, r.attack));
            let Progress { start_loss, loss, without_gradient, images } = *progress;
            if without_gradient > 0 {
                tell(format!("{without_gradient} of {images} images had no gradient at any step"));
            }
            if loss <= start_loss {
                tell(format!("the loss did not rise: {start_loss:.4} before the steps, {loss:.4} after"));
            }
            let same_ball = |f: &&RobustReport| f.attack.is_fgsm() && !f.attack.is_targeted() && f.attack.epsilon() == r.attack.epsilon();
            let compared = !r.attack.is_fgsm() && !r.attack.is_targeted() && r.attack.steps() > 1;
            let fgsm = reports.iter().find(same_ball).and_then(|f| f.report.widths.iter().find(|w| w.width == accuracy.width));
            if let (true, Some(own), Some(one_step)) = (compared, accuracy.mean, fgsm.and_then(|w| w.mean))
                && own > 0.0
                && own >= one_step
            {
                tell(format!("no stronger than one step: {:.1}% are left, {:.1}% after FGSM", own * 100.0, one_step * 100.0));
            }
        }
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fl::Ratio;
    use crate::run::model::Accuracy;

    fn report(attack: &str, mean: f64, start_loss: f64, loss: f64, without_gradient: u32) -> RobustReport {
        let width = Accuracy { width: Ratio::ONE, mean: Some(mean), domains: vec![], clients: vec![] };
        RobustReport {
            attack: attack.parse().unwrap(),
            report: Report { widths: vec![width] },
            progress: vec![Progress { start_loss, loss, without_gradient, images: 50 }],
        }
    }

    #[test]
    fn a_sound_set_of_attacks_shows_no_sign() {
        let reports = [report("fgsm", 0.5, 1.0, 2.0, 0), report("pgd-20", 0.4, 1.0, 3.0, 0), report("pgd-20-eps0", 0.9, 1.0, 1.0, 50)];
        assert_eq!(signs_of_masking(&reports), Vec::<String>::new());
    }

    #[test]
    fn every_sign_is_told_with_its_width_and_attack() {
        let reports = [report("fgsm", 0.5, 1.0, 2.0, 0), report("pgd-20", 0.5, 1.0, 1.0, 3), report("pgd-20-eps4", 0.6, 1.0, 2.0, 0)];
        let signs = signs_of_masking(&reports);
        assert_eq!(signs.len(), 3, "{signs:?}");
        assert!(signs.iter().all(|s| s.starts_with("width 1, pgd-20: ")), "{signs:?}");
        assert!(signs[0].contains("3 of 50") && signs[1].contains("did not rise") && signs[2].contains("50.0% after FGSM"), "{signs:?}");
        // Nothing is left to be found where all is lost already.
        let reports = [report("fgsm", 0.0, 1.0, 2.0, 0), report("pgd-20", 0.0, 1.0, 3.0, 0)];
        assert!(signs_of_masking(&reports).is_empty());
    }
}
