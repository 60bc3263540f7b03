//! The values of a uniform block, by the names that the shader's `Params` gives them.

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Uniform {
    /// `u32`; of a `bool`, 0 or 1.
    U32(u32),
    /// `f32`
    F32(f32),
    /// `array<vec4<i32>, n>` of 4 n values.
    Vectors(Vec<i32>),
}

impl From<u32> for Uniform {
    fn from(value: u32) -> Uniform {
        Uniform::U32(value)
    }
}

impl From<bool> for Uniform {
    fn from(value: bool) -> Uniform {
        Uniform::U32(u32::from(value))
    }
}

impl From<f32> for Uniform {
    fn from(value: f32) -> Uniform {
        Uniform::F32(value)
    }
}

impl From<Vec<i32>> for Uniform {
    fn from(values: Vec<i32>) -> Uniform {
        Uniform::Vectors(values)
    }
}

/// A uniform block: its members in the order of the shader's `Params`. Names, order and types are compared with the shader's by the tests
/// of all variants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Uniforms(pub Vec<(&'static str, Uniform)>);

impl Uniforms {
    /// These and then the others.
    pub fn with(mut self, others: Uniforms) -> Uniforms {
        self.0.extend(others.0);
        self
    }

    /// Changes a value.
    ///
    /// # Panics
    /// Where there is none of that name and type: a mistake in this crate.
    pub fn set(&mut self, name: &str, value: impl Into<Uniform>) {
        let (place, value) = (self.0.iter_mut().find(|(own, _)| *own == name), value.into());
        match place {
            Some((_, own)) if std::mem::discriminant(own) == std::mem::discriminant(&value) => *own = value,
            found => panic!("{name} is {found:?} and cannot become {value:?}"),
        }
    }

    /// The block as it lies in a uniform buffer, in 32-bit words.
    pub fn words(&self) -> Vec<u32> {
        let mut words: Vec<u32> = Vec::new();
        for (_, value) in &self.0 {
            match value {
                Uniform::U32(value) => words.push(*value),
                Uniform::F32(value) => words.push(value.to_bits()),
                Uniform::Vectors(values) => {
                    // Aligned to a vec4.
                    words.resize(words.len().next_multiple_of(4), 0);
                    words.extend(values.iter().map(|v| v.cast_unsigned()));
                }
            }
        }
        words
    }
}

/// `uniforms! { batch: self.batch, relu: true, scale: 0.5 }`
macro_rules! uniforms {
    ($($name:ident: $value:expr),* $(,)?) => {
        $crate::kernels::Uniforms(vec![$((stringify!($name), $crate::kernels::Uniform::from($value))),*])
    };
}
pub(crate) use uniforms;

#[cfg(test)]
mod tests {
    #[test]
    fn a_block_lies_as_in_wgsl() {
        let mut block = uniforms! { batch: 3, relu: true, scale: 0.5, angles: vec![-1, 2, 3, 4] };
        block.set("batch", 7);
        assert_eq!(block.words(), [7, 1, 0.5f32.to_bits(), 0, u32::MAX, 2, 3, 4]);
        assert_eq!(uniforms! { a: 1 }.with(uniforms! { b: 2 }), uniforms! { a: 1, b: 2 });
    }

    #[test]
    #[should_panic(expected = "learning_rate is None")]
    fn a_value_that_there_is_not_cannot_be_set() {
        uniforms! { batch: 3 }.set("learning_rate", 0.5);
    }
}
