// Aggregation on the server, one wave of lanes at a time:
//
//   average[base] += Σ_{lanes of the base, in order} weight · parameters[lane]
//
// The weights already sum to one over all lanes of a base, so after the round's last wave `average` is the new base.
// Lanes are added one by one in the round's order, whatever the waves, so the bits do not depend on the split.
// One invocation a vec4 of a base; the dispatch's z axis is the base.

struct Params {
  length: u32, // vec4 of one base that are averaged: the first of its row
  stride: u32, // vec4 of a row
}

@group(0) @binding(0) var<uniform> params: Params;
// For each base b, members[b] .. members[b + 1] are indices of (lane, weight as bits) pairs, which follow the bases + 1
// offsets; the offsets count u32 from the buffer's start.
@group(0) @binding(1) var<storage, read> members: array<u32>;
@group(0) @binding(2) var<storage, read> parameters: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> average: array<vec4<f32>>;

// import index

@compute @workgroup_size(64)
fn weighted_average(@builtin(global_invocation_id) id: vec3<u32>) {
  let base = id.z;
  if (index(id) >= params.length) {
    return;
  }
  var sum = average[base * params.stride + index(id)];
  for (var m = members[base]; m < members[base + 1u]; m += 2u) {
    let weight = bitcast<f32>(members[m + 1u]);
    sum = fma(vec4<f32>(weight), parameters[members[m] * params.stride + index(id)], sum);
  }
  average[base * params.stride + index(id)] = sum;
}
