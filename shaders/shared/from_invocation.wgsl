// The value that invocation `i` of the subgroup holds, where nothing is shared: a subgroup of one.
fn from_invocation(value: vec4<f32>, i: u32) -> vec4<f32> {
  return value;
}
