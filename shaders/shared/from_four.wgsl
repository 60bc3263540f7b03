// The values of the four invocations from `i` on.
fn from_four(value: f32, i: u32) -> vec4<f32> {
  let v = vec4<f32>(value);
  return vec4<f32>(from_invocation(v, i).x, from_invocation(v, i + 1u).x, from_invocation(v, i + 2u).x, from_invocation(v, i + 3u).x);
}
