// Second stage of a weight gradient: adds the parts of every lane in their order.
//
//   gradient[lane][offset + i] = Σ_part partial[lane][part][i]
//
// One invocation a vec4 of the tensor.

struct Params {
  length: u32,           // vec4 to write (the bias's may be left out)
  parts: u32,
  partial_stride: u32,
  parameter_stride: u32,
  offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partial: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(64)
fn sum_partials(@builtin(global_invocation_id) id: vec3<u32>) {
  let lane = id.z;
  if (id.x >= params.length) {
    return;
  }
  var sum = vec4<f32>(0.0);
  for (var part = 0u; part < params.parts; part++) {
    sum += partial[(lane * params.parts + part) * params.partial_stride + id.x];
  }
  gradient[lane * params.parameter_stride + params.offset + id.x] = sum;
}
