// Corners: the first channels of every layer of a wide network are a narrow one (HeteroFL: Diao et al., 2021, section 3).
// A table names for each value of a row of the narrow network's parameters its place in a row of the wide one's.
//
//   take:    narrow[z][i] = wide[z][table[i]]
//   add:     wide[z][table[i]] += narrow[z][i]
//   merge:   sum[z][table[i]] += weight[z] · narrow[z][i],   mass[z][table[i]] += weight[z], where the weight is not 0
//   settle:  parameters = sum / mass where somebody held the value (mass > 0); else they stay
//
// So `merge`, once for every width, and `settle` average each value over those that hold it. No place is named twice in a
// table: nothing is added to by two invocations. One invocation a vec4 of a row, narrow or (settle) wide; z is the row.

// In the table, of values that pad a narrow row.
const NONE: u32 = 4294967295u;

struct Params {
  length: u32, // vec4 of a row that the dispatch runs over
  wide: u32, // values of a wide row
}

@group(0) @binding(0) var<uniform> params: Params;

// take, add and merge
@group(0) @binding(1) var<storage, read> places: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> narrow: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> wide: array<f32>; // of merge: the sum
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> mass: array<f32>;

@group(0) @binding(2) var<storage, read> source: array<f32>;
@group(0) @binding(3) var<storage, read_write> taken: array<vec4<f32>>;

@group(0) @binding(1) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> masses: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> parameters: array<vec4<f32>>;

// import index

fn value(row: u32, place: u32) -> f32 {
  if (place == NONE) {
    return 0.0;
  }
  return source[row + place];
}

@compute @workgroup_size(64)
fn take(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length) {
    return;
  }
  let at = places[index(id)];
  let row = id.z * params.wide;
  taken[id.z * params.length + index(id)] = vec4<f32>(value(row, at.x), value(row, at.y), value(row, at.z), value(row, at.w));
}

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length) {
    return;
  }
  let at = places[index(id)];
  let own = narrow[id.z * params.length + index(id)];
  for (var c = 0u; c < 4u; c++) {
    if (at[c] != NONE) {
      wide[id.z * params.wide + at[c]] += own[c];
    }
  }
}

@compute @workgroup_size(64)
fn merge(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length) {
    return;
  }
  let at = places[index(id)];
  let own = narrow[id.z * params.length + index(id)];
  let weight = weights[id.z];
  // A row that nobody trained leaves sums as they are, to the bit.
  if (weight == 0.0) {
    return;
  }
  for (var c = 0u; c < 4u; c++) {
    if (at[c] != NONE) {
      let place = id.z * params.wide + at[c];
      wide[place] = fma(weight, own[c], wide[place]);
      mass[place] += weight;
    }
  }
}

@compute @workgroup_size(64)
fn settle(@builtin(global_invocation_id) id: vec3<u32>) {
  if (index(id) >= params.length) {
    return;
  }
  let i = id.z * params.length + index(id);
  let held = masses[i];
  let sum = sums[i];
  var mean = parameters[i];
  for (var c = 0u; c < 4u; c++) {
    if (held[c] > 0.0) {
      mean[c] = sum[c] / held[c];
    }
  }
  parameters[i] = mean;
}
