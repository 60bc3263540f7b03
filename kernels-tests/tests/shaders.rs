//! All of `shaders/` through naga: valid as the files stand and in every variant in use, within WebGPU's default limits,
//! and bound as the Rust side says.

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess, TypeInner};
use splitmix_fl::kernels::server_step::{Adaptive, Rule, ServerOptimizer};
use splitmix_fl::kernels::{Access, Dispatch, SHARED, Traits, Tuning, Uniform, Uniforms, shader};
use splitmix_fl::net::{Architecture, NormRow, Norms, Scope, TensorKind};
use splitmix_fl::plan::EvaluationNorms;
use splitmix_fl::plan::attack::{AttackPlan, AttackSetting};
use splitmix_fl::plan::corner::{CornerPlan, SettlePlan};
use splitmix_fl::plan::estimate::{EstimatePlan, EstimateSetting};
use splitmix_fl::plan::evaluate::{EvaluatePlan, EvaluateSetting};
use splitmix_fl::plan::train::{Adversarial, Distances, LocalTraining, Narrower, TrainPlan, TrainSetting};
use splitmix_fl::verify::standard_cases;
use std::collections::BTreeSet;
use std::path::Path;

fn parse(name: &str, source: &str, capabilities: Capabilities) -> (naga::Module, naga::valid::ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    (module, info.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source))))
}

/// Default limits, by reflection: storage buffers, invocations, workgroup memory, the uniform block; no float atomics.
fn within_limits(name: &str, module: &naga::Module, info: &naga::valid::ModuleInfo) {
    for (i, entry) in module.entry_points.iter().enumerate() {
        let used = info.get_entry_point(i);
        let mut storage = 0;
        for (handle, global) in module.global_variables.iter() {
            if used[handle].is_empty() {
                continue;
            }
            let size = module.types[global.ty].inner.size(module.to_ctx());
            match global.space {
                AddressSpace::Storage { .. } => storage += 1,
                AddressSpace::Uniform => assert!(size <= 65_536, "{name}: uniform block of {size} bytes"),
                AddressSpace::WorkGroup => assert!(size <= 16_384, "{name}: {size} bytes of workgroup memory"),
                other => panic!("{name}: an unexpected address space {other:?}"),
            }
            if let TypeInner::Atomic(scalar) = module.types[global.ty].inner {
                assert!(scalar.kind != naga::ScalarKind::Float, "{name}: a float atomic");
            }
        }
        assert!(storage <= 8, "{name}::{} binds {storage} storage buffers", entry.name);
        let [x, y, z] = entry.workgroup_size;
        assert!(x * y * z <= 256, "{name}::{}: {} invocations a workgroup", entry.name, x * y * z);
    }
}

#[test]
fn the_files_are_the_embedded_ones_and_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shaders");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).expect("shaders/") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            continue;
        }
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("wgsl"), "{}", path.display());
        let name = path.file_stem().and_then(|n| n.to_str()).expect("a name").to_string();
        let source = std::fs::read_to_string(&path).expect("a text");
        let embedded = shader::ALL.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name}.wgsl is not embedded"));
        assert_eq!(embedded.source, source, "{name}: built from another text");
        let (module, info) = parse(&name, &embedded.text(), Capabilities::empty());
        within_limits(&name, &module, &info);
        names.insert(name);
    }
    assert_eq!(names.len(), shader::ALL.len());
    let shared = std::fs::read_dir(folder.join("shared")).expect("shaders/shared/").count();
    assert_eq!(shared, SHARED.len(), "files that kernels share");
    for (name, text) in SHARED {
        assert_eq!(std::fs::read_to_string(folder.join(format!("shared/{name}.wgsl"))).expect("a text"), *text, "{name}");
        let own = name.trim_end_matches("_shuffled");
        let used = shader::ALL.iter().any(|s| s.source.lines().any(|line| line == format!("// import {own}")));
        assert!(used, "{name} is imported by no kernel");
    }
}

