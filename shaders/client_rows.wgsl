// What stays with the clients, as batch norms or a head: the lane of a client and a base takes it from the client's row of a store
// where its local work begins, and puts it back where it ends. A row of the store holds one part of a base's row after the other.
//
//   take: rows[lane][start + i] = store[row of the lane][place + i]
//   keep: store[row of the lane][place + i] = rows[lane][start + i]
//
// Where `by_base` is 1, the store is that of the bases, and the row of a lane is its base. One invocation a vec4.

struct Params {
  length: u32,  // vec4 of the part
  row: u32,     // vec4 of a row of the store
  place: u32,   // the part's place in it
  stride: u32,  // vec4 of a lane's row
  start: u32,   // the part's place in it
  by_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<vec4<u32>>; // slot, parameter row, base, the client's row

// import index

fn of_store(lane: u32, i: u32) -> u32 {
  let row = select(lanes[lane].w, lanes[lane].z, params.by_base == 1u);
  return row * params.row + params.place + i;
}

@group(0) @binding(2) var<storage, read> store: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<f32>>;

@compute @workgroup_size(64)
fn take(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = index(id);
  if (i < params.length) {
    rows[id.z * params.stride + params.start + i] = store[of_store(id.z, i)];
  }
}

@group(0) @binding(2) var<storage, read> trained: array<vec4<f32>>; // rows
@group(0) @binding(3) var<storage, read_write> kept: array<vec4<f32>>; // store

@compute @workgroup_size(64)
fn keep(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = index(id);
  if (i < params.length) {
    kept[of_store(id.z, i)] = trained[id.z * params.stride + params.start + i];
  }
}
