//! The numeric tests, as one program: compiled and linked once. The test runner gives each test a process of its own all the same.

mod attack;
mod clusters;
mod corners;
mod fixture;
mod golden_engine;
mod golden_networks;
mod golden_robust;
mod golden_twins;
mod lanes;
mod memory;
mod mixed;
mod numeric;
mod pseudo;
mod robust;
mod server;
mod shaders;
mod sources;
mod together;
