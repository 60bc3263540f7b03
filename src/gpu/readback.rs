//! Reading results back: results are copied to one staging buffer in the same submit as the work, and mapped once.

use super::Gpu;
use crate::{Error, Result};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// A mappable buffer that results are gathered in.
#[derive(Debug)]
pub struct Staging {
    /// Copy results here.
    pub buffer: wgpu::Buffer,
    bytes: u64,
}

#[derive(Default)]
struct Mapped {
    result: Option<std::result::Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

impl Staging {
    /// A staging buffer of at least `bytes`.
    pub fn new(gpu: &Gpu, bytes: u64) -> Staging {
        let bytes = bytes.next_multiple_of(4).max(4);
        let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Staging { buffer, bytes }
    }

    /// Waits for all submitted work and returns the bytes.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the device was lost or refused an earlier call.
    pub async fn read(&self, gpu: &Gpu) -> Result<Vec<u8>> {
        self.read_first(gpu, self.bytes).await
    }

    /// The same of the first so many bytes, a multiple of 4.
    ///
    /// # Errors
    /// As [`Staging::read`].
    pub async fn read_first(&self, gpu: &Gpu, bytes: u64) -> Result<Vec<u8>> {
        gpu.count(0, 0, 1);
        let shared = Arc::new(Mutex::new(Mapped::default()));
        let notify = shared.clone();
        self.buffer.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            let mut mapped = notify.lock().expect("no panic while held");
            mapped.result = Some(result);
            if let Some(waker) = mapped.waker.take() {
                waker.wake();
            }
        });
        // Native devices make progress only when polled; a browser calls back by itself.
        #[cfg(not(target_arch = "wasm32"))]
        if let Err(error) = gpu.device.poll(wgpu::PollType::wait_indefinitely()) {
            gpu.check()?;
            return Err(Error::Gpu(format!("waiting for the GPU failed: {error}")));
        }
        let result = std::future::poll_fn(|context| {
            let mut mapped = shared.lock().expect("no panic while held");
            match mapped.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    mapped.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        gpu.check()?;
        result.map_err(|error| Error::Gpu(format!("reading results back failed: {error}")))?;
        let bytes = match self.buffer.slice(..bytes).get_mapped_range() {
            Ok(view) => view.to_vec(),
            Err(error) => return Err(Error::Gpu(format!("reading results back failed: {error}"))),
        };
        self.buffer.unmap();
        Ok(bytes)
    }
}
