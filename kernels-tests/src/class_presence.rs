//! Twin of `class_presence.wgsl`.

/// The multiplier of each class's logit in the loss, `[classes]`.
///
/// With `masked`, 1 for the classes found among the first `valid` labels and 0 for the others; else all ones. Labels
/// are below `classes`.
pub fn class_presence(labels: &[u32], valid: usize, classes: usize, masked: bool) -> Vec<f64> {
    let present = |class: usize| labels[..valid].contains(&(class as u32));
    (0..classes).map(|class| if !masked || present(class) { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_labels_count() {
        assert_eq!(class_presence(&[2, 0, 2, 1], 3, 4, true), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(class_presence(&[2, 0, 2, 1], 3, 4, false), [1.0; 4]);
    }
}
