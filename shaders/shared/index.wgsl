// Number of an invocation of a dispatch over the parameters of a whole network.
//
// One row of workgroups has at most 65 535; longer ones go on in the next.
const ROW: u32 = 4194240u;

fn index(id: vec3<u32>) -> u32 {
  return id.y * ROW + id.x;
}
