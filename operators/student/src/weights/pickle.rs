//! A reader of Python's pickles that can make nothing but what a file of tensors is made of.
//!
//! A pickle is a program that may call anything. This reader knows the operations that `torch.save` writes for a state dict and the
//! few names that it refers to; all else is an error, and nothing is ever called. Its memory is bounded by the number of
//! operations, of which none copies more than a few numbers, and no value nests deeply, so that a made-up file can exhaust neither
//! memory nor stack.

use safetensors::Dtype;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Operations that are read at most; a state dict takes some fifty a tensor.
const OPERATIONS_MAX: usize = 1 << 20;

/// Tuples in one another at most.
const DEPTH_MAX: u8 = 8;

/// Dimensions of a tensor at most; weights have two.
const DIMENSIONS_MAX: usize = 8;

/// Bytes of a text at most; names of tensors take some fifty.
const TEXT_MAX: usize = 1 << 12;

/// The last of Python's protocols that writes these operations alone; `torch.save` uses it.
const PROTOCOL_MAX: u8 = 2;

/// What a pickle can make.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Python's `None`, and everything that is of no use here.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A number.
    Int(i128),
    /// A text.
    Text(Rc<str>),
    /// A tuple.
    Tuple(Rc<[Value]>, u8),
    /// A list of texts; it leaves out all else.
    List(Rc<RefCell<Vec<Rc<str>>>>),
    /// A dictionary of texts to texts, numbers and tensors; it leaves out all else.
    Dict(Entries),
    /// One of the names that are allowed.
    Global(Global),
    /// Numbers that are elsewhere in the file.
    Storage(Rc<Storage>),
    /// A view of them.
    Tensor(Rc<Tensor>),
}

/// What a dictionary has, in the order in which it was put there.
type Entries = Rc<RefCell<Vec<(Rc<str>, Value)>>>;

/// What a pickle may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

/// Numbers that are elsewhere in the file.
#[derive(Debug)]
pub(super) struct Storage {
    /// Their type.
    pub(super) dtype: Dtype,
    /// Under which name the file has them.
    pub(super) key: Rc<str>,
    /// How many they are.
    pub(super) elements: usize,
}

/// Numbers in rows.
#[derive(Debug)]
pub(super) struct Tensor {
    /// Where they are.
    pub(super) storage: Rc<Storage>,
    /// The first of them.
    pub(super) first: usize,
    /// The shape.
    pub(super) shape: Vec<usize>,
    /// How many elements lie between neighbours, in each dimension.
    pub(super) strides: Vec<usize>,
}

/// Reads pickles that follow one another.
pub(super) struct Pickles<'a> {
    bytes: &'a [u8],
    at: usize,
    operations: usize,
    stack: Vec<Value>,
    /// Where the stack's groups begin.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    /// The storages that were referred to, by their keys.
    pub(super) storages: BTreeMap<Rc<str>, Rc<Storage>>,
}

/// Why a pickle cannot be read, and what to do.
type Refused = String;

