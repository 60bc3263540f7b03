//! Plain f64 twins of the kernels in `shaders/`.
