// Start of a round on the clients: every lane downloads its base and starts a fresh optimiser.
//
//   parameters[lane] = server[base of the lane],   momentum[lane] = 0
//
// One invocation a vec4.

struct Params {
  length: u32, // vec4 of one base
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, base, row of batch norms
@group(0) @binding(2) var<storage, read> server: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> momentum: array<vec4<f32>>;

// import index

@compute @workgroup_size(64)
fn copy_bases(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length) {
    return;
  }
  let i = id.z * params.length + index(id);
  parameters[i] = server[lanes[id.z].z * params.length + index(id)];
  momentum[i] = vec4<f32>(0.0);
}
