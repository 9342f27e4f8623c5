//! A device, its library of products, and kernels compiled for it.

use super::products::Shape;
use super::{Real, failed};
use crate::{EncoderConfig, EncoderError};
use cudarc::cublaslt::result as blas;
use cudarc::cublaslt::sys::{cublasLtHandle_t, cublasLtMatmulAlgo_t};
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, CudaFunction};
use cudarc::nvrtc::sys::{nvrtcGetNumSupportedArchs, nvrtcGetSupportedArchs};
use cudarc::nvrtc::{CompileOptions, Ptx, compile_ptx_with_opts};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// From this compute capability on tensor cores have the instructions of the kernels, and numbers may be `bf16`.
const AMPERE: (i32, i32) = (8, 0);

/// A CUDA device.
pub struct CudaDevice {
    pub(super) context: Arc<CudaContext>,
    pub(super) products: cublasLtHandle_t,
    /// The algorithms that were the fastest.
    pub(super) chosen: Mutex<HashMap<(Real, Shape), cublasLtMatmulAlgo_t>>,
    /// The folder of CUDA's headers.
    headers: PathBuf,
}

// SAFETY: a handle of cuBLASLt may be used by several threads at once, and is destroyed once, with the last owner.
unsafe impl Send for CudaDevice {}
// SAFETY: as above.
unsafe impl Sync for CudaDevice {}

impl CudaDevice {
    /// The device of an index. `headers` is the folder of CUDA's headers, which kernels include.
    ///
    /// # Errors
    /// When the driver or cuBLASLt fails.
    ///
    /// # Panics
    /// When one of the libraries of CUDA (the driver, NVRTC, cuBLASLt) is missing: look for them before.
    pub fn open(index: usize, headers: PathBuf) -> Result<Arc<CudaDevice>, EncoderError> {
        let context = CudaContext::new(index).map_err(failed)?;
        // SAFETY: weights are written before the first session is made, and all else belongs to the stream of one session, so that
        // no memory of a stream waits for another stream.
        unsafe { context.disable_event_tracking() };
        let products = blas::create_handle().map_err(failed)?;
        Ok(Arc::new(CudaDevice { context, products, chosen: Mutex::default(), headers }))
    }

    /// The kernels of a network.
    pub(super) fn kernels(&self, config: &EncoderConfig, real: Real) -> Result<Kernels, EncoderError> {
        let capability = known_to_compiler(self.context.compute_capability().map_err(failed)?)?;
        let is_on_tensor_cores = has_tensor_kernel(config, real, capability);
        let code = compile(config, real, ("compute", capability), &self.headers)?;
        let module = self.context.load_module(code).map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
                let cause = "the driver is older than the compiler NVRTC; update it, or take NVRTC of the driver's CUDA version";
                EncoderError::Device(cause.into())
            }
            _ => failed(error),
        })?;
        let kernel = |name| module.load_function(name).map_err(failed);
        Ok(Kernels {
            embed: kernel("embed")?,
            attend: kernel("attend")?,
            attend_threads: if is_on_tensor_cores { 128 } else { 64 },
            add_norm: kernel("add_norm")?,
            gelu: kernel("gelu")?,
            heads: kernel("heads")?,
        })
    }
}

/// The newest compute capability that NVRTC compiles for and a device runs that has `capability`.
fn known_to_compiler((major, minor): (i32, i32)) -> Result<(i32, i32), EncoderError> {
    let mut count = 0;
    // SAFETY: the library writes one integer to a place that lives for the call.
    unsafe { nvrtcGetNumSupportedArchs(&mut count) }.result().map_err(failed)?;
    let mut known = vec![0; count as usize];
    // SAFETY: there is room for as many as the library has counted.
    unsafe { nvrtcGetSupportedArchs(known.as_mut_ptr()) }.result().map_err(failed)?;
    let newest = known.iter().copied().filter(|&one| one <= 10 * major + minor).max();
    let newest = newest.ok_or_else(|| {
        let least = known.iter().min().copied().unwrap_or_default();
        let cause = format!(
            "its compute capability is {major}.{minor}, and this NVRTC compiles for {}.{} and above; install an older NVRTC",
            least / 10,
            least % 10
        );
        EncoderError::Device(cause)
    })?;
    Ok((newest / 10, newest % 10))
}

