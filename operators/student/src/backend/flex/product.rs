//! Products of matrices that are parts of other matrices, by the `gemm` crate, which takes strides.

/// `[rows, columns]` in a slice. Rows are `stride` apart, or columns where it is transposed.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// All of `values`, in rows of `columns`.
    pub(super) fn new(values: &'a [f32], columns: usize) -> Matrix<'a> {
        Matrix::part(values, columns, columns)
    }

    /// The first `columns` of every `stride`, as often as they are there.
    pub(super) fn part(values: &'a [f32], columns: usize, stride: usize) -> Matrix<'a> {
        assert!(0 < columns && columns <= stride, "a row of {columns} in one of {stride}");
        let rows = (values.len() + stride - columns) / stride;
        Matrix { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// `[columns, rows]`.
    pub(super) fn transposed(self) -> Matrix<'a> {
        let (rows, columns) = (self.columns, self.rows);
        Matrix { rows, columns, row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }
}

/// Where a product goes: rows that are `stride` apart.
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
}

/// `target ← factor · a · b`, or `target + factor · a · b`.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn product(target: Target<'_>, (a, b): (Matrix<'_>, Matrix<'_>), factor: f32, add: bool) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert_eq!(inner, b.rows, "columns of one factor and rows of the other");
    assert!(columns <= target.stride && target.values.len() + target.stride >= rows * target.stride + columns);
    if rows * columns == 0 {
        return;
    }
    // SAFETY: a matrix has its last element inside of its slice, as `part` counts rows; the target as asserted.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            target.values.as_mut_ptr(),
            1,
            target.stride as isize,
            add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            factor,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