impl<'a> Pickles<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
        Pickles { bytes, at: 0, operations: 0, stack, marks, memo, storages: BTreeMap::new() }
    }

    /// Where the last pickle ended.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next pickle.
    ///
    /// # Errors
    /// When it is cut off, or holds anything that a state dict does not.
    pub(super) fn read(&mut self) -> Result<Value, Refused> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        loop {
            self.operations += 1;
            if self.operations > OPERATIONS_MAX {
                return Err(format!("its pickle has over {OPERATIONS_MAX} operations; {CONVERT}"));
            }
            match self.take(1)?[0] {
                b'.' => return self.pop(),
                operation => self.operate(operation)?,
            }
        }
    }

    fn operate(&mut self, operation: u8) -> Result<(), Refused> {
        let value = match operation {
            0x80 => return self.protocol(),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            b'q' | b'r' => return self.memoise(operation),
            b'b' => return self.build(),
            b'a' | b'e' => return self.append(operation == b'e'),
            b's' | b'u' => return self.set_items(operation == b'u'),
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(operation == 0x88),
            b'K' => Value::Int(self.take(1)?[0].into()),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            0x8a => self.long()?,
            b'X' => self.text()?,
            b'c' => Value::Global(self.global()?),
            b'h' | b'j' => self.recall(operation)?,
            b')' => tuple(Vec::new())?,
            0x85..=0x87 => {
                let items = self.pop_some(usize::from(operation - 0x84))?;
                tuple(items)?
            }
            b't' => {
                let items = self.pop_group()?;
                tuple(items)?
            }
            b']' => Value::List(Rc::default()),
            b'}' => Value::Dict(Rc::default()),
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            other => {
                return Err(format!("its pickle has the operation {other:#04x}, which no state dict needs; {CONVERT}"));
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn protocol(&mut self) -> Result<(), Refused> {
        match self.take(1)?[0] {
            0..=PROTOCOL_MAX => Ok(()),
            other => Err(format!("its pickle is of protocol {other}, and {PROTOCOL_MAX} is read; {CONVERT}")),
        }
    }

    fn memoise(&mut self, operation: u8) -> Result<(), Refused> {
        let key = self.memo_key(operation == b'q')?;
        let value = self.stack.last().cloned().ok_or_else(malformed)?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&mut self, operation: u8) -> Result<Value, Refused> {
        let key = self.memo_key(operation == b'h')?;
        self.memo.get(&key).cloned().ok_or_else(malformed)
    }

    fn memo_key(&mut self, is_short: bool) -> Result<u32, Refused> {
        Ok(if is_short { self.take(1)?[0].into() } else { u32::from_le_bytes(self.array()?) })
    }

    /// Sets attributes of a state dict, which say of which version its modules were.
    fn build(&mut self) -> Result<(), Refused> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err(format!("its pickle builds an object that is no dictionary; {CONVERT}")),
        }
    }

    fn append(&mut self, is_group: bool) -> Result<(), Refused> {
        let items = if is_group { self.pop_group()? } else { self.pop_some(1)? };
        let Some(Value::List(list)) = self.stack.last() else { return Err(malformed()) };
        let texts = items.into_iter().filter_map(|item| if let Value::Text(text) = item { Some(text) } else { None });
        list.borrow_mut().extend(texts);
        Ok(())
    }

    fn set_items(&mut self, is_group: bool) -> Result<(), Refused> {
        let items = if is_group { self.pop_group()? } else { self.pop_some(2)? };
        let Some(Value::Dict(dict)) = self.stack.last() else { return Err(malformed()) };
        let (pairs, []) = items.as_chunks::<2>() else { return Err(malformed()) };
        let flat = pairs.iter().filter_map(|[key, value]| match (key, value) {
            (Value::Text(key), Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Tensor(_)) => {
                Some((Rc::clone(key), value.clone()))
            }
            _ => None,
        });
        dict.borrow_mut().extend(flat);
        Ok(())
    }

    /// A number of up to 16 bytes, little-endian, in two's complement.
    fn long(&mut self) -> Result<Value, Refused> {
        let length = usize::from(self.take(1)?[0]);
        let bytes = self.take(length)?;
        if length > 16 {
            return Err(malformed());
        }
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [sign; 16];
        whole[..length].copy_from_slice(bytes);
        Ok(Value::Int(i128::from_le_bytes(whole)))
    }

    fn text(&mut self) -> Result<Value, Refused> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let bytes = self.take(length)?;
        if length > TEXT_MAX {
            return Err(malformed());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
        Ok(Value::Text(text.into()))
    }

    /// A name of the list, or an error that says which name it was.
    fn global(&mut self) -> Result<Global, Refused> {
        let (module, name) = (self.line()?, self.line()?);
        let storage = |dtype| Ok(Global::Storage(dtype));
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Global::RebuildParameter),
            ("torch", "FloatStorage") => storage(Dtype::F32),
            ("torch", "HalfStorage") => storage(Dtype::F16),
            ("torch", "BFloat16Storage") => storage(Dtype::BF16),
            ("torch", "DoubleStorage") => storage(Dtype::F64),
            ("torch", "LongStorage") => storage(Dtype::I64),
            ("torch", "IntStorage") => storage(Dtype::I32),
            ("torch", "ShortStorage") => storage(Dtype::I16),
            ("torch", "CharStorage") => storage(Dtype::I8),
            ("torch", "ByteStorage") => storage(Dtype::U8),
            ("torch", "BoolStorage") => storage(Dtype::BOOL),
            _ => Err(format!(
                "its pickle refers to {:?}, which is nothing that weights are made of and could run code; {CONVERT}",
                format!("{module}.{name}").chars().take(100).collect::<String>()
            )),
        }
    }

    fn line(&mut self) -> Result<&'a str, Refused> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or_else(cut_off)?;
        let line = std::str::from_utf8(&rest[..length]).map_err(|_| malformed())?;
        self.at += length + 1;
        Ok(line)
    }

    /// `("storage", torch.FloatStorage, key, device, elements)`, and in the old format what it is a view of.
    fn persistent(&mut self) -> Result<Value, Refused> {
        let Value::Tuple(id, _) = self.pop()? else { return Err(malformed()) };
        let (dtype, key, elements) = match &id[..] {
            [Value::Text(kind), Value::Global(Global::Storage(dtype)), Value::Text(key), _, Value::Int(elements)]
            | [
                Value::Text(kind),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(elements),
                Value::None,
            ] if **kind == *"storage" => (*dtype, Rc::clone(key), usize::try_from(*elements).map_err(|_| malformed())?),
            _ => return Err(format!("its pickle has a storage of an unknown kind; {CONVERT}")),
        };
        let storage = Rc::new(Storage { dtype, key: Rc::clone(&key), elements });
        self.storages.insert(key, Rc::clone(&storage));
        Ok(Value::Storage(storage))
    }

    fn reduce(&mut self) -> Result<Value, Refused> {
        let Value::Tuple(arguments, _) = self.pop()? else { return Err(malformed()) };
        match (self.pop()?, &arguments[..]) {
            (Value::Global(Global::OrderedDict), []) => Ok(Value::Dict(Rc::default())),
            (Value::Global(Global::RebuildParameter), [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
            (
                Value::Global(Global::RebuildTensor),
                [Value::Storage(storage), Value::Int(first), shape, strides, ..],
            ) => {
                let first = usize::try_from(*first).map_err(|_| malformed())?;
                let (shape, strides) = (sizes(shape)?, sizes(strides)?);
                if shape.len() != strides.len() {
                    return Err(malformed());
                }
                Ok(Value::Tensor(Rc::new(Tensor { storage: Rc::clone(storage), first, shape, strides })))
            }
            _ => Err(malformed()),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Refused> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)).ok_or_else(cut_off)?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many were taken"))
    }

    fn pop(&mut self) -> Result<Value, Refused> {
        self.stack.pop().ok_or_else(malformed)
    }

    fn pop_some(&mut self, count: usize) -> Result<Vec<Value>, Refused> {
        let from = self.stack.len().checked_sub(count).ok_or_else(malformed)?;
        Ok(self.stack.split_off(from))
    }

    fn pop_group(&mut self) -> Result<Vec<Value>, Refused> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len()).ok_or_else(malformed)?;
        Ok(self.stack.split_off(from))
    }
}

/// What to do with a file that is not read.
const CONVERT: &str = "convert it to model.safetensors where you trust it";

fn malformed() -> Refused {
    "its pickle is malformed; fetch it anew".to_owned()
}

fn cut_off() -> Refused {
    "it is cut off; fetch it anew".to_owned()
}

fn tuple(items: Vec<Value>) -> Result<Value, Refused> {
    let depth =
        items.iter().map(|item| if let Value::Tuple(_, depth) = item { *depth } else { 0 }).max().unwrap_or(0) + 1;
    if depth > DEPTH_MAX { Err(malformed()) } else { Ok(Value::Tuple(items.into(), depth)) }
}

/// The numbers of a shape or of strides. They are copied, and one tuple can be recalled for any number of tensors.
fn sizes(tuple: &Value) -> Result<Vec<usize>, Refused> {
    let Value::Tuple(items, _) = tuple else { return Err(malformed()) };
    if items.len() > DIMENSIONS_MAX {
        return Err(malformed());
    }
    let size = |item: &Value| match item {
        Value::Int(size) => usize::try_from(*size).map_err(|_| malformed()),
        _ => Err(malformed()),
    };
    items.iter().map(size).collect()
}