/// Whether attention multiplies on tensor cores.
fn has_tensor_kernel(config: &EncoderConfig, real: Real, capability: (i32, i32)) -> bool {
    let features = config.hidden / config.heads;
    real != Real::F32 && capability >= AMPERE && features.is_multiple_of(16) && features <= 64
}

/// `kernels.cu` for a network and a compute capability: to PTX with `compute`, and to machine code too with `sm`.
fn compile(
    config: &EncoderConfig,
    real: Real,
    (target, capability): (&str, (i32, i32)),
    headers: &Path,
) -> Result<Ptx, EncoderError> {
    let (major, minor) = capability;
    if real == Real::Bf16 && capability < AMPERE {
        let cause =
            format!("its compute capability is {major}.{minor}, and bf16 needs 8.0; choose precision f16 or f32");
        return Err(EncoderError::Device(cause));
    }
    let [name, of_instruction] = real.names();
    let options = vec![
        format!("--gpu-architecture={target}_{major}{minor}"),
        format!("-DREAL={name}"),
        format!("-DMMA_TYPE=\"{of_instruction}\""),
        format!("-DHIDDEN={}", config.hidden),
        format!("-DHEAD={}", config.hidden / config.heads),
        format!("-DTENSOR={}", i32::from(has_tensor_kernel(config, real, capability))),
    ];
    let include_paths = vec![headers.to_string_lossy().into_owned()];
    let options = CompileOptions { options, include_paths, ..CompileOptions::default() };
    compile_ptx_with_opts(include_str!("kernels.cu"), options).map_err(failed)
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // A device that fails here has said so before.
        let _failed = self.context.bind_to_thread();
        // SAFETY: nobody has the handle any more.
        let _failed = unsafe { blas::destroy_handle(self.products) };
    }
}

/// What `kernels.cu` defines.
pub(super) struct Kernels {
    pub(super) embed: CudaFunction,
    pub(super) attend: CudaFunction,
    /// Threads of its blocks: a warp for 16 queries, or a thread for each.
    pub(super) attend_threads: u32,
    pub(super) add_norm: CudaFunction,
    pub(super) gelu: CudaFunction,
    pub(super) heads: CudaFunction,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For every precision and head size, and devices before and after tensor cores had the instructions; it needs no device.
    #[test]
    fn kernels_compile() {
        // SAFETY: it opens the library and closes it; its initialisers may run in any thread.
        let is_there = unsafe { cudarc::nvrtc::sys::is_culib_present() };
        let (true, Some(toolkit)) = (is_there, std::env::var_os("CUDA_PATH")) else {
            let missing = "there is no libnvrtc.so, or CUDA_PATH does not name the folder above CUDA's headers";
            assert!(std::env::var_os("STILLROOM_TEST_NVRTC").is_none(), "{missing}");
            eprintln!("skipped, as {missing}");
            return;
        };
        let headers = Path::new(&toolkit).join("include");
        let compile = |hidden, heads, real, capability| {
            let layer_norm_eps = 1e-12;
            let (layers, intermediate, vocabulary, positions) = (1, 4 * hidden, 100, 512);
            let config = EncoderConfig { hidden, layers, heads, intermediate, layer_norm_eps, vocabulary, positions };
            compile(&config, real, ("sm", capability), &headers)
        };
        for (hidden, heads) in [(768, 12), (384, 12), (32, 2), (312, 12), (96, 2), (1024, 8), (192, 1)] {
            for real in [Real::Bf16, Real::F16, Real::F32] {
                for capability in [(8, 0), (9, 0), (12, 0)] {
                    compile(hidden, heads, real, capability).unwrap_or_else(|error| {
                        panic!("{hidden} features, {heads} heads, {real:?}, {capability:?}: {error}")
                    });
                }
            }
            compile(hidden, heads, Real::F16, (7, 5)).unwrap();
        }
        assert_eq!(known_to_compiler((9, 0)).unwrap(), (9, 0));
        assert!(known_to_compiler((99, 0)).unwrap() >= (9, 0));
        let refused = known_to_compiler((3, 5)).unwrap_err().to_string();
        assert!(refused.contains("3.5, and this NVRTC compiles for") && refused.contains("older NVRTC"), "{refused}");
        let refused = compile(768, 12, Real::Bf16, (7, 5)).unwrap_err().to_string();
        assert!(refused.contains("bf16 needs 8.0; choose precision f16 or f32"), "{refused}");
    }
}
