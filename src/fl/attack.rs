//! Attacks on images, by name (paper, section 4.2 and Algorithm 4; Madry et al. 2018).

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Radius where a name does not give one, in 1/255.
const EPSILON: f32 = 8.0;

/// An attack within the L∞ ball of radius ε around each image.
///
/// By name: `fgsm` is one step of ε from the clean image; `pgd-7` starts at uniform noise in the ball and takes seven steps of
/// min(1.25 · ε, ε + 4/255) / 7. What follows is optional, in any order: `-epsN`, a radius of N/255 in place of 8/255;
/// `-restartsN`, as many tries, of which each image's worst counts; `-targeted`, towards the class after the label
/// (the second try: the one after that) in place of away from the label. So `pgd-20-eps16`, `pgd-7-eps4-restarts5-targeted`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Attack {
    /// Steps; `None` for FGSM.
    steps: Option<u32>,
    /// ε in 1/255.
    epsilon: f32,
    restarts: u32,
    targeted: bool,
}

impl Attack {
    /// The attack of adversarial training in the paper: `pgd-7`.
    pub const TRAINING: Attack = Attack { steps: Some(7), epsilon: EPSILON, restarts: 1, targeted: false };

    /// Projected gradient descent from a random start. `epsilon` is in 1/255.
    ///
    /// # Errors
    /// [`Error::Config`] for a radius that is negative, above 255 or no number.
    pub fn pgd(steps: u32, epsilon: f32) -> Result<Attack> {
        Attack { steps: Some(steps), epsilon, restarts: 1, targeted: false }.checked()
    }

    /// One step of the whole radius from the clean image. `epsilon` is in 1/255.
    ///
    /// # Errors
    /// As [`Attack::pgd`].
    pub fn fgsm(epsilon: f32) -> Result<Attack> {
        Attack { steps: None, epsilon, restarts: 1, targeted: false }.checked()
    }

    /// The same with so many tries, of which each image's worst counts.
    ///
    /// # Errors
    /// [`Error::Config`] for none.
    pub fn with_restarts(self, restarts: u32) -> Result<Attack> {
        Attack { restarts, ..self }.checked()
    }

    /// The same towards other classes: the one after the label, in the next try the one after that, and so on in a circle.
    pub fn towards_other_classes(self) -> Attack {
        Attack { targeted: true, ..self }
    }

    fn checked(self) -> Result<Attack> {
        if !(0.0..=255.0).contains(&self.epsilon) {
            return Err(Error::Config(format!("an attack's radius is given in 1/255 and lies between 0 and 255, not {}", self.epsilon)));
        }
        if self.restarts == 0 {
            return Err(Error::Config("an attack with no try attacks nothing: give it 1 restart or more".into()));
        }
        Ok(self)
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

    /// Whether it is FGSM.
    pub fn is_fgsm(&self) -> bool {
        self.steps.is_none()
    }

    /// Whether it goes towards other classes.
    pub fn is_targeted(&self) -> bool {
        self.targeted
    }

    /// Size of a step along the sign of the gradient of the loss: below 0 where the loss is a target's.
    pub fn step_size(&self) -> f32 {
        let size = match self.steps {
            Some(steps) => (1.25 * self.epsilon).min(self.epsilon + 4.0) / 255.0 / steps.max(1) as f32,
            None => self.epsilon(),
        };
        if self.targeted { -size } else { size }
    }

    /// Number of tries.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Places from a label to the class whose loss the try is about: 0 for the label itself.
    pub fn shift(&self, restart: u32, classes: u32) -> u32 {
        if self.targeted { 1 + restart % (classes - 1).max(1) } else { 0 }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.steps {
            Some(steps) => write!(f, "pgd-{steps}")?,
            None => write!(f, "fgsm")?,
        }
        if self.epsilon != EPSILON {
            write!(f, "-eps{}", self.epsilon)?;
        }
        if self.restarts != 1 {
            write!(f, "-restarts{}", self.restarts)?;
        }
        if self.targeted { write!(f, "-targeted") } else { Ok(()) }
    }
}

impl FromStr for Attack {
    type Err = Error;

    fn from_str(name: &str) -> Result<Attack> {
        let wrong = || {
            Error::Config(format!(
                "no attack is called {name:?}: say fgsm or pgd-STEPS, then -epsN for a radius of N/255, -restartsN, -targeted, \
                 as in pgd-20-eps16 or pgd-7-restarts5"
            ))
        };
        let mut parts = name.split('-');
        let mut attack = match parts.next() {
            Some("fgsm") => Attack::fgsm(EPSILON)?,
            Some("pgd") => Attack::pgd(parts.next().and_then(|n| n.parse().ok()).ok_or_else(wrong)?, EPSILON)?,
            _ => return Err(wrong()),
        };
        for part in parts {
            if let Some(radius) = part.strip_prefix("eps") {
                attack.epsilon = radius.parse().map_err(|_| wrong())?;
            } else if let Some(restarts) = part.strip_prefix("restarts") {
                attack.restarts = restarts.parse().map_err(|_| wrong())?;
            } else if part == "targeted" {
                attack.targeted = true;
            } else {
                return Err(wrong());
            }
        }
        attack.checked()
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
        assert_eq!("pgd-7-eps8-restarts1".parse::<Attack>().unwrap().to_string(), "pgd-7");
        let attack: Attack = "pgd-20-targeted-restarts12-eps4".parse().unwrap();
        assert_eq!(attack.to_string(), "pgd-20-eps4-restarts12-targeted");
        assert_eq!(attack, Attack::pgd(20, 4.0).unwrap().with_restarts(12).unwrap().towards_other_classes());
        assert_eq!((attack.restarts(), attack.step_size()), (12, -Attack::pgd(20, 4.0).unwrap().step_size()));
        assert_eq!([0, 1, 8, 9].map(|r| attack.shift(r, 10)), [1, 2, 9, 1], "every other class, then from the first again");
        assert_eq!(Attack::fgsm(8.0).unwrap().shift(3, 10), 0);
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "pgd",
            "pgd-",
            "pgd-x",
            "pgd--1",
            "fgsm-7",
            "pgd-7-eps",
            "pgd-7-eps-1",
            "pgd-7-epsNaN",
            "fgsm-eps256",
            "pgd-7-restarts0",
            "pgd-7-x",
            "cw",
        ] {
            assert!(name.parse::<Attack>().is_err(), "{name:?}");
        }
    }
}
