//! Values that are text in files and on the command line.

/// Writes a type as the text of its `Display` and reads it by its `FromStr`.
macro_rules! written_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<$type, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use written_as_text;

/// An enumeration of names: text in files and on the command line, with an error that lists the names.
macro_rules! names {
    ($(#[$meta:meta])* $name:ident, $what:literal { $( $(#[$variant_meta:meta])* $variant:ident = $text:literal, )+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $( $name::$variant => $text, )+ })
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;
            /// In any letter case.
            ///
            /// # Errors
            /// [`crate::Error::Config`] listing the names.
            fn from_str(text: &str) -> $crate::Result<$name> {
                match text.to_ascii_lowercase().as_str() {
                    $( $text => Ok($name::$variant), )+
                    _ => {
                        let names = $crate::text::one_of(&[$( $text ),+]);
                        Err($crate::Error::Config(format!("\"{text}\" is not {}: choose {names}", $what)))
                    }
                }
            }
        }

        $crate::text::written_as_text!($name);
    };
}
pub(crate) use names;

/// Names as a choice in words: `a, b or c`.
pub(crate) fn one_of(names: &[&str]) -> String {
    joined(names, "or")
}

/// The same of all of them: `a, b and c`.
pub(crate) fn all_of(names: &[&str]) -> String {
    joined(names, "and")
}

fn joined(names: &[&str], word: &str) -> String {
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} {word} {last}", before.join(", ")),
        _ => names.concat(),
    }
}

/// A count with its noun: 1 run, 2 runs.
#[cfg(feature = "native")]
pub(crate) fn plural(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
