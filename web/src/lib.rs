//! The engine for JavaScript: create it, give it data, train with a callback a round, evaluate at any width and λ, predict, attack, save
//! and load checkpoints. A thin layer over the `splitmix-fl` library: every method is a few calls of it and a change of form.
//!
//! All waiting is asynchronous. A failure is a rejected promise with a `SplitmixError`, or an exception of that kind where nothing is
//! waited for. A fault of the program itself, a panic, is neither: it traps, and a promise that waits is never settled. The page or worker
//! is told by the events `error` and `unhandledrejection`, and has to load the module anew.
#![warn(missing_docs)]

mod convert;
mod data;
mod engine;
mod federation;
mod model;

pub use convert::{option_keys, option_name};
pub use data::Data;
pub use engine::Engine;
pub use federation::Federation;
pub use model::Model;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Has a fault of the program told on the console before it ends the program.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| console_error(&format!("splitmix: {info}"))));
}
