//! Attacks on images, by name (paper, section 4.2 and Algorithm 4; Madry et al. 2018).

use crate::text::written_as_text;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Radius where a name does not give one, in 1/255.
const EPSILON: f32 = 8.0;

/// Most steps, and most restarts, of an attack that is named: more would not end within a day.
const MOST: u32 = 10_000;

/// An attack within the L∞ ball of radius ε around each image.
///
/// By name, in any letter case: `fgsm` is one step of ε from the clean image; `pgd-7` starts at uniform noise in the ball and takes
/// seven steps of min(1.25 · ε, ε + 4/255) / 7. The rest is optional, in any order, each once: `-epsN`, a radius of N/255 instead of
/// 8/255; `-restartsN`, N tries, of which each image's worst counts; `-targeted`, towards the class after the label
/// (the second try: the one after that) instead of away from the label. So `pgd-20-eps16`, `pgd-7-eps4-restarts5-targeted`.
///
/// N of a radius is 1 to 255, fractions included. A smaller one would be mistaken for a share of 1, so it is written with its unit:
/// `-eps0.5/255`.
#[derive(Debug, Clone, Copy, PartialEq)]
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

    /// Projected gradient descent from a random start. `epsilon` is in 1/255; a ball of radius 0 holds the clean image alone.
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

    /// The same with this many tries, of which each image's worst counts.
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
            return Err(Error::Config("restarts must be at least 1".into()));
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
}

written_as_text!(Attack);

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.steps {
            Some(steps) => write!(f, "pgd-{steps}")?,
            None => write!(f, "fgsm")?,
        }
        if self.epsilon != EPSILON {
            let unit = if self.epsilon > 0.0 && self.epsilon < 1.0 { "/255" } else { "" };
            write!(f, "-eps{}{unit}", self.epsilon)?;
        }
        if self.restarts != 1 {
            write!(f, "-restarts{}", self.restarts)?;
        }
        if self.targeted { write!(f, "-targeted") } else { Ok(()) }
    }
}

impl Attack {
    /// An attack by a name that a checkpoint or a report of an earlier version holds: those took any radius from 0 to 255 and any number of
    /// steps. What a user writes goes through [`str::parse`], which refuses values that cannot be meant.
    ///
    /// # Errors
    /// [`Error::Config`] for any other name.
    pub fn recorded(name: &str) -> Result<Attack> {
        parsed(&name.to_ascii_lowercase()).ok_or_else(|| unknown(name))?.checked()
    }

    /// Refuses values that no user can mean: most often a radius in shares of 1, which would leave every image as it is.
    fn meant(self, unit: bool) -> Result<Attack> {
        let wrong = |what: String| Err(Error::Config(what));
        let radius = self.epsilon;
        if !(0.0..=255.0).contains(&radius) {
            return wrong(format!("the radius of an attack counts in 255ths, from 1 to 255, not {radius}: -eps8 is 8/255"));
        }
        if radius == 0.0 {
            return wrong("an attack of radius 0 changes nothing: write -eps8 for a radius of 8/255, or leave the attack out".into());
        }
        if radius < 1.0 && !unit {
            let nearest = (radius * 255.0).round().max(1.0);
            return wrong(format!(
                "the radius counts in 255ths: for {radius} write -eps{nearest} ({nearest}/255 = {:.3}), for {radius}/255 -eps{radius}/255",
                nearest / 255.0
            ));
        }
        // A number too large to be held is named by none.
        let not = |count: u32| if count == u32::MAX { "no more".into() } else { format!("not {count}") };
        if !(1..=MOST).contains(&self.steps()) {
            return wrong(format!("an attack takes 1 to {MOST} steps, {}: write pgd-7 or pgd-20", not(self.steps())));
        }
        if !(1..=MOST).contains(&self.restarts) {
            return wrong(format!("an attack has 1 to {MOST} restarts, {}: write -restarts5", not(self.restarts)));
        }
        if self.is_fgsm() && !self.targeted && self.restarts > 1 {
            return wrong(format!(
                "fgsm starts at the image itself, so every restart is the same: remove -restarts{}, or write pgd-20-restarts{0}",
                self.restarts
            ));
        }
        Ok(self)
    }
}

/// The attack of a name in lower case, with any values; `None` where it is not of the form.
fn parsed(name: &str) -> Option<Attack> {
    let mut parts = name.split('-');
    let mut attack = Attack { steps: None, ..Attack::TRAINING };
    match parts.next() {
        Some("fgsm") => {}
        Some("pgd") => attack.steps = Some(number(parts.next()?)?),
        _ => return None,
    }
    let mut seen = Vec::new();
    for part in parts {
        let key = part.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
        let value = &part[key.len()..];
        // A second value would silently replace the first.
        if seen.contains(&key) {
            return None;
        }
        seen.push(key);
        match key {
            "eps" => attack.epsilon = radius(value)?,
            "restarts" => attack.restarts = number(value)?,
            "targeted" if value.is_empty() => attack.targeted = true,
            _ => return None,
        }
    }
    Some(attack)
}

