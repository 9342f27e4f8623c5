//! The CUDA devices of this machine, looked for before anything is asked of them: without the driver or a library of CUDA, cudarc
//! and Burn panic.

use crate::StudentError;

/// A CUDA device of Burn's, by its name.
#[cfg(feature = "cuda")]
pub(crate) type Named = (String, burn::backend::cuda::CudaDevice);

/// The devices of these indices as Burn knows them; all when there are none.
#[cfg(feature = "cuda")]
pub(crate) fn devices(indices: &[usize]) -> Result<Vec<Named>, StudentError> {
    let device = |gpu: Gpu| (format!("cuda:{}", gpu.index), burn::backend::cuda::CudaDevice::new(gpu.index));
    Ok(gpus(indices)?.into_iter().map(device).collect())
}

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its index, as in `cuda:0`.
    pub index: usize,
    /// As the driver names it.
    pub name: String,
    /// Its memory in bytes.
    pub memory_bytes: usize,
    /// The version of CUDA that the driver is for, as in 13000 for 13.0.
    pub cuda_version: i32,
}

/// The devices of these indices; all when there are none.
///
/// # Errors
/// When the build has no CUDA, the driver, its compiler NVRTC, cuBLASLt or CUDA's headers are missing, or there is no such device.
/// Says what to install or set.
pub fn gpus(indices: &[usize]) -> Result<Vec<Gpu>, StudentError> {
    let found = found()?;
    if indices.is_empty() {
        return Ok(found);
    }
    let of_index = |&index: &usize| {
        found.iter().find(|gpu| gpu.index == index).cloned().ok_or_else(|| StudentError::Device {
            device: format!("cuda:{index}"),
            cause: format!("the driver shows {} devices, counted from 0; name one of them", found.len()),
        })
    };
    indices.iter().map(of_index).collect()
}

#[cfg(not(feature = "cuda"))]
fn found() -> Result<Vec<Gpu>, StudentError> {
    Err(no_cuda())
}

/// What is said where there is a GPU to be used, and no CUDA in the build.
#[cfg(not(feature = "cuda"))]
pub(crate) fn no_cuda() -> StudentError {
    let cause = "this build has no CUDA; build with --features cuda, or use device cpu".into();
    StudentError::Device { device: "cuda".into(), cause }
}

#[cfg(feature = "cuda")]
fn found() -> Result<Vec<Gpu>, StudentError> {
    asked().map_err(|cause| StudentError::Device { device: "cuda".into(), cause })
}

/// What driver and folders say.
#[cfg(feature = "cuda")]
fn asked() -> Result<Vec<Gpu>, String> {
    use cudarc::driver::{result, sys};
    // SAFETY: it opens the library and closes it; the driver's initialisers may run in any thread.
    if !unsafe { sys::is_culib_present() } {
        return Err("there is no libcuda.so; install the driver of the GPU, or use device cpu".into());
    }
    // SAFETY: as above.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err("there is no libnvrtc.so, which compiles kernels; install CUDA's runtime compiler (NVRTC), and name its folder in \
                    LD_LIBRARY_PATH"
            .into());
    }
    // SAFETY: as above.
    if !unsafe { cudarc::cublaslt::sys::is_culib_present() } {
        return Err("there is no libcublasLt.so, which multiplies; install CUDA's cuBLAS, and name its folder in LD_LIBRARY_PATH".into());
    }
    let headers = headers();
    if !headers.join("cuda_fp16.h").exists() {
        return Err(format!(
            "there is no cuda_fp16.h in {}, which kernels include; install CUDA's headers, and name the folder above `include` in \
             CUDA_PATH",
            headers.display()
        ));
    }
    let failed = |error: result::DriverError| format!("the driver of the GPU says: {error}");
    result::init().map_err(failed)?;
    let mut cuda_version = 0;
    // SAFETY: the driver writes one integer to a place that lives for the call.
    unsafe { sys::cuDriverGetVersion(&mut cuda_version) }.result().map_err(failed)?;
    let count = result::device::get_count().map_err(failed)?;
    if count == 0 {
        return Err("the driver shows no device; see nvidia-smi and CUDA_VISIBLE_DEVICES".into());
    }
    let gpu = |index| {
        let device = result::device::get(index)?;
        // SAFETY: the device was just given by the driver.
        let memory_bytes = unsafe { result::device::total_mem(device) }?;
        Ok(Gpu { index: index as usize, name: result::device::get_name(device)?, memory_bytes, cuda_version })
    };
    (0..count).map(gpu).collect::<Result<_, _>>().map_err(failed)
}

/// Where kernels, ours and Burn's, look for CUDA's headers: the folder that cubecl-cuda 0.10 chooses.
#[cfg(feature = "cuda")]
pub(crate) fn headers() -> std::path::PathBuf {
    let places = [("/usr/local/cuda", "/usr/local/cuda"), ("/opt/cuda", "/opt/cuda"), ("/usr/bin/nvcc", "/usr")];
    let found = places.into_iter().find(|(sign, _)| std::path::Path::new(sign).exists());
    let place =
        std::env::var_os("CUDA_PATH").unwrap_or_else(|| found.map_or("/usr/local/cuda", |(_, place)| place).into());
    std::path::PathBuf::from(place).join("include")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The devices, or a word to whoever reads the tests' output that none was tried.
    #[test]
    fn what_is_missing_is_said_with_a_remedy() {
        match gpus(&[]) {
            Ok(found) => {
                assert!(!found.is_empty());
                assert!(gpus(&[usize::MAX]).unwrap_err().to_string().contains("name one of them"));
            }
            Err(error) => {
                eprintln!("skipped, as no CUDA device can be used here: {error}");
                let message = error.to_string();
                let remedies =
                    ["build with --features cuda", "install", "see nvidia-smi", "the driver of the GPU says"];
                assert!(message.starts_with("device cuda cannot be used: "), "{message}");
                assert!(remedies.iter().any(|remedy| message.contains(remedy)), "{message}");
            }
        }
    }
}
