//! Products of activations and weights, by cuBLASLt.

use super::{CudaDevice, Real, failed, no_room};
use crate::EncoderError;
use cudarc::cublaslt::result as blas;
use cudarc::cublaslt::sys::{
    cublasComputeType_t, cublasLtEpilogue_t, cublasLtMatmulAlgo_t, cublasLtMatmulAlgoGetHeuristic,
    cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, cublasLtMatmulHeuristicResult_t,
    cublasLtMatmulPreferenceAttributes_t, cublasLtMatrixLayout_t, cudaDataType,
};
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, PoisonError};

/// Rows of a product are a multiple of it, so that few numbers of rows are met; what stands behind the last is never read.
pub(super) const ROWS_STEP: usize = 128;

/// Memory that a product may use, as NVIDIA recommends for its newest devices.
static WORKSPACE_BYTES: usize = 32 << 20;

/// Algorithms that are tried for a shape, and how often each is timed.
const PROPOSALS_MAX: usize = 8;
const TUNING_ROUNDS: usize = 3;

/// A linear layer's weights, and what cuBLASLt is to do with them.
pub(super) struct Product {
    weight: CudaSlice<u8>,
    /// What the description points to.
    _bias: CudaSlice<u8>,
    description: Description,
    inputs: usize,
    outputs: usize,
    is_gelu: bool,
}

/// How a product is to be computed; destroyed with its owner.
struct Description(cublasLtMatmulDesc_t);

// SAFETY: it is written when it is made, and only read afterwards.
unsafe impl Send for Description {}
// SAFETY: as above.
unsafe impl Sync for Description {}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: it was made by cuBLASLt, and nobody has it any more.
        let _failed = unsafe { blas::destroy_matmul_desc(self.0) };
    }
}

impl Description {
    fn set<T>(&self, attribute: cublasLtMatmulDescAttributes_t, value: &T) -> Result<(), EncoderError> {
        // SAFETY: cuBLASLt copies as many bytes as the value has, which is of the attribute's type.
        unsafe { blas::set_matmul_desc_attribute(self.0, attribute, (&raw const *value).cast(), size_of::<T>()) }
            .map_err(failed)
    }
}

impl Product {
    /// Weights `[outputs, inputs]` and bias `[outputs]` on a device, rounded; with the GELU of the sum, if that is asked for, by its
    /// tanh form, which is off by 0.0005 at most.
    pub(super) fn new(
        stream: &Arc<CudaStream>,
        [weight, bias]: [CudaSlice<u8>; 2],
        (inputs, outputs): (usize, usize),
        is_gelu: bool,
    ) -> Result<Product, EncoderError> {
        let description = blas::create_matmul_desc(cublasComputeType_t::CUBLAS_COMPUTE_32F, cudaDataType::CUDA_R_32F);
        let description = Description(description.map_err(failed)?);
        // Rows of ours are columns of cuBLASLt's: it multiplies the transposed weights by activations as they lie.
        description.set(cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA, &1i32)?;
        let epilogue = match is_gelu {
            true => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU_BIAS,
            false => cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
        };
        description.set(cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        description
            .set(cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias.device_ptr(stream).0)?;
        Ok(Product { weight, _bias: bias, description, inputs, outputs, is_gelu })
    }

    fn shape(&self, rows: usize) -> Shape {
        (self.inputs, self.outputs, rows.next_multiple_of(ROWS_STEP), self.is_gelu)
    }
}

/// The products of a session, with the algorithm of each shape.
pub(super) struct Products {
    device: Arc<CudaDevice>,
    real: Real,
    workspace: CudaSlice<u8>,
    plans: HashMap<Shape, Plan>,
}

/// What an algorithm is chosen by: inputs, outputs, rows, and whether there is a GELU.
pub(super) type Shape = (usize, usize, usize, bool);

/// Layouts of a shape, and the algorithm.
struct Plan {
    weight: Layout,
    input: Layout,
    output: Layout,
    algorithm: cublasLtMatmulAlgo_t,
}

/// How a matrix lies; destroyed with its owner.
struct Layout(cublasLtMatrixLayout_t);

// SAFETY: it is written when it is made, and only read afterwards.
unsafe impl Send for Layout {}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: it was made by cuBLASLt, and nobody has it any more.
        let _failed = unsafe { blas::destroy_matrix_layout(self.0) };
    }
}

impl Layout {
    /// Of `rows` rows of ours, without gaps.
    fn new(real: Real, rows: usize, columns: usize) -> Result<Layout, EncoderError> {
        let layout = blas::create_matrix_layout(real.data_type(), columns as u64, rows as u64, columns as i64);
        Ok(Layout(layout.map_err(failed)?))
    }
}

impl Products {
    pub(super) fn new(
        device: &Arc<CudaDevice>,
        stream: &Arc<CudaStream>,
        real: Real,
    ) -> Result<Products, EncoderError> {
        // SAFETY: cuBLASLt writes before it reads.
        let workspace = unsafe { stream.alloc(WORKSPACE_BYTES) };
        let workspace = workspace.map_err(|error| no_room(error, "products; give the device fewer processes"))?;
        Ok(Products { device: Arc::clone(device), real, workspace, plans: HashMap::new() })
    }

