//! Notes in and entities out, in the formats of hospitals, warehouses and annotators.
