// SCAFFOLD's control variates (Karimireddy et al., 2020, Algorithm 1, option II) for every lane at once. The server keeps c for each base, the
// client of a lane its own c_i, and θ₀ is the server's base as the round began with it:
//
//   correct, in every step:  gradient[lane] ← gradient[lane] + (c − c_i)
//   update, after K steps:   Δ = (θ₀ − θ[lane]) / (K · η) − c,   c_i ← c_i + Δ,   change[lane] ← Δ
//
// over `length` vec4 of a row from `start` on. A row of the clients' store holds one such part after the other. One invocation a vec4.

struct Params {
  start: u32,  // first vec4 of a row that is corrected
  length: u32, // number of them
  stride: u32, // vec4 of a row
  place: u32,  // where the part begins in a row of the clients' store
  row: u32,    // vec4 of a row of that store
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, base, the client's row
@group(0) @binding(2) var<storage, read> server: array<vec4<f32>>; // c

// import index

fn of_lane(lane: u32, i: u32) -> u32 {
  return lane * params.stride + params.start + i;
}

fn of_base(lane: u32, i: u32) -> u32 {
  return lanes[lane].z * params.stride + params.start + i;
}

fn of_client(lane: u32, i: u32) -> u32 {
  return lanes[lane].w * params.row + params.place + i;
}

@group(0) @binding(3) var<storage, read> own: array<vec4<f32>>; // c_i
@group(0) @binding(4) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn correct(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = index(id);
  if (i < params.length) {
    gradient[of_lane(id.z, i)] += server[of_base(id.z, i)] - own[of_client(id.z, i)];
  }
}

@group(0) @binding(3) var<storage, read> scales: array<f32>; // 1 / (K · η) of each slot
@group(0) @binding(4) var<storage, read> bases: array<vec4<f32>>; // θ₀
@group(0) @binding(5) var<storage, read> parameters: array<vec4<f32>>; // θ
@group(0) @binding(6) var<storage, read_write> kept: array<vec4<f32>>; // c_i
@group(0) @binding(7) var<storage, read_write> change: array<vec4<f32>>; // Δ

@compute @workgroup_size(64)
fn update(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = index(id);
  if (i >= params.length) {
    return;
  }
  let base = of_base(id.z, i);
  let moved = bases[base] - parameters[of_lane(id.z, i)];
  let delta = fma(vec4<f32>(scales[lanes[id.z].x]), moved, -server[base]);
  kept[of_client(id.z, i)] += delta;
  change[of_lane(id.z, i)] = delta;
}
