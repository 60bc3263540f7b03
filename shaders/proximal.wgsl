// FedProx's proximal term (Li et al., 2020) for every lane at once: the gradient of μ/2 · ‖θ − θ₀‖², θ₀ the server's base,
//
//   gradient[lane] ← gradient[lane] + μ · (θ[lane] − θ₀[base of the lane])
//
// over `length` vec4 of a row from `start` on. One invocation a vec4.

struct Params {
  start: u32,  // first vec4 of a row that the term is on
  length: u32, // number of them
  stride: u32, // vec4 of a row
  mu: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // base in z
@group(0) @binding(2) var<storage, read> server: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> gradient: array<vec4<f32>>;

// import index

@compute @workgroup_size(64)
fn proximal(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length) {
    return;
  }
  let place = params.start + index(id);
  let i = id.z * params.stride + place;
  let away = parameters[i] - server[lanes[id.z].z * params.stride + place];
  gradient[i] = fma(vec4<f32>(params.mu), away, gradient[i]);
}