/// Name, type and place in bytes of every member of the block, and the block's length.
type Members = (Vec<(String, &'static str, usize)>, usize);

/// Those that the shader declares.
fn uniforms(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Members {
    let TypeInner::Struct { members, span } = &module.types[ty].inner else { panic!("the uniforms are no struct") };
    let kind = |ty: naga::Handle<naga::Type>| match module.types[ty].inner {
        TypeInner::Scalar(naga::Scalar::U32) => "u32",
        TypeInner::Scalar(naga::Scalar::F32) => "f32",
        TypeInner::Array { base, .. } => match module.types[base].inner {
            TypeInner::Vector { size: naga::VectorSize::Quad, scalar: naga::Scalar::I32 } => "array<vec4<i32>>",
            ref other => panic!("an array of {other:?}"),
        },
        ref other => panic!("{other:?}"),
    };
    let member = |m: &naga::StructMember| (m.name.clone().expect("a name"), kind(m.ty), m.offset as usize);
    (members.iter().map(member).collect(), *span as usize)
}

/// Those that the host writes.
fn declared(block: &Uniforms) -> Members {
    let mut members = Vec::new();
    let mut so_far = Uniforms::default();
    for (name, value) in &block.0 {
        so_far.0.push((name, value.clone()));
        let (kind, bytes) = match value {
            Uniform::U32(_) => ("u32", 4),
            Uniform::F32(_) => ("f32", 4),
            Uniform::Vectors(values) => ("array<vec4<i32>>", 4 * values.len()),
        };
        members.push((name.to_string(), kind, 4 * so_far.words().len() - bytes));
    }
    (members, 4 * block.words().len())
}

/// The variant is valid, its uniform block has the members that are written, and its buffers are bound as declared.
fn matches(dispatch: &Dispatch) {
    let kernel = &dispatch.kernel;
    let name = format!("{}::{} {:?} ({})", kernel.shader.name, kernel.entry, kernel.constants, dispatch.label);
    let capabilities = if kernel.shares_loads() { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let (module, info) = parse(&name, &kernel.source(), capabilities);
    within_limits(&name, &module, &info);
    let i = module.entry_points.iter().position(|e| e.name == kernel.entry).unwrap_or_else(|| panic!("{name}: no such entry point"));
    assert_eq!(module.entry_points[i].workgroup_size, [dispatch.workgroup, 1, 1], "{name}");
    let used = info.get_entry_point(i);
    let mut bound = vec![None; kernel.access.len()];
    for (_, global) in module.global_variables.iter().filter(|(h, _)| !used[*h].is_empty()) {
        if global.space == AddressSpace::WorkGroup {
            continue;
        }
        let binding = global.binding.as_ref().unwrap_or_else(|| panic!("{name}: {:?} has no binding", global.name)).binding as usize;
        match global.space {
            AddressSpace::Uniform => {
                assert_eq!(binding, 0, "{name}: the uniform block");
                assert_eq!(uniforms(&module, global.ty), declared(&dispatch.uniforms), "{name}: the uniform block");
            }
            AddressSpace::Storage { access } => {
                let access = if access.contains(StorageAccess::STORE) { Access::Write } else { Access::Read };
                assert!(binding >= 1 && binding <= bound.len(), "{name}: binding {binding}");
                bound[binding - 1] = Some(access);
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let declared: Vec<Option<Access>> = kernel.access.iter().map(|a| Some(*a)).collect();
    assert_eq!(bound, declared, "{name}");
    assert_eq!(dispatch.buffers.len(), kernel.access.len(), "{name}");
}

#[test]
fn every_variant_in_use_is_valid_and_bound_as_declared() {
    let mut dispatches: Vec<Dispatch> = Vec::new();
    for tuning in Tuning::candidates(Traits { is_cpu: true, subgroup: Some(8), workgroup_memory: 32_768 }) {
        let of_digits = [(1, 8), (1, 4), (1, 2), (1, 1), (3, 64)].map(|width| ("digits", width));
        for (name, (numerator, denominator)) in of_digits.into_iter().chain([("preact-resnet18", (1, 8)), ("alexnet", (1, 8))]) {
            let architecture = Architecture::built_in(name).expect("built in");
            let network = architecture.base(numerator, denominator, 10).expect("a width");
            let training = LocalTraining { steps: 2, scale: 8.0, masked_loss: true, proximal: 0.01, ..LocalTraining::default() };
            let train = TrainSetting {
                network: &network,
                bases: 8,
                training: &training,
                batch: training.batch,
                personal: &[],
                distances: Some(Distances { scope: Scope::All, lanes: true }),
                server: Some(ServerOptimizer { learning_rate: 0.1, first: 0.9, adaptive: None }),
                control: true,
                images_per_chunk: 100,
                slot_capacity: 5,
                lane_capacity: 9,
                tuning,
                keep_gradients: denominator == 4,
            };
            let tracked = network.clone().with_norms(Norms { dual: true, tracked: true });
            let attacked = Adversarial { lambda: 0.5, seed: 1, start: 0.1, epsilon: 0.1, alpha: 0.1, steps: 7 };
            let attacked = LocalTraining { adversarial: Some(attacked), ..training.clone() };
            let norms = tracked.places(|t| t.kind.is_norm());
            let adaptive = Some(Adaptive { rule: Rule::Yogi, second: 0.99, tau: 1e-3 });
            let server = Some(ServerOptimizer { learning_rate: 0.1, first: 0.9, adaptive });
            let adversarial = TrainSetting { network: &tracked, training: &attacked, personal: &norms, server, ..train };
            let head = tracked.places(|t| matches!(t.kind, TensorKind::LinearWeight { .. }));
            let evaluate = EvaluateSetting {
                network: &network,
                bases: 8,
                widths: 4,
                batch: 128,
                images_per_chunk: 100,
                slot_capacity: 5,
                norms: EvaluationNorms::default(),
                personal: &[],
                tuning,
            };
            let personal = EvaluateSetting { network: &tracked, personal: &head, ..evaluate };
            let norms = EvaluationNorms { running: true, store: Some(tracked.norm_row()), lambda: 0.5 };
            let attack = AttackSetting {
                network: &tracked,
                bases: 8,
                batch: 128,
                images_per_chunk: 100,
                slot_capacity: 5,
                seed: 1,
                start: 0.1,
                epsilon: 0.1,
                alpha: 0.1,
                norms,
                personal: &[],
                tuning,
            };
            let store = NormRow { norms: Norms { dual: false, tracked: true }, ..network.norm_row() };
            let estimate =
                EstimateSetting { network: &network, store, batch: 32, images_per_chunk: 100, slot_capacity: 5, steps: 3, tuning };
            let network_of_half = architecture.corner(numerator, 2 * denominator, 10).expect("a corner");
            let half = Narrower { network: network_of_half, scale: 2.0, label: "half".into() };
            let slim = LocalTraining { narrower: vec![half.clone()], ..training.clone() };
            let slimmable = TrainSetting { training: &slim, ..train };
            let corners = CornerPlan::new(&network, &half.network, 8, true).plan;
            let plans = [
                TrainPlan::new(&slimmable).plan,
                corners,
                SettlePlan::new(&network, 8).plan,
                TrainPlan::new(&train).plan,
                TrainPlan::new(&adversarial).plan,
                EvaluatePlan::new(&evaluate).plan,
                EvaluatePlan::new(&personal).plan,
                AttackPlan::new(&attack).plan,
                EstimatePlan::new(&estimate).plan,
            ];
            for plan in plans {
                dispatches.extend(plan.phases.into_iter().flat_map(|(_, d)| d));
            }
        }
        for case in standard_cases() {
            dispatches.extend_from_slice(case.trial(tuning).dispatches());
        }
    }
    let mut seen = BTreeSet::new();
    for dispatch in &dispatches {
        let names: Vec<_> = dispatch.uniforms.0.iter().map(|(name, _)| name).collect();
        let key = format!("{:?} {names:?}", dispatch.kernel);
        if seen.insert(key) {
            matches(dispatch);
        }
    }
    assert!(seen.len() > 40, "{} variants", seen.len());
}