/// A whole number; one that is too large for any use is [`u32::MAX`].
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// A number of 255ths, with or without its unit.
fn radius(text: &str) -> Option<f32> {
    let text = text.strip_suffix("/255").unwrap_or(text);
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.then(|| text.parse().ok())?
}

/// The attack that a name in another spelling means: `PGD20`, `pgd_20_eps_8`, the authors' `LinfPGD20_eps16`; and how it is written, with
/// its radius where the name has one.
fn respelled(name: &str) -> Option<(Attack, String)> {
    let mut attack = Attack { steps: None, ..Attack::TRAINING };
    let (mut pgd, mut key, mut rest) = (None, "", name);
    let mut seen = Vec::new();
    while let Some(first) = rest.chars().next() {
        let end = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let length = match first {
            'a'..='z' => end(|c| c.is_ascii_lowercase()),
            '0'..='9' => end(|c| c.is_ascii_digit() || c == '.'),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match (token, first.is_ascii_digit(), key) {
            ("fgsm" | "pgd" | "linfpgd", ..) if pgd.is_some() => return None,
            ("fgsm", ..) => pgd = Some(false),
            ("pgd" | "linfpgd", ..) => pgd = Some(true),
            ("linf" | "l", ..) => {}
            ("eps" | "epsilon" | "steps" | "restarts", ..) if !seen.contains(&token) => {
                seen.push(token);
                key = token;
            }
            ("targeted", ..) => attack.targeted = true,
            (_, true, "eps" | "epsilon") => {
                rest = rest.strip_prefix("/255").unwrap_or(rest);
                attack.epsilon = radius(token)?;
                key = "";
            }
            (_, true, "restarts") => (attack.restarts, key) = (number(token)?, ""),
            (_, true, _) if pgd == Some(true) && attack.steps.is_none() => (attack.steps, key) = (Some(number(token)?), ""),
            (_, true, _) => return None,
            _ if first.is_ascii_alphabetic() => return None,
            _ => {}
        }
    }
    if !key.is_empty() || pgd? != attack.steps.is_some() {
        return None;
    }
    let mut right = attack.to_string();
    if attack.epsilon == EPSILON && seen.iter().any(|key| key.starts_with("eps")) {
        let (kind, rest) = right.split_at(right.find("-restarts").or_else(|| right.find("-targeted")).unwrap_or(right.len()));
        right = format!("{kind}-eps{EPSILON}{rest}");
    }
    Some((attack, right))
}

fn unknown(name: &str) -> Error {
    Error::Config(format!(
        "no attack is called {name:?}: write fgsm or pgd-STEPS, then -epsN for a radius of N/255, -restartsN, -targeted, \
         as in pgd-20-eps16 or pgd-7-restarts5"
    ))
}

impl FromStr for Attack {
    type Err = Error;

    fn from_str(name: &str) -> Result<Attack> {
        let lower = name.to_ascii_lowercase();
        match parsed(&lower) {
            Some(attack) => attack.meant(lower.contains("/255")),
            None => {
                // Where several may be named, each is read separately.
                let parts: Vec<&str> = name.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
                if let [first, _, ..] = parts.as_slice() {
                    return Err(Error::Config(format!("one attack is wanted, and {name:?} names {}: write {first}", parts.len())));
                }
                let (meant, right) = respelled(&lower).ok_or_else(|| unknown(name))?;
                meant.meant(lower.contains("/255"))?;
                Err(Error::Config(format!("no attack is called {name:?}: write {right}")))
            }
        }
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
            ("fgsm-eps1", 1, 1.0, 1.0),
            ("fgsm-eps2.55", 1, 2.55, 2.55),
            ("fgsm-eps0.5/255", 1, 0.5, 0.5),
        ] {
            let attack: Attack = name.parse().unwrap();
            assert_eq!(attack.to_string(), name);
            assert_eq!(Attack::recorded(name).unwrap(), attack);
            assert_eq!((attack.steps(), attack.epsilon()), (steps, epsilon / 255.0), "{name}");
            assert!((attack.step_size() * 255.0 - step).abs() < 1e-5, "{name}: {}", attack.step_size() * 255.0);
            assert_eq!(attack.start(), if name.starts_with("fgsm") { 0.0 } else { attack.epsilon() });
        }
        for (name, same) in [
            ("PGD-20", "pgd-20"),
            ("FGSM", "fgsm"),
            ("Pgd-7-EPS4", "pgd-7-eps4"),
            ("pgd-7-eps8-restarts1", "pgd-7"),
            ("pgd-7-eps8/255", "pgd-7"),
            ("pgd-7-eps16/255", "pgd-7-eps16"),
        ] {
            assert_eq!(name.parse::<Attack>().unwrap().to_string(), same);
        }
        let attack: Attack = "pgd-20-targeted-restarts12-eps4".parse().unwrap();
        assert_eq!(attack.to_string(), "pgd-20-eps4-restarts12-targeted");
        assert_eq!(attack, Attack::pgd(20, 4.0).unwrap().with_restarts(12).unwrap().towards_other_classes());
        assert_eq!((attack.restarts(), attack.step_size()), (12, -Attack::pgd(20, 4.0).unwrap().step_size()));
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "pgd",
            "pgd-",
            "pgd-x",
            "fgsm-7",
            "pgd-7-eps",
            "pgd-7-epsNaN",
            "pgd-7-epsinf",
            "pgd-7-x",
            "pgd-7-eps1-eps2",
            "cw",
            "fgsm pgd-7",
        ] {
            let message = name.parse::<Attack>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("no attack is called {name:?}: write fgsm or pgd-STEPS")), "{message}");
            assert!(Attack::recorded(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn values_that_cannot_be_meant_come_with_what_to_write() {
        for (name, words) in [
            ("fgsm-eps0.5", "for 0.5 write -eps128 (128/255 = 0.502), for 0.5/255 -eps0.5/255"),
            ("pgd-7-eps0.03", "the radius counts in 255ths: for 0.03 write -eps8 (8/255 = 0.031), for 0.03/255 -eps0.03/255"),
            ("PGD-7-EPS.031", "for 0.031 write -eps8 (8/255 = 0.031)"),
            ("fgsm-eps0.001", "for 0.001 write -eps1 (1/255 = 0.004)"),
            ("fgsm-eps0", "an attack of radius 0 changes nothing: write -eps8"),
            ("pgd-7-eps0/255", "an attack of radius 0 changes nothing: write -eps8"),
            ("fgsm-eps256", "from 1 to 255, not 256: -eps8 is 8/255"),
            ("pgd-0", "an attack takes 1 to 10000 steps, not 0: write pgd-7 or pgd-20"),
            ("pgd-10001", "1 to 10000 steps, not 10001"),
            ("pgd-99999999999", "an attack takes 1 to 10000 steps, no more: write pgd-7 or pgd-20"),
            ("pgd-7-restarts99999999999", "1 to 10000 restarts, no more: write -restarts5"),
            ("fgsm,pgd-2", "one attack is wanted, and \"fgsm,pgd-2\" names 2: write fgsm"),
            ("pgd-7-restarts0", "1 to 10000 restarts, not 0: write -restarts5"),
            ("fgsm-restarts5", "remove -restarts5, or write pgd-20-restarts5"),
        ] {
            let message = name.parse::<Attack>().unwrap_err().to_string();
            assert!(message.contains(words), "{name}: {message}");
        }
        assert!("fgsm-restarts3-targeted".parse::<Attack>().is_ok(), "every try has another target");
    }

    #[test]
    fn other_spellings_come_with_the_right_one() {
        for (name, right) in [
            ("pgd20", "pgd-20"),
            ("PGD_20", "pgd-20"),
            ("pgd 20", "pgd-20"),
            ("pgd-20-eps-16", "pgd-20-eps16"),
            ("pgd--1", "pgd-1"),
            ("pgd-7-eps-4", "pgd-7-eps4"),
            ("pgd-7-eps=4/255", "pgd-7-eps4"),
            ("pgd-2-eps=8", "pgd-2-eps8"),
            ("pgd_20_eps_8_restarts_3_targeted", "pgd-20-eps8-restarts3-targeted"),
            ("LinfPGD20_eps16", "pgd-20-eps16"),
            ("fgsm_eps4", "fgsm-eps4"),
            ("fgsm-epsilon4", "fgsm-eps4"),
            ("pgd-steps7-restarts-5", "pgd-7-restarts5"),
        ] {
            let message = name.parse::<Attack>().unwrap_err().to_string();
            assert_eq!(message, format!("no attack is called {name:?}: write {right}"));
        }
        let message = "pgd_7_eps_0.03".parse::<Attack>().unwrap_err().to_string();
        assert!(message.contains("write -eps8 (8/255"), "{message}");
    }

    #[test]
    fn records_of_earlier_versions_are_read() {
        for (name, steps, epsilon, now) in
            [("fgsm-eps0.5", 1, 0.5, "fgsm-eps0.5/255"), ("pgd-0", 0, 8.0, "pgd-0"), ("pgd-20-eps0", 20, 0.0, "pgd-20-eps0")]
        {
            let attack = Attack::recorded(name).unwrap();
            assert_eq!((attack.steps(), attack.epsilon(), attack.to_string().as_str()), (steps, epsilon / 255.0, now));
            assert_eq!(Attack::recorded(now).unwrap(), attack);
        }
        assert!(Attack::recorded("fgsm-eps256").is_err() && Attack::recorded("pgd-7-restarts0").is_err());
    }
}
