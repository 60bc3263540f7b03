//! Attacks on images, by name (paper, section 4.2 and Algorithm 4; Madry et al. 2018).

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Radius where a name does not give one, in 1/255.
const EPSILON: f32 = 8.0;

/// An attack within the L∞ ball of radius ε around each image, on the true labels.
///
/// By name: `fgsm` is one step of ε from the clean image; `pgd-7` starts at uniform noise in the ball and takes seven steps of
/// min(1.25 · ε, ε + 4/255) / 7. ε is 8/255 unless the name ends in another, in 1/255: `pgd-20-eps16`, `fgsm-eps4`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Attack {
    /// Steps; `None` for FGSM.
    steps: Option<u32>,
    /// ε in 1/255.
    epsilon: f32,
}

impl Attack {
    /// Projected gradient descent from a random start. `epsilon` is in 1/255.
    ///
    /// # Errors
    /// [`Error::Config`] for a radius that is negative, above 255 or no number.
    pub fn pgd(steps: u32, epsilon: f32) -> Result<Attack> {
        Attack { steps: Some(steps), epsilon }.checked()
    }

    /// One step of the whole radius from the clean image. `epsilon` is in 1/255.
    ///
    /// # Errors
    /// As [`Attack::pgd`].
    pub fn fgsm(epsilon: f32) -> Result<Attack> {
        Attack { steps: None, epsilon }.checked()
    }

    fn checked(self) -> Result<Attack> {
        if (0.0..=255.0).contains(&self.epsilon) {
            return Ok(self);
        }
        Err(Error::Config(format!("an attack's radius is given in 1/255 and lies between 0 and 255, not {}", self.epsilon)))
    }

    /// Radius of the ball, ε, where pixels lie in [0, 1].
    pub fn epsilon(&self) -> f32 {
        self.epsilon / 255.0
    }

    /// Radius of the start's noise: ε, or 0 for FGSM.
    pub fn start(&self) -> f32 {
        if self.steps.is_some() { self.epsilon() } else { 0.0 }
    }

    /// Number of steps.
    pub fn steps(&self) -> u32 {
        self.steps.unwrap_or(1)
    }

    /// Size of a step.
    pub fn step_size(&self) -> f32 {
        match self.steps {
            Some(steps) => (1.25 * self.epsilon).min(self.epsilon + 4.0) / 255.0 / steps.max(1) as f32,
            None => self.epsilon(),
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.steps {
            Some(steps) => write!(f, "pgd-{steps}")?,
            None => write!(f, "fgsm")?,
        }
        if self.epsilon == EPSILON { Ok(()) } else { write!(f, "-eps{}", self.epsilon) }
    }
}

impl FromStr for Attack {
    type Err = Error;

    fn from_str(name: &str) -> Result<Attack> {
        let wrong = || {
            Error::Config(format!(
                "no attack is called {name:?}: say fgsm or pgd-STEPS, with -epsN for a radius of N/255, as in pgd-20-eps16"
            ))
        };
        let (kind, epsilon) = match name.split_once("-eps") {
            Some((kind, radius)) => (kind, radius.parse().map_err(|_| wrong())?),
            None => (name, EPSILON),
        };
        match kind.strip_prefix("pgd-") {
            Some(steps) => Attack::pgd(steps.parse().map_err(|_| wrong())?, epsilon),
            None if kind == "fgsm" => Attack::fgsm(epsilon),
            None => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Attack {
    type Error = Error;

    fn try_from(name: String) -> Result<Attack> {
        name.parse()
    }
}

impl From<Attack> for String {
    fn from(attack: Attack) -> String {
        attack.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_steps_and_radius() {
        for (name, steps, epsilon, step) in [
            ("pgd-7", 7, 8.0, 10.0 / 7.0),
            ("pgd-20", 20, 8.0, 0.5),
            ("pgd-100", 100, 8.0, 0.1),
            ("pgd-7-eps4", 7, 4.0, 5.0 / 7.0),
            ("pgd-20-eps16", 20, 16.0, 1.0),
            ("pgd-10-eps32", 10, 32.0, 3.6),
            ("fgsm", 1, 8.0, 8.0),
            ("fgsm-eps0.5", 1, 0.5, 0.5),
        ] {
            let attack: Attack = name.parse().unwrap();
            assert_eq!(attack.to_string(), name);
            assert_eq!((attack.steps(), attack.epsilon()), (steps, epsilon / 255.0), "{name}");
            assert!((attack.step_size() * 255.0 - step).abs() < 1e-5, "{name}: {}", attack.step_size() * 255.0);
            assert_eq!(attack.start(), if name.starts_with("fgsm") { 0.0 } else { attack.epsilon() });
        }
        assert_eq!("pgd-7-eps8".parse::<Attack>().unwrap().to_string(), "pgd-7");
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "pgd", "pgd-", "pgd-x", "pgd--1", "fgsm-7", "pgd-7-eps", "pgd-7-eps-1", "pgd-7-epsNaN", "fgsm-eps256", "cw"] {
            assert!(name.parse::<Attack>().is_err(), "{name:?}");
        }
    }
}
