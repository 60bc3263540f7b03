// Squared Euclidean distances of every lane's parameters from some rows, over a range of a row, in parts:
//
//   distances[lane][row][part] = Σ_{i in the part} (parameters[lane][i] − rows[row][i])²
//
// One workgroup a (lane, row, part); the dispatch's z axis is the lane. Every invocation adds each 64th vec4 of the part in ascending
// order, then the 64 sums are added pairwise: the bits depend on nothing but the values. Parts are added by whoever reads them.

struct Params {
  start: u32,  // first vec4 of the range
  length: u32, // vec4 of the range
  stride: u32, // vec4 of a row
  part: u32,   // vec4 of a part; the last may be shorter
  rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> distances: array<f32>;

// import index

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn row_distance(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) own: u32) {
  let parts = (params.length + params.part - 1u) / params.part;
  let group = index(id) / 64u;
  let row = group / parts;
  let part = group % parts;
  var sum = vec4<f32>(0.0);
  if (row < params.rows) {
    let end = min((part + 1u) * params.part, params.length);
    for (var i = part * params.part + own; i < end; i += 64u) {
      let at = params.start + i;
      let difference = parameters[id.z * params.stride + at] - rows[row * params.stride + at];
      sum = fma(difference, difference, sum);
    }
  }
  sums[own] = (sum.x + sum.y) + (sum.z + sum.w);
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (own < half) {
      sums[own] += sums[own + half];
    }
  }
  if (own == 0u && row < params.rows) {
    distances[(id.z * params.rows + row) * parts + part] = sums[0];
  }
}
