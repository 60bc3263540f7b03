// What the adapter itself can do, for a benchmark to set the kernels' figures against:
//
//   multiply_add  fused multiply–adds in registers, eight chains an invocation so that none waits for its result
//   fill, copy    destination[i] = source[i], one vec4 an invocation, filled with values that differ
//   count         one addition that needs the dispatch before it: the cost of a dispatch that does nothing
//
// The dispatch's z axis is a multiplier of the work.

const ROUNDS: u32 = 64u; // turns of the loop, of 32 vec4 operations each

struct Params {
  length: u32, // vec4 of one z of `destination`
  x: f32,
  y: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> counter: array<u32>;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<f32>>;

@compute @workgroup_size(64)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
  let x = vec4<f32>(params.x);
  let y = vec4<f32>(params.y);
  var a = vec4<f32>(f32(id.x));
  var b = a + 1.0;
  var c = a + 2.0;
  var d = a + 3.0;
  var e = a + 4.0;
  var f = a + 5.0;
  var g = a + 6.0;
  var h = a + 7.0;
  for (var i = 0u; i < ROUNDS; i++) {
    // Written out: not every driver unrolls, and the loop's own arithmetic is not to be measured.
    a = fma(a, x, y); b = fma(b, x, y); c = fma(c, x, y); d = fma(d, x, y);
    e = fma(e, x, y); f = fma(f, x, y); g = fma(g, x, y); h = fma(h, x, y);
    a = fma(a, x, y); b = fma(b, x, y); c = fma(c, x, y); d = fma(d, x, y);
    e = fma(e, x, y); f = fma(f, x, y); g = fma(g, x, y); h = fma(h, x, y);
    a = fma(a, x, y); b = fma(b, x, y); c = fma(c, x, y); d = fma(d, x, y);
    e = fma(e, x, y); f = fma(f, x, y); g = fma(g, x, y); h = fma(h, x, y);
    a = fma(a, x, y); b = fma(b, x, y); c = fma(c, x, y); d = fma(d, x, y);
    e = fma(e, x, y); f = fma(f, x, y); g = fma(g, x, y); h = fma(h, x, y);
  }
  let sum = a + b + c + d + e + f + g + h;
  // With x and y in (0, 1) the chains stay positive, so nothing is ever stored; the compiler cannot know that.
  if (sum.x + sum.y + sum.z + sum.w < 0.0) {
    result[0] = sum;
  }
}

@compute @workgroup_size(64)
fn fill(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.length) {
    return;
  }
  let i = id.z * params.length + id.x;
  let scrambled = vec4<u32>(i, i + 1u, i + 2u, i + 3u) * 2654435761u;
  result[i] = vec4<f32>(scrambled);
}

@compute @workgroup_size(64)
fn copy(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= params.length) {
    return;
  }
  let i = id.z * params.length + id.x;
  destination[i] = source[i];
}

@compute @workgroup_size(64)
fn count(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x == 0u) {
    counter[0] = counter[0] + 1u;
  }
}
