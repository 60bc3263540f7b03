// Batch norms that stay with the clients: the lane of a client and a base takes them from the client's store where its local
// work begins, and puts them back where it ends.
//
//   take: rows[lane][start + i] = store[row of the lane][i]
//   keep: store[row of the lane][i] = rows[lane][start + i]
//
// One invocation a vec4.

struct Params {
  length: u32, // vec4 of a row of the store
  stride: u32, // vec4 of a lane's row
  start: u32,  // its batch norms
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, base, row of batch norms

@group(0) @binding(2) var<storage, read> store: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<f32>>;

@compute @workgroup_size(64)
fn take(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < params.length) {
    rows[id.z * params.stride + params.start + id.x] = store[lanes[id.z].w * params.length + id.x];
  }
}

@group(0) @binding(2) var<storage, read> trained: array<vec4<f32>>; // rows
@group(0) @binding(3) var<storage, read_write> kept: array<vec4<f32>>; // store

@compute @workgroup_size(64)
fn keep(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < params.length) {
    kept[lanes[id.z].w * params.length + id.x] = trained[id.z * params.stride + params.start + id.x];
  }
}