    /// `output` becomes `input · weightᵀ + bias`, or the GELU of it, of `[rows, inputs]` to `[rows, outputs]`; of both there are
    /// rows up to the next multiple of [`ROWS_STEP`].
    pub(super) fn multiply(
        &mut self,
        stream: &Arc<CudaStream>,
        product: &Product,
        rows: usize,
        memory: (&CudaSlice<u8>, &mut CudaSlice<u8>),
    ) -> Result<(), EncoderError> {
        let shape = product.shape(rows);
        if !self.plans.contains_key(&shape) {
            let (plan, _) = self.proposed(product, shape)?;
            self.plans.insert(shape, plan);
        }
        self.launch(stream, product, (&self.plans[&shape], shape), memory)
    }

    /// Chooses for a shape what is the fastest on the device of what cuBLASLt proposes, whose first is up to a tenth slower.
    pub(super) fn tune(
        &mut self,
        stream: &Arc<CudaStream>,
        product: &Product,
        rows: usize,
        (input, output): (&CudaSlice<u8>, &mut CudaSlice<u8>),
    ) -> Result<(), EncoderError> {
        let shape = product.shape(rows);
        let (mut plan, proposals) = self.proposed(product, shape)?;
        // All sessions of a device are to give the same.
        let device = Arc::clone(&self.device);
        let mut chosen = device.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&algorithm) = chosen.get(&(self.real, shape)) {
            plan.algorithm = algorithm;
            self.plans.insert(shape, plan);
            return Ok(());
        }
        let event = || self.device.context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(failed);
        let (began, ended, mut best) = (event()?, event()?, (f32::INFINITY, plan.algorithm));
        for algorithm in proposals {
            plan.algorithm = algorithm;
            // It loads the kernel, and some that are proposed cannot be had on a device.
            if self.launch(stream, product, (&plan, shape), (input, output)).is_err() {
                continue;
            }
            began.record(stream).map_err(failed)?;
            for _ in 0..TUNING_ROUNDS {
                self.launch(stream, product, (&plan, shape), (input, output))?;
            }
            ended.record(stream).map_err(failed)?;
            let took = began.elapsed_ms(&ended).map_err(failed)?;
            if took < best.0 {
                best = (took, algorithm);
            }
        }
        plan.algorithm = best.1;
        chosen.insert((self.real, shape), plan.algorithm);
        self.plans.insert(shape, plan);
        Ok(())
    }

    fn launch(
        &self,
        stream: &Arc<CudaStream>,
        product: &Product,
        (plan, (inputs, outputs, rows, _)): (&Plan, Shape),
        (input, output): (&CudaSlice<u8>, &mut CudaSlice<u8>),
    ) -> Result<(), EncoderError> {
        let bytes = |features: usize| rows * features * self.real.bytes();
        assert!(bytes(inputs) <= input.len() && bytes(outputs) <= output.len(), "memory is too small");
        let pointer = |memory: &CudaSlice<u8>| memory.device_ptr(stream).0 as *mut c_void;
        let output = output.device_ptr_mut(stream).0 as *mut c_void;
        // SAFETY: the matrices have the sizes that their layouts say, as checked above, in memory of this device; descriptions live
        // in what is borrowed, and the work is done on the stream that all of this memory belongs to, the workspace too.
        let done = unsafe {
            blas::matmul(
                self.device.products,
                product.description.0,
                (&raw const ONE).cast(),
                (&raw const ZERO).cast(),
                pointer(&product.weight),
                plan.weight.0,
                pointer(input),
                plan.input.0,
                output,
                plan.output.0,
                output,
                plan.output.0,
                &plan.algorithm,
                pointer(&self.workspace),
                WORKSPACE_BYTES,
                stream.cu_stream().cast(),
            )
        };
        done.map_err(failed)
    }

    /// What cuBLASLt holds for the fastest, and all that it proposes.
    fn proposed(
        &self,
        product: &Product,
        (inputs, outputs, rows, _): Shape,
    ) -> Result<(Plan, Vec<cublasLtMatmulAlgo_t>), EncoderError> {
        let weight = Layout::new(self.real, outputs, inputs)?;
        let [input, output] = [inputs, outputs].map(|features| Layout::new(self.real, rows, features));
        let (input, output) = (input?, output?);
        let preference = blas::create_matmul_pref().map_err(failed)?;
        let (mut found, mut count) = (Vec::<cublasLtMatmulHeuristicResult_t>::with_capacity(PROPOSALS_MAX), 0);
        // SAFETY: the preference lives until it is destroyed at the end, layouts and description as long as this call, and there is
        // room for as many results as are asked for, of which so many are set as are counted.
        let asked = unsafe {
            let asked = blas::set_matmul_pref_attribute(
                preference,
                cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                (&raw const WORKSPACE_BYTES).cast(),
                size_of::<usize>(),
            )
            .and_then(|()| {
                let (description, most, results) = (product.description.0, PROPOSALS_MAX as i32, found.as_mut_ptr());
                let (a, b, c) = (weight.0, input.0, output.0);
                cublasLtMatmulAlgoGetHeuristic(
                    self.device.products,
                    description,
                    a,
                    b,
                    c,
                    c,
                    preference,
                    most,
                    results,
                    &mut count,
                )
                .result()
            });
            found.set_len(count as usize);
            let _failed = blas::destroy_matmul_pref(preference);
            asked
        };
        asked.map_err(failed)?;
        let proposals: Vec<_> =
            found.into_iter().filter(|one| one.state.result().is_ok()).map(|one| one.algo).collect();
        let Some(&algorithm) = proposals.first() else {
            let cause = format!(
                "cuBLASLt has no product of {inputs} by {outputs} features in {:?}; choose precision f32",
                self.real
            );
            return Err(EncoderError::Device(cause));
        };
        Ok((Plan { weight, input, output, algorithm }, proposals))
    }
}

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;
