//! Split-Mix federated learning on any GPU.
#![deny(unsafe_code)]
#![warn(missing_docs)]

// Messages are told on standard error by these two everywhere below: the standard ones end the program in a panic where it is closed, as of
// `2>&1 | head`, or full.
#[cfg(feature = "native")]
macro_rules! eprint {
    ($($message:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr(), $($message)*);
    }};
}
#[cfg(feature = "native")]
macro_rules! eprintln {
    ($($message:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($message)*);
    }};
}

#[cfg(feature = "native")]
pub mod bench;
#[cfg(feature = "native")]
pub mod cli;
pub mod data;
pub mod engine;
mod error;
pub mod fl;
pub mod gpu;
pub mod kernels;
pub mod net;
pub mod plan;
#[cfg(feature = "native")]
pub mod report;
pub mod run;
mod text;
pub mod verify;
pub use error::{Error, Result, camel_case};
